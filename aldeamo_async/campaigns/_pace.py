"""When the next message may start: in its window, on a working network, with a permit.

Rule: only here does a run wait for anything but room; nothing is marked or sent yet, so every wait
can be cancelled.
"""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ..limits import Permit, RateLimiter
    from ._report import Progress
    from ._window import SendWindow

# Seconds of sleep at a time while a window is shut: a wall clock may be set, a laptop closed.
_NAP_SECONDS: Final = 60.0
# After a send that could not leave this machine: 1, 2, 4 ... seconds of quiet, so that an outage
# does not run through the whole campaign.
_OUTAGE_SECONDS_MAX: Final = 60.0


class Pace:
    """Hands out the permits of one run."""

    def __init__(
        self,
        limiter: RateLimiter,
        window: SendWindow | None,
        clock: Callable[[], datetime],
        progress: Progress,
    ) -> None:
        self._limiter = limiter
        self._window = window
        self._clock = clock
        self._progress = progress
        self._quiet_until = -math.inf
        self._outages = 0

    async def permit(self) -> Permit:
        """Wait for the window, for the end of an outage, and for the limiter, in that order."""
        while True:
            if self._window is not None:
                await self._opened(self._window)
            while (wait := self._quiet_until - anyio.current_time()) > 0:
                await self._sleep(wait, "the network")
            permit = await self._granted()
            if self._window is None or self._window.is_open(self._clock()):
                return permit
            permit.release()

    async def _opened(self, window: SendWindow) -> None:
        while not window.is_open(now := self._clock()):
            opens = window.next_open(now)
            until = f"the send window, until {opens.astimezone(window.zone):%a %H:%M}"
            await self._sleep(min(_NAP_SECONDS, (opens - now).total_seconds()), until)

    async def _sleep(self, seconds: float, what_for: str) -> None:
        self._progress.waiting = what_for
        await anyio.sleep(seconds)
        self._progress.waiting = None

    async def _granted(self) -> Permit:
        permit = self._limiter.try_acquire()
        if permit is None:
            began = perf_counter()
            permit = await self._limiter.acquire()
            self._progress.spent("limiter", perf_counter() - began)
        return permit

    def network_is_down(self) -> None:
        """Start nothing for a while, longer each time; those who failed together count once."""
        now = anyio.current_time()
        if now >= self._quiet_until:
            self._quiet_until = now + min(_OUTAGE_SECONDS_MAX, 2.0**self._outages)
            self._outages += 1

    def network_is_up(self) -> None:
        """Forget the outage."""
        self._outages, self._quiet_until = 0, -math.inf
