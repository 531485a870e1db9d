"""Which time zone the API's dates are in, told from what it says twice: as a date and as an epoch.

Rule 1: without I/O; pairs of times go in, an estimate comes out.
Rule 2: a ``last_active`` may be later than the last message, so one pair proves nothing: clients
vote.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

_STEP: Final = timedelta(minutes=15)  # every zone in use is a whole number of these away from UTC
_NEAR: Final = timedelta(minutes=2)  # between the last message and the last sign of life
_WEST, _EAST = timedelta(hours=-12), timedelta(hours=14)
_VOTES_MIN: Final = 3
# The vendor's SMS product speaks of Bogota; a city keeps its summer time, an offset does not.
_NAMES: Final = {timedelta(0): "UTC", timedelta(hours=-5): "America/Bogota"}


@frozen
class Zone:
    """An offset from UTC, and how many of the clients that were looked at agree on it."""

    offset: timedelta
    votes: int
    of: int

    @property
    def sure(self) -> bool:
        """Whether the vote is clear enough to act on."""
        return self.votes >= _VOTES_MIN and 2 * self.votes > self.of

    @property
    def label(self) -> str:
        """The offset as people write it."""
        minutes = round(self.offset / timedelta(minutes=1))
        return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"

    @property
    def name(self) -> str | None:
        """A name that ``Dialect.server_tz`` takes; ``None`` where no name has that offset."""
        if self.offset in _NAMES:
            return _NAMES[self.offset]
        hours, rest = divmod(self.offset, timedelta(hours=1))
        # In these names west is positive.
        return None if rest else f"Etc/GMT{-hours:+d}"


def estimate(pairs: Iterable[tuple[datetime, datetime]]) -> Zone | None:
    """Estimate the zone from pairs of a naive ``last_active`` and an aware last message."""
    votes: Counter[timedelta] = Counter()
    of = 0
    for last_active, last_message in pairs:
        of += 1
        apart = last_active - last_message.astimezone(UTC).replace(tzinfo=None)
        offset = round(apart / _STEP) * _STEP
        if abs(apart - offset) <= _NEAR and _WEST <= offset <= _EAST:
            votes[offset] += 1
    if not votes:
        return None
    offset, count = votes.most_common(1)[0]
    return Zone(offset, count, of)
