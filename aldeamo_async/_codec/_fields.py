"""One field of a row: text to id, date, time.

Rule 1: an id is text and never passes through a float; leading zeros stay.
Rule 2: a date that cannot be read is ``None`` and drift, never a failed page.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final

from ._kinds import is_whole, kind_of

if TYPE_CHECKING:
    from .._drift import Drift

# As seconds this is the year 5138, so any number past it is milliseconds.
_MILLISECONDS_FROM: Final = 1e11
# float() alone would read "1_5", "1e9" and "nan" as well.
_DECIMAL: Final = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]*)?\s*")
_DOCUMENTED_DATE_CHARS: Final = len("2019-05-02 19:04:49")
_ZERO_DATE: Final = "0000-00-00"


class Fields:
    """Readers of single fields for one call and one dialect, in the shape of a cattrs hook."""

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
        if is_whole(value):
            self.count("an id is a number")
            return str(value)
        raise ValueError(f"an id must be text or a whole number, not {kind_of(value)}")

    def text(self, value: Any, _: Any) -> str | None:
        """Read a text that may be null; a whole number becomes its digits."""
        if value is None or isinstance(value, str):
            return value
        if is_whole(value):
            self.count("a text is a number")
            return str(value)
        raise ValueError(f"must be text or null, not {kind_of(value)}")

    def date(self, value: Any, _: Any) -> datetime | None:
        """Read ``YYYY-MM-DD HH:MM:SS``; naive unless ``server_tz`` is set.

        Zero dates and ``""`` are ``None``. Other ISO forms are read and counted; one that names its
        own zone keeps it.
        """
        if value is None or value == "":
            return None
        try:
            found = datetime.fromisoformat(value)
        except (ValueError, TypeError):
            if not str(value).startswith(_ZERO_DATE):
                self.count("a date cannot be read")
            return None
        if len(value) != _DOCUMENTED_DATE_CHARS or value[10] != " ":
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
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise ValueError
    elif isinstance(value, bool):
        raise TypeError
    number = float(value)
    seconds = number / 1000 if abs(number) > _MILLISECONDS_FROM else number
    return datetime.fromtimestamp(seconds, UTC)
