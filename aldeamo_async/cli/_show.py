"""Lists on the screen: a table for people, JSON lines for programs.

Rule: the data is the user's own and is shown in full; what the API does not document stays in ``extra``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

import attrs
import click
from rich.console import Console
from rich.table import Table


def json_line(noun: Any) -> str:
    """Return a model as one line of JSON; dates in ISO 8601."""
    return json.dumps(attrs.asdict(noun), ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def table(title: str, columns: Iterable[str], nouns: Iterable[Any]) -> None:
    """Print models as a table of some of their fields."""
    names = list(columns)
    shown = Table(title=title)
    for name in names:
        # An id that is cut cannot be copied into the next command.
        shown.add_column(name, no_wrap=name.endswith("id"), overflow="fold")
    for noun in nouns:
        shown.add_row(*(_cell(getattr(noun, name)) for name in names))
    # Markup is off: a message may hold square brackets of its own.
    Console(markup=False, highlight=False, emoji=False).print(shown)


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def say(text: str) -> None:
    """Print a line for a person on stdout."""
    click.echo(text)
