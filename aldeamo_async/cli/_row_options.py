"""The options of the commands that read or write a file of rows.

Rule: what such a file may look like is said here, once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from .._files import Format

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def format_option(default: str) -> Callable[[CommandT], CommandT]:
    """Add ``--format``; ``default`` says in words how it is found when it is not given."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(get_args(Format)),
        help=f"Format of FILE. Default: {default}.",
    )


def row_options(command: CommandT) -> CommandT:
    """Add what a file of rows may leave open: its format, its channel, its text."""
    for add in (
        click.option("--template", help="Make the text from columns: 'Hola {name}, ...'."),
        click.option("--channel", help="The channel of rows that name none: facebook, sms or web."),
        format_option("by its suffix, else by its first character"),
    ):
        command = add(command)
    return command
