"""What the workers of a campaign go by: given once, when it is started, and kept beside its jobs.

Rule: plain JSON, so that a worker of any version reads it, or says what it cannot read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, Final, cast

from attrs import frozen

from ..._errors import UsageError
from .._window import DAYS, SendWindow

MAX_ATTEMPTS: Final = 25


@frozen
class Order:
    """The rules of one campaign, for all its workers."""

    max_attempts: int = MAX_ATTEMPTS
    window: SendWindow | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them.

        Raises:
            UsageError: the holidays of the window cannot be listed.
        """
        window = None if self.window is None else _listed(self.window)
        return {"max_attempts": self.max_attempts, "window": window}

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Order:
        """Read an order."""
        window = found["window"]
        return cls(found["max_attempts"], None if window is None else _window(window))


def _listed(window: SendWindow) -> dict[str, Any]:
    if not isinstance(window.holidays, Iterable):
        raise UsageError(
            "For workers on other machines the holidays of a send window must be listed, as a set "
            "of dates."
        )
    hours = {
        DAYS[day]: [moment.isoformat() for moment in hours] for day, hours in window.hours.items()
    }
    holidays = sorted(day.isoformat() for day in cast("Iterable[date]", window.holidays))
    return {"hours": hours, "zone": window.zone.key, "holidays": holidays}


def _window(found: dict[str, Any]) -> SendWindow:
    holidays = frozenset(map(date.fromisoformat, found["holidays"]))
    return SendWindow(found["hours"], found["zone"], holidays=holidays)
