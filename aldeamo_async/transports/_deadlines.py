"""The time of exchanges: a clock, and scopes that are cancelled at a deadline.

Rule: a scope is cancelled at its deadline, and never before.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.lowlevel import EventLoopToken


class Deadlines:
    """Scopes as they are: each has a timer of the event loop."""

    def __init__(self, now: Callable[[], float] = anyio.current_time) -> None:
        self.now = now

    def begin(self, deadline: float) -> anyio.CancelScope:
        """Return a scope for one exchange, to be entered at once."""
        return anyio.CancelScope(deadline=deadline)

    def end(self, scope: anyio.CancelScope) -> None:
        """Forget a scope that was left."""


class AsyncioDeadlines(Deadlines):
    """The same on asyncio alone, with one timer for all.

    There a timer that was cancelled stays in the event loop, with all that it holds, until half of
    those that wait are such; a thousand exchanges at a time are felt in every round of the garbage
    collector.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop.time)
        self._loop = loop
        self._due: dict[anyio.CancelScope, float] = {}
        self._next = math.inf  # when the timer rings
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, deadline: float) -> anyio.CancelScope:
        """Return a scope for one exchange, to be entered at once."""
        scope = anyio.CancelScope()
        if deadline <= self.now():
            scope.cancel()
        elif deadline < math.inf:
            self._due[scope] = deadline
            if deadline < self._next:
                self._set(deadline)
        return scope

    def end(self, scope: anyio.CancelScope) -> None:
        """Forget a scope that was left; the timer goes with the last one."""
        self._due.pop(scope, None)
        if not self._due:
            self._set(math.inf)

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = when
        self._timer = None if when == math.inf else self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        now = self.now()
        for scope in [scope for scope, deadline in self._due.items() if deadline <= now]:
            del self._due[scope]
            scope.cancel()
        self._set(min(self._due.values(), default=math.inf))


def deadlines_of(loop: EventLoopToken) -> Deadlines:
    """Return the scopes that cost least in an event loop."""
    native = loop.native_token
    return (
        AsyncioDeadlines(native) if isinstance(native, asyncio.AbstractEventLoop) else Deadlines()
    )
