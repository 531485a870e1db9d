"""What a line of waiters needs of the arithmetic behind it.

Rule: everything here is plain arithmetic: ``now`` comes in, ``wait`` goes out.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Pace(Protocol):
    """Permits over time: the bucket of one process, or the slots that a store gave out."""

    @property
    def at(self) -> float:
        """The time of the last ``advance``."""
        ...

    @property
    def epoch(self) -> float:
        """What marks a permit granted now, for its ``refund``."""
        ...

    @property
    def rate(self) -> float:
        """The configured rate, in permits per second."""
        ...

    @property
    def level(self) -> float:
        """What the brake leaves of the rate."""
        ...

    @property
    def burst(self) -> float:
        """The most permits at once."""
        ...

    @property
    def tokens(self) -> float:
        """The permits that are there."""
        ...

    def advance(self, now: float, *, waited: bool = False) -> None:
        """Move to ``now``; ``waited`` says that somebody wanted permits all along."""
        ...

    def take(self, now: float, n: float, *, waited: bool = False) -> bool:
        """Take ``n`` permits if they are there."""
        ...

    def frozen_for(self, now: float) -> float:
        """Return the seconds that a freeze still lasts."""
        ...

    def wait(self, now: float, n: float, ahead: float = 0.0) -> float:
        """Return the seconds until ``n`` permits are there, after ``ahead`` others went."""
        ...

    def batch(self, queued: float) -> float:
        """Return how many of ``queued`` permits are worth waiting for with one timer."""
        ...

    def refund(self, n: float, epoch: float) -> bool:
        """Put ``n`` unused permits back; return whether they are worth anything."""
        ...

    def freeze(self, now: float, seconds: float) -> None:
        """Grant nothing until ``now + seconds``."""
        ...

    def throttle(self, now: float, retry_after: float | None) -> None:
        """Freeze after a refusal, and brake."""
        ...

    def set_rate(self, now: float, rate: float, burst: float | None = None) -> None:
        """Change the rate from ``now`` on."""
        ...

    def excuse(self) -> str:
        """Return why nothing may come for a while, where that is not the rate; else nothing."""
        ...
