"""Send windows: pure functions from a moment to the next open one."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from aldeamo_async import UsageError
from aldeamo_async.campaigns import SendWindow

BOGOTA = ZoneInfo("America/Bogota")
LAW = SendWindow.ley_2300(holidays={date(2026, 12, 8), date(2026, 12, 25)})


def at(text: str) -> datetime:
    """A moment in Bogotá."""
    return datetime.fromisoformat(text).replace(tzinfo=BOGOTA)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-23 06:59:59", "2026-11-23 07:00"),  # a Monday
        ("2026-11-23 07:00", "2026-11-23 07:00"),
        ("2026-11-23 18:59:59", "2026-11-23 18:59:59"),
        ("2026-11-23 19:00", "2026-11-24 07:00"),
        ("2026-11-27 19:30", "2026-11-28 08:00"),  # Friday night to Saturday
        ("2026-11-28 07:30", "2026-11-28 08:00"),
        ("2026-11-28 14:59", "2026-11-28 14:59"),
        ("2026-11-28 15:00", "2026-11-30 07:00"),  # over Sunday
        ("2026-11-29 12:00", "2026-11-30 07:00"),
        ("2026-12-07 20:00", "2026-12-09 07:00"),  # over a holiday
        ("2026-12-25 12:00", "2026-12-26 08:00"),
    ],
)
def test_the_hours_of_the_ley_2300(now: str, opens: str) -> None:
    """Monday to Friday 7 to 19, Saturday 8 to 15, neither Sundays nor holidays, in Bogotá."""
    assert LAW.next_open(at(now)) == at(opens)
    assert LAW.is_open(at(now)) == (at(now) == at(opens))


def test_the_caller_may_count_in_another_zone() -> None:
    """Moments of any zone are understood; the answer is in UTC."""
    assert LAW.is_open(datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
    assert LAW.next_open(datetime(2026, 11, 23, 11, 0, tzinfo=UTC)) == datetime(
        2026, 11, 23, 12, 0, tzinfo=UTC
    )
    assert LAW.next_open(at("2026-11-23 12:00")).tzinfo is UTC


def test_a_window_takes_times_zones_and_single_days() -> None:
    """Hours may be `time` objects, a zone an object, and a day a single one."""
    window = SendWindow({"Wed": (time(9), time(10, 30))}, BOGOTA)
    assert window.next_open(at("2026-11-23 12:00")) == at("2026-11-25 09:00")
    assert window.is_open(at("2026-11-25 10:29"))


@pytest.mark.parametrize(
    ("hours", "zone", "said"),
    [
        ({}, "UTC", "at least one day"),
        ({"mon": ("19:00", "07:00")}, "UTC", "closes at 07:00, not after it opens at 19:00"),
        ({"mon": ("7", "19:00")}, "UTC", "'7' is no time of day"),
        ({"mon": (7, 19)}, "UTC", "7 is no time of day"),
        ({"monday": ("07:00", "19:00")}, "UTC", "'monday' names no days"),
        ({"mon-xyz": ("07:00", "19:00")}, "UTC", "names no days"),
        ({"sat-mon": ("07:00", "19:00")}, "UTC", "over the end of the week"),
        ({"mon": ("07:00", "19:00")}, "Bogota", "'Bogota' is no time zone"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(
    hours: dict[str, tuple[object, object]], zone: str, said: str
) -> None:
    """The error says what was wrong, and how to write it."""
    with pytest.raises(UsageError, match=said):
        SendWindow(hours, zone)  # type: ignore[arg-type]


def test_a_window_that_never_opens_is_a_mistake() -> None:
    """A window shut for more than a year is reported, not waited for."""

    class Always:
        def __contains__(self, day: object) -> bool:
            return True

    window = SendWindow({"mon": ("07:00", "19:00")}, "UTC", holidays=Always())
    with pytest.raises(UsageError, match="within a year"):
        window.next_open(at("2026-11-23 12:00"))
