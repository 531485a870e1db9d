"""The rate limiter as a watch sees it: it stands back for whoever else wants permits.

Rule 1: it is the same limiter, and the same rate; nothing here grants anything.
Rule 2: with sends in the line, a watch takes a small share of the rate, never none: messages that
are not read are not answered either.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from ..limits import Permit, RateLimiter

SHARE: Final = 0.1  # of the present rate, while others wait
PATIENCE: Final = 10.0  # seconds; at very low rates the share is a little more


class Polite:
    """A ``RateLimiter`` that asks another one, in turn with a small share of it."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self._last = -math.inf
        self.try_acquire = limiter.try_acquire
        self.estimate = limiter.estimate
        self.freeze = limiter.freeze
        self.throttled = limiter.throttled
        self.set_rate = limiter.set_rate
        self.snapshot = limiter.snapshot

    async def acquire(self, n: float = 1, *, deadline: float | None = None) -> Permit:
        """Take what is free; else wait for this watch's turn, and then in line."""
        permit = self._limiter.try_acquire(n)
        if permit is None:
            await self._stand_back(math.inf if deadline is None else deadline)
            permit = await self._limiter.acquire(n, deadline=deadline)
        else:
            try:
                await checkpoint()
            except BaseException:
                permit.release()
                raise
        self._last = anyio.current_time()
        return permit

    async def _stand_back(self, deadline: float) -> None:
        stats = self._limiter.snapshot()
        if stats.waiting:
            gap = 1 / (SHARE * stats.effective_rate) if stats.effective_rate > 0 else PATIENCE
            await anyio.sleep_until(min(deadline, self._last + min(gap, PATIENCE)))
