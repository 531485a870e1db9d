"""What every limiter here has in front: a first-come line, deadlines, clear refusals.

Rule 1: a call is granted in the order in which it was made, not in which its task got to run.
Rule 2: what cannot be in time is refused at once, and takes nothing.
Rule 3: whoever stands in line is few objects and few coroutines: the garbage collector looks at
each of them again and again where tens of thousands stand there.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint

from .._errors import DeadlineExceeded, UsageError
from .._evidence import Phase
from ._port import LimiterStats, Permit

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._line import Line
    from ._pace import Pace

SAME_TIME = 1e-9  # seconds; a wait that ends this close to the deadline fits


class Front:
    """The methods of :class:`RateLimiter`, over any :class:`Pace`."""

    def __init__(self, bucket: Pace, line: Line, clock: Callable[[], float]) -> None:
        self._pace = bucket
        self._largest = min(bucket.burst, sys.float_info.max)
        self._clock = clock
        self._line = line
        self._throttled = 0

    async def acquire(self, n: float = 1, *, deadline: float | None = None) -> Permit:
        """Wait for ``n`` permits; see :meth:`RateLimiter.acquire`.

        Raises:
            DeadlineExceeded: the wait cannot end by ``deadline`` (at once, with nothing taken), or
                a later freeze or lower rate made it too long.
            UsageError: ``n`` is not above 0 or exceeds the burst, ``deadline`` is NaN, or another
                event loop has calls queued here.
        """
        if not 0 < n <= self._largest:
            raise self._unfit(n)
        now = self._clock()
        if deadline is not None and not now <= deadline:
            raise self._too_late(n, deadline)
        line = self._line
        if line.waiters or not self._pace.take(now, n):
            until = math.inf if deadline is None else deadline
            self._require_in_time(now, n, until)
            waited = await line.wait(now, n, until)
            if waited is None:
                raise self._too_late(n, until)
            return waited
        permit = line.grant(n)  # ahead of the checkpoint, from which trio returns in any order
        try:
            await checkpoint()
        except BaseException:
            line.undo(permit)
            raise
        return permit

    def _require_in_time(self, now: float, n: float, deadline: float) -> None:
        """Refuse a call that cannot be granted by its deadline, or not in this event loop."""
        self._line.require_own_loop()
        self._pace.advance(now, waited=bool(self._line.waiters))
        if now + self._pace.wait(now, n, self._line.queued) > deadline + SAME_TIME:
            raise self._too_late(n, deadline)

    def try_acquire(self, n: float = 1) -> Permit | None:
        """Take ``n`` permits now; ``None`` if it would wait, or if anybody waits already."""
        if not 0 < n <= self._largest:
            raise self._unfit(n)
        if self._line.waiters or not self._pace.take(self._line.present(), n):
            return None
        return self._line.grant(n)

    def estimate(self, n: float = 1) -> float:
        """Return the seconds a newcomer would wait for ``n`` permits now (``inf`` while paused).

        In a long line the real wait can be 5 ms more, since permits then go out in batches.
        """
        if not 0 < n <= self._largest:
            raise self._unfit(n)
        return self._pace.wait(self._line.present(), n, self._line.queued)

    def freeze(self, seconds: float) -> None:
        """Grant and earn nothing for ``seconds`` (at most ``freeze_max``) from now.

        A freeze is never shortened, and the bucket is empty after it.
        """
        self._pace.freeze(self._moment("freeze"), seconds)

    def throttled(self, retry_after: float | None) -> None:
        """Take note of a refusal (429, 503): freeze, and brake once per freeze.

        ``retry_after`` is in seconds; ``None`` (or a number that makes no sense) freezes for 1 s.
        """
        self._pace.throttle(self._moment("throttled"), retry_after)
        self._throttled += 1

    def set_rate(self, rate: float, burst: float | None = None) -> None:
        """Change the rate now, for those who wait as well; 0 pauses, ``inf`` lifts the limit.

        Without ``burst`` a given burst stays and a smooth one follows the rate. The new rate is
        believed: the brake is lifted until the next refusal. A freeze stays.
        """
        self._line.require_own_loop()
        now = self._line.present()
        self._pace.set_rate(now, rate, burst)
        self._largest = min(self._pace.burst, sys.float_info.max)
        self._line.pump(now)

    def snapshot(self) -> LimiterStats:
        """Return the present numbers; outside of the event loop, those of the last use."""
        line, bucket = self._line, self._pace
        now = line.present()
        return LimiterStats(
            rate=bucket.rate,
            effective_rate=bucket.level,
            burst=bucket.burst,
            tokens=bucket.tokens,
            waiting=len(line.waiters),
            oldest_wait=max(0.0, now - line.head.since) if line.waiters else 0.0,
            frozen_for=bucket.frozen_for(now),
            granted=line.granted,
            refunded=line.refunded,
            throttled=self._throttled,
        )

    def _moment(self, method: str) -> float:
        """Return now, for a method that counts time from it."""
        self._line.require_own_loop()
        try:
            self._clock()
        except RuntimeError as error:
            raise UsageError(
                f"{method}() counts seconds from now, and outside of an event loop there is no "
                "now: call it from async code, or build the limiter with clock=time.monotonic"
            ) from error
        return self._line.present()

    def _unfit(self, n: float) -> UsageError:
        return UsageError(
            f"cannot take {n!r} permits: ask for more than 0 and at most the burst of "
            f"{self._pace.burst:g}, or build the limiter with a larger burst"
        )

    def _too_late(self, n: float, deadline: float) -> DeadlineExceeded | UsageError:
        """Say what the wait would be, why, and what is left."""
        if math.isnan(deadline):
            return UsageError("deadline is NaN: give a time on the anyio.current_time() clock")
        now = self._line.present()
        wait = self._pace.wait(now, n, self._line.queued)
        frozen = self._pace.frozen_for(now)
        reason = f"the wait for {n:g} of its permits, with {len(self._line.waiters)} calls ahead, "
        if wait == math.inf:
            reason += f"has no end: {self._pace.excuse() or 'it is paused (rate 0)'}"
        else:
            reason += f"needs about {wait:.3g} s"
            if frozen:
                reason += f", {frozen:.3g} s of it a freeze"
        reason += f"; {max(0.0, deadline - now):.3g} s are left"
        return DeadlineExceeded(call="rate limiter", phase=Phase.LIMITER, reason=reason)
