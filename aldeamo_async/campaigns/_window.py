"""When messages may go out: days, hours, a time zone and holidays.

Rule: pure functions of a moment; who waits, and on which clock, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Self, TypeAlias
from zoneinfo import ZoneInfo

from attrs import field, frozen

from .._errors import UsageError

Hours: TypeAlias = tuple[time, time]

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SEARCH_DAYS: Final = 370  # a year and some; a window that stays shut longer is a mistake


def _as_zone(zone: str | ZoneInfo) -> ZoneInfo:
    try:
        return zone if isinstance(zone, ZoneInfo) else ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise UsageError(
            f"{zone!r} is no time zone; write a name such as America/Bogota "
            "(on Windows, install tzdata)."
        ) from None


def _as_hours(hours: Mapping[str, Any]) -> Mapping[int, Hours]:
    found: dict[int, Hours] = {}
    for days, (opens, closes) in hours.items():
        start, stop = _as_time(opens), _as_time(closes)
        if start >= stop:
            raise UsageError(
                f"The window of {days} closes at {stop:%H:%M}, not after it opens at {start:%H:%M}."
            )
        found |= dict.fromkeys(_as_days(days), (start, stop))
    if not found:
        raise UsageError("A send window needs the hours of at least one day.")
    return found


def _as_time(moment: str | time) -> time:
    try:
        return moment if isinstance(moment, time) else time.fromisoformat(moment)
    except (ValueError, TypeError):
        raise UsageError(f"{moment!r} is no time of day; write it as '07:00'.") from None


def _as_days(days: str) -> range:
    first, _, last = days.lower().partition("-")
    if first not in DAYS or (last or first) not in DAYS:
        raise UsageError(f"{days!r} names no days; write 'mon', or 'mon-fri'.")
    span = range(DAYS.index(first), DAYS.index(last or first) + 1)
    if not span:
        raise UsageError(f"{days!r} runs over the end of the week; write it as two entries.")
    return span


@frozen
class SendWindow:
    """The hours in which a run starts messages; outside of them it waits.

    Args:
        hours: opening and closing time by day or range of days: ``{"mon-fri": ("07:00",
            "19:00")}``. A day that is not named is closed.
        zone: the time zone of the hours, and of the recipients.
        holidays: dates that are closed as a whole: any container of ``date``, such as a set, or
            ``holidays.country_holidays("CO")`` of the package ``holidays``.

    Raises:
        UsageError: hours, days or a zone that make no sense.
    """

    hours: Mapping[int, Hours] = field(converter=_as_hours, hash=False)
    zone: ZoneInfo = field(converter=_as_zone)
    holidays: Container[date] = field(factory=frozenset[date], hash=False, kw_only=True)

    @classmethod
    def ley_2300(cls, *, holidays: Container[date]) -> Self:
        """Return the hours of article 3 of Colombia's Ley 2300 de 2023 ("dejen de fregar").

        Monday to Friday 7:00 to 19:00, Saturday 8:00 to 15:00, neither Sundays nor public
        holidays, in America/Bogota. The holidays are yours to give, and have no default, for the
        hours are not right without them. The law asks for more than hours (channels the person
        chose, how often one may write), and this preset is no legal advice.
        """
        hours = {"mon-fri": ("07:00", "19:00"), "sat": ("08:00", "15:00")}
        return cls(hours, "America/Bogota", holidays=holidays)

    def is_open(self, now: datetime) -> bool:
        """Tell whether a message may start at an aware moment."""
        local = now.astimezone(self.zone)
        hours = self._hours(local.date())
        return hours is not None and hours[0] <= local.time() < hours[1]

    def next_open(self, now: datetime) -> datetime:
        """Return the first moment from ``now`` on at which the window is open, in UTC.

        Raises:
            UsageError: it does not open within a year.
        """
        if self.is_open(now):
            return now.astimezone(UTC)
        today = now.astimezone(self.zone).date()
        for day in (today + timedelta(days=ahead) for ahead in range(_SEARCH_DAYS)):
            hours = self._hours(day)
            if hours is None:
                continue
            opens = datetime.combine(day, hours[0], self.zone).astimezone(UTC)
            if opens > now:
                return opens
        raise UsageError(
            "The send window does not open within a year; look at its days and holidays."
        )

    def _hours(self, day: date) -> Hours | None:
        return None if day in self.holidays else self.hours.get(day.weekday())
