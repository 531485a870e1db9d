"""The port of every rate limiter: what the client may rely on, in words.

Rule 1: only ``acquire`` may wait; every other method is plain and quick.
Rule 2: nothing here says how permits are counted, so a limiter shared by many machines fits too.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from attrs import frozen


@frozen(kw_only=True)
class LimiterStats:
    """A limiter at one moment; plain numbers that pickle and compare.

    ``rate`` is the configured rate and ``effective_rate`` what the adaptive brake leaves of it,
    both in permits per second; ``burst`` and ``tokens`` are permits (``tokens`` is below 0 while a
    debt is paid off). ``waiting`` counts queued calls, ``oldest_wait`` is how long the first of
    them has queued and ``frozen_for`` how long a freeze still lasts, both in seconds. ``granted``
    and ``refunded`` add up permits since the start, ``throttled`` counts reported refusals.
    """

    rate: float
    effective_rate: float
    burst: float
    tokens: float
    waiting: int
    oldest_wait: float
    frozen_for: float
    granted: float
    refunded: float
    throttled: int


@runtime_checkable
class Permit(Protocol):
    """The right to put one request on the wire, now."""

    def release(self) -> None:
        """Give the permit back, because its request was never put on the wire.

        Idempotent. A limiter may give back less than was taken (never more): a permit from before a
        freeze is worth nothing after it, and a full bucket stays full.
        """
        ...


@runtime_checkable
class RateLimiter(Protocol):
    """Permits per second, handed out in the order in which they were asked for.

    Guarantees that every implementation gives:

    - first come, first served: a large request is not overtaken by small ones, nor the queue by
      newcomers;
    - a cancelled ``acquire`` took nothing, and whoever waits behind it moves up;
    - while frozen nothing is granted; a freeze is never shortened, and no burst follows it;
    - ``deadline`` is a time on the ``anyio.current_time()`` clock.

    Use one from a single event loop at a time.
    """

    async def acquire(self, n: float = 1, *, deadline: float | None = None) -> Permit:
        """Wait for ``n`` permits.

        Always a checkpoint: it yields to other tasks and can be cancelled.

        Raises:
            DeadlineExceeded: the wait would pass ``deadline`` (raised at once), or did.
            UsageError: ``n`` is not above 0, or is more than the limiter can ever grant at once.
        """
        ...

    def try_acquire(self, n: float = 1) -> Permit | None:
        """Take ``n`` permits now, or return ``None`` if that means waiting or overtaking."""
        ...

    def estimate(self, n: float = 1) -> float:
        """Return the seconds a newcomer would wait now; ``inf`` while the limiter is paused."""
        ...

    def freeze(self, seconds: float) -> None:
        """Grant nothing for ``seconds`` from now: a server's ``Retry-After``."""
        ...

    def throttled(self, retry_after: float | None) -> None:
        """Take note that the server refused a request; ``retry_after`` is its own wait in seconds.

        Freezes; an adaptive limiter also lowers its rate, once per freeze.
        """
        ...

    def set_rate(self, rate: float, burst: float | None = None) -> None:
        """Change the configured rate (permits per second) and, if given, the burst."""
        ...

    def snapshot(self) -> LimiterStats:
        """Return the present numbers, for health checks and progress bars."""
        ...
