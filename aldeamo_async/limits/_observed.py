"""A limiter whose waits are told to an observer.

Rule: it is the same limiter; it grants and refuses as that one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from .._observer import Observer, tell

if TYPE_CHECKING:
    from ._port import Permit, RateLimiter


class ObservedLimiter:
    """A ``RateLimiter`` around another one."""

    def __init__(self, limiter: RateLimiter, observer: Observer) -> None:
        self._limiter = limiter
        self._observer = observer
        self.estimate = limiter.estimate
        self.freeze = limiter.freeze
        self.throttled = limiter.throttled
        self.set_rate = limiter.set_rate
        self.snapshot = limiter.snapshot

    async def acquire(self, n: float = 1, *, deadline: float | None = None) -> Permit:
        """Wait for permits, and say how long it took."""
        began = anyio.current_time()
        permit = await self._limiter.acquire(n, deadline=deadline)
        tell(self._observer.waited, anyio.current_time() - began)
        return permit

    def try_acquire(self, n: float = 1) -> Permit | None:
        """Take permits if they are there: a wait of nothing."""
        permit = self._limiter.try_acquire(n)
        if permit is not None:
            tell(self._observer.waited, 0.0)
        return permit
