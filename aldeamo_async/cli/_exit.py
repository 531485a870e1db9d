"""How a command ends: its exit code, and an error that reads like help.

Rule 1: every way to end has one number, and the numbers never change their meaning.
Rule 2: an error goes to stderr, never to stdout; under ``--json`` it is one JSON document there.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from enum import IntEnum
from typing import IO, TYPE_CHECKING, Any, Final

import click

from .._errors import (
    AldeamoError,
    ApiError,
    AuthError,
    DeliveryUnknown,
    NetworkError,
    UnexpectedResponse,
    UsageError,
)
from .._files import FileFault

if TYPE_CHECKING:
    from collections.abc import Generator


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAULT = 1
    USAGE = 2  # click's own number for a bad command line
    REJECTED = 3
    UNKNOWN = 4
    AUTH = 5
    NETWORK = 6
    UNEXPECTED = 7
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it


MEANINGS: Final = {
    Exit.OK: "all was done: every message sent, every row valid, the whole list shown",
    Exit.FAULT: (
        "a fault of aldeamo itself, or verdicts that could not be written down; "
        "or the demo found a duplicate"
    ),
    Exit.USAGE: "the command line, the settings or the file cannot be used; nothing was sent",
    Exit.REJECTED: "something was rejected: by the API, or as a bad row; it was not delivered",
    Exit.UNKNOWN: (
        "the fate of something is unknown: it may have been delivered; look before you resend"
    ),
    Exit.AUTH: "the API refused the key",
    Exit.NETWORK: "the network, or the time: what failed was not delivered, and can be tried again",
    Exit.UNEXPECTED: "an answer outside the contract: check the base URL",
    Exit.INTERRUPTED: "interrupted by Ctrl-C or SIGTERM before everything was done",
}

# The first match counts, so a class stands before its base.
_CODES: Final = (
    (UsageError, Exit.USAGE),
    (DeliveryUnknown, Exit.UNKNOWN),
    (NetworkError, Exit.NETWORK),
    (AuthError, Exit.AUTH),
    (ApiError, Exit.REJECTED),
    (UnexpectedResponse, Exit.UNEXPECTED),
)


def code_of(error: AldeamoError) -> Exit:
    """Return the exit code for an error of this library."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAULT)


class Failure(click.ClickException):
    """An expected end with an exit code: shown as help, without a traceback."""

    def __init__(self, message: str, code: Exit, *, kind: str, as_json: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.kind = kind
        self.as_json = as_json

    @property
    def exit_code(self) -> int:  # type: ignore[override] # click asks for the number only
        """The exit code, as click reads it."""
        return int(self.code)

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, or the JSON document, on stderr."""
        out = file or sys.stderr
        if self.as_json:
            document = {"error": self.kind, "help": self.message, "exit_code": int(self.code)}
            click.echo(json.dumps(document, ensure_ascii=False), file=out)
        else:
            click.echo(f"Error: {self.message}", file=out)


@contextmanager
def explained(*, as_json: bool, interrupted: str = "Interrupted.") -> Generator[None, None, None]:
    """Turn every expected error into a `Failure`; a fault of ours stays as it is."""
    try:
        with _ungrouped():
            yield
    except AldeamoError as error:
        raise Failure(
            str(error), code_of(error), kind=type(error).__name__, as_json=as_json
        ) from None
    except FileFault as error:
        raise Failure(str(error), Exit.USAGE, kind="FileFault", as_json=as_json) from None
    except (KeyboardInterrupt, click.Abort):
        raise Failure(interrupted, Exit.INTERRUPTED, kind="Interrupted", as_json=as_json) from None


@contextmanager
def _ungrouped() -> Generator[None, None, None]:
    """Take an expected error out of the group that a task group made of it."""
    try:
        yield
    except ExceptionGroup as group:
        expected = group.subgroup(AldeamoError)
        if expected is None:
            raise
        raise _first(expected) from None


def _first(group: ExceptionGroup[AldeamoError]) -> AldeamoError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
