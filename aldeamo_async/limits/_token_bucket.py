"""The rate limiter of one process: the arithmetic of the bucket behind a first-come line.

Rule: it is live state: one object for all who share the limit inside a process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from .._clock import now
from .._errors import UsageError
from ._bucket import Bucket
from ._front import Front
from ._line import Line

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenBucket(Front):
    """A :class:`RateLimiter` for one process: smooth, first come first served, asyncio and trio.

    Args:
        rate: Permits per second. ``math.inf`` sets no limit until the server refuses something
            (then the brake starts from the rate of the last second); 0 pauses until
            :meth:`set_rate`.
        burst: The most permits granted at once, at least 1. By default smooth: 20 ms of rate.
        initial: Permits there at the start; by default a full burst.
        adaptive: Whether a refusal lowers the rate (to 0.7 of it, once per freeze; 1 % of the
            configured rate comes back each second).
        freeze_max: The longest freeze in seconds, whatever the server asks.
        clock: Seconds, read inside each call. The default needs a running event loop; without one
            :meth:`snapshot` and :meth:`estimate` answer as of the last use. With another clock,
            ``deadline`` is on that clock.

    May be built before any event loop runs, and used by one event loop after another, but not by
    two at once, nor by two threads.

    Raises:
        UsageError: a number is negative or NaN or a ``bool``, ``burst`` is below 1, or ``initial``
            above ``burst``.
    """

    def __init__(
        self,
        rate: float,
        burst: float | None = None,
        *,
        initial: float | None = None,
        adaptive: bool = True,
        freeze_max: float = 120.0,
        clock: Callable[[], float] = now,
    ) -> None:
        """Build the bucket; touches no event loop."""
        self._bucket = Bucket(rate, burst, initial, adaptive=adaptive, freeze_max=freeze_max)
        super().__init__(self._bucket, Line(self._bucket, clock), clock)

    def __repr__(self) -> str:
        """Show the rates, the burst and how many wait."""
        bucket = self._bucket
        level = bucket.brake.level
        braked = f" (braked to {level:g}/s)" if level < bucket.rate else ""
        waiting = len(self._line.waiters)
        return f"<TokenBucket {bucket.rate:g}/s{braked}, burst {bucket.burst:g}, {waiting} waiting>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be copied or pickled: two copies would grant the same permits twice."""
        raise UsageError(
            "a TokenBucket is live state and is neither copied nor pickled: a copy would grant the "
            "same permits again. Share the object inside a process, and build a new one with its "
            "share of the rate in every other process. Its snapshot() does pickle."
        )
