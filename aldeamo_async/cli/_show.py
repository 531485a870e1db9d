"""Lists on stdout: a table for people, JSON lines for programs.

Rule: nothing is cut and nothing is interpreted; a message may hold square brackets of its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import attrs
import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

_WHOLE: Final = frozenset({"id", "user_id", "phone"})
PIPE_WIDTH: Final = 200  # columns; a file or a pager has no width of its own to keep to


def print_lines(nouns: Iterable[Any]) -> None:
    """Print each model as one line of JSON; dates are in ISO 8601."""
    for noun in nouns:
        click.echo(json.dumps(attrs.asdict(noun), ensure_ascii=False, default=str))


def print_table(title: str, columns: Iterable[str], nouns: Iterable[Any]) -> None:
    """Print the named fields of models as a table."""
    names = list(columns)
    table = Table(title=Text(title), caption_justify="left")
    for name in names:
        # An id that is folded cannot be copied into the next command.
        table.add_column(name, overflow="fold", no_wrap=name in _WHOLE)
    for noun in nouns:
        table.add_row(*(_cell(getattr(noun, name)) for name in names))
    table.caption = f"{table.row_count} row{'s' * (table.row_count != 1)}"
    console = Console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(table)


def _cell(value: object) -> Text:
    return Text("" if value is None else str(value))
