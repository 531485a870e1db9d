"""The line in front of the bucket: who waits, who is granted, who holds the timer.

Rule 1: only the head sleeps on a timer; who finds permits wakes those it grants, and the new head.
Rule 2: a waiter that is cancelled leaves the line as if it had never stood in it.
Rule 3: of an event loop nothing is kept but the turns and tokens of those who wait right now.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from .._errors import UsageError
from .._turn import Turn, turns_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._pace import Pace

LEAST_SLEEP = 1e-6  # seconds; a shorter one may not move a float clock, and would spin


class Granted:
    """Permits that were taken and can be given back once."""

    __slots__ = ("_line", "epoch", "n")

    def __init__(self, line: Line, n: float, epoch: float) -> None:
        self._line: Line | None = line
        self.n: float = n
        self.epoch: float = epoch

    def __repr__(self) -> str:
        """Say how many permits, and whether they were given back."""
        return f"<Permit {self.n:g}{' released' if self._line is None else ''}>"

    def release(self) -> None:
        """Give the permits back if they were never used; a second call does nothing."""
        if self._line is not None:
            self._line.take_back(self)
            self._line = None


class Waiter:
    """One queued call."""

    __slots__ = ("loop", "n", "permit", "since", "turn")

    def __init__(self, n: float, since: float, loop: EventLoopToken) -> None:
        self.n: float = n
        self.since: float = since
        self.loop: EventLoopToken = loop
        self.turn: Turn = turns_of(loop)()
        self.permit: Granted | None = None


class Line:
    """First come, first served. ``queued`` is the sum of the permits that wait to be granted."""

    def __init__(self, bucket: Pace, clock: Callable[[], float]) -> None:
        self.bucket = bucket
        self.clock: Callable[[], float] = clock
        # Ordered: a plain dict would search through all who left whenever it looks for its first.
        self.waiters: OrderedDict[Waiter, None] = OrderedDict()
        self.queued: float = 0.0
        self.granted: float = 0.0
        self.refunded: float = 0.0

    @property
    def head(self) -> Waiter:
        """The one who has waited longest; only for a line that is not empty."""
        return next(iter(self.waiters))

    def present(self) -> float:
        """Advance to now and return it; seen from outside of the loop, time stands still."""
        try:
            now = self.clock()
            if self.waiters and self.head.loop != current_token():
                return self.bucket.at
        except RuntimeError:  # anyio.NoEventLoopError: the clock of no loop
            return self.bucket.at
        self.bucket.advance(now, waited=bool(self.waiters))
        return now

    def require_own_loop(self) -> None:
        """Refuse to touch, from another event loop or thread, calls that are queued in one."""
        if not self.waiters:
            return
        try:
            here: EventLoopToken | None = current_token()
        except RuntimeError:
            here = None
        if self.head.loop != here:
            raise UsageError(
                f"calls of another event loop ({len(self.waiters)}) wait in this limiter: "
                "use one limiter per event loop, or wait until the other loop is done with it"
            )

    def grant(self, n: float) -> Granted:
        """Hand out ``n`` permits that were just taken from the bucket."""
        self.granted += n
        return Granted(self, n, self.bucket.epoch)

    async def wait(self, now: float, n: float, deadline: float) -> Granted | None:
        """Queue until granted; ``None`` if ``deadline`` comes first, with nothing taken."""
        waiter = Waiter(n, now, self.head.loop if self.waiters else current_token())
        self.waiters[waiter] = None
        self.queued += n
        try:
            if deadline == math.inf:
                await self._sleep(waiter)
            else:
                await self._sleep_until(waiter, deadline)
        except BaseException:
            self._withdraw(waiter)
            raise
        if waiter.permit is None:
            self._withdraw(waiter)
        return waiter.permit

    async def _sleep_until(self, waiter: Waiter, deadline: float) -> None:
        with anyio.move_on_after(deadline - waiter.since):
            await self._sleep(waiter)
            return
        self.pump(self.clock())  # a last look: the head may have been sleeping for a whole batch

    async def _sleep(self, waiter: Waiter) -> None:
        """Sleep until granted; on a timer only while at the head."""
        while True:
            if self.head is waiter:
                with anyio.move_on_after(self._nap(waiter)):
                    await waiter.turn.called()
            else:
                await waiter.turn.called()
            if waiter.permit is None:
                self.pump(self.clock(), by=waiter)
            if waiter.permit is not None:
                return
            waiter.turn = turns_of(waiter.loop)()

    def _nap(self, head: Waiter) -> float:
        """Return the seconds until a batch of permits is there, or all that the line asks for."""
        now = self.clock()
        bucket = self.bucket
        bucket.advance(now, waited=True)
        return max(LEAST_SLEEP, bucket.wait(now, max(head.n, bucket.batch(self.queued))))

    def pump(self, now: float, *, by: Waiter | None = None) -> None:
        """Grant what is there, first come first served; then the head has to sleep on a timer."""
        while self.waiters:
            head = self.head
            granted = self.bucket.take(now, head.n, waited=True)
            if granted:
                self._leave(head)
                head.permit = self.grant(head.n)
            if head is not by:
                head.turn.call()
            if not granted:
                return

    def _leave(self, waiter: Waiter) -> None:
        del self.waiters[waiter]
        self.queued = self.queued - waiter.n if self.waiters else 0.0

    def _withdraw(self, waiter: Waiter) -> None:
        """Take a waiter out as if it had never come; the next moves up."""
        if waiter.permit is not None:
            self.undo(waiter.permit)
            return
        led = self.head is waiter
        self._leave(waiter)
        if led:
            self.pump(self.present())

    def undo(self, permit: Granted) -> None:
        """Reverse a grant whose caller was cancelled before it could run."""
        self.granted -= permit.n
        self._put_back(permit)

    def take_back(self, permit: Granted) -> None:
        """Accept a permit that was never used."""
        self.require_own_loop()
        self.refunded += permit.n
        self._put_back(permit)

    def _put_back(self, permit: Granted) -> None:
        now = self.present()
        if self.bucket.refund(permit.n, permit.epoch):
            self.pump(now)
