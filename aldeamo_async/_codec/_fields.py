"""One field of a row: text to id, date, time.

Rule 1: an id is text and never passes through a float; leading zeros stay.
Rule 2: a date that cannot be read is ``None`` and drift, never a failed page.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from .._drift import Drift

# As seconds this is the year 5138, so any number past it is milliseconds.
_MILLISECONDS_FROM: Final = 1e11
_DOCUMENTED_DATE_CHARS: Final = len("2019-05-02 19:04:49")
_ZERO_DATE: Final = "0000-00-00"


def kind_of(value: object) -> str:
    """Name a JSON value's type without quoting the value."""
    names = {dict: "object", list: "list", str: "text", bool: "boolean", int: "number", float: "decimal number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


class Fields:
    """Readers of single fields for one call and one dialect."""

    def __init__(self, call: str, server_tz: tzinfo | None, drift: Drift) -> None:
        self._call = call
        self._server_tz = server_tz
        self._drift = drift

    def count(self, oddity: str) -> None:
        """Count an oddity of this call."""
        self._drift.count(f"{self._call}: {oddity}")

    def id(self, value: Any, _: Any) -> str:
        """Read an id: text as it is, a whole number as its digits."""
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            self.count("an id is a number")
            return str(value)
        raise ValueError(f"an id must be text or a whole number, not {kind_of(value)}")

    def text(self, value: Any, _: Any) -> str | None:
        """Read a text that may be null; a whole number becomes its digits."""
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            self.count("a text is a number")
            return str(value)
        raise ValueError(f"must be text or null, not {kind_of(value)}")

    def date(self, value: Any, _: Any) -> datetime | None:
        """Read ``YYYY-MM-DD HH:MM:SS``; naive unless ``server_tz`` is set. Zero dates and ``""`` are ``None``."""
        if value is None or value == "" or (isinstance(value, str) and value.startswith(_ZERO_DATE)):
            return None
        try:
            found = datetime.fromisoformat(value)
        except (ValueError, TypeError):
            self.count("a date cannot be read")
            return None
        if len(value) != _DOCUMENTED_DATE_CHARS or found.tzinfo is not None:
            self.count("a date has another form")
        if self._server_tz is None or found.tzinfo is not None:
            return found
        return found.replace(tzinfo=self._server_tz)

    def epoch(self, value: Any, _: Any) -> datetime | None:
        """Read seconds (or milliseconds) since 1970, as text or number, into an aware UTC time."""
        if value is None or value == "":
            return None
        try:
            return _from_epoch(value)
        except (ValueError, TypeError, OverflowError, OSError):
            self.count("a time cannot be read")
            return None


def _from_epoch(value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    number = float(value)
    seconds = number / 1000 if abs(number) > _MILLISECONDS_FROM else number
    return datetime.fromtimestamp(seconds, UTC)
