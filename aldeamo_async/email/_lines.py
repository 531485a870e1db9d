"""The lines to one mail server: as many as places, made on demand, the last one used first.

Rule 1: a line comes back only after a complete answer that leaves it open; any other is dropped.
Rule 2: nobody leaves while a thread still works: at a cancellation, or at the end of the call's
time, the line is cut, the thread is waited for, and what it knew then is the evidence.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
from anyio.lowlevel import checkpoint_if_cancelled
from attrs import evolve

from .._evidence import Phase
from .._wire import MaybeSent, Unsent
from ..transports import LaneStats
from ..transports._gate import Gate
from ._connect import connect
from ._line import SHUTTING_DOWN, Line, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._settings import Timeouts
    from ._letter import Letter
    from ._line import Answer
    from ._server import Server

log = logging.getLogger("aldeamo_async")

# Seconds that an unused line is kept. Postfix hangs up after 300, busy relays after 10 or fewer; a
# line that was lost costs one command, for it is asked for a sign of life before it is used.
KEPT_SECONDS: Final = 30.0
_OUT_OF_TIME: Final = "the time of the call ran out"


class Lines:
    """Submits letters over up to ``max_connections`` lines."""

    def __init__(self, server: Server, max_connections: int) -> None:
        self.server = server
        self._max = max_connections
        self._gate = Gate(max_connections)
        self._idle: deque[Line] = deque()
        self._discarded = 0
        self._closed = False

    def stats(self) -> LaneStats:
        """Count the lines as they are now."""
        return LaneStats(
            max_connections=self._max,
            open=len(self._idle) + self._gate.busy,
            idle=len(self._idle),
            busy=self._gate.busy,
            waiting=self._gate.waiting,
            discarded=self._discarded,
        )

    async def exchange(self, letter: Letter, timeouts: Timeouts, deadline: float) -> Answer:
        """Take a line, submit the letter over it, and give the line back or drop it."""
        if not await self._gate.enter(deadline):
            reason = f"all {self._max} connections are busy"
            return Unsent(Phase.LANE, reason, timed_out=True)
        try:
            return await self._kept(letter, timeouts, deadline) or await self._fresh(
                letter, timeouts, deadline
            )
        finally:
            self._gate.leave()

    async def _kept(self, letter: Letter, timeouts: Timeouts, deadline: float) -> Answer | None:
        """Submit over a line that was kept, if one is there and still alive."""
        now = anyio.current_time()
        while self._idle and now - self._idle[0].idle_since > KEPT_SECONDS:
            self._drop(self._idle.popleft())
        if not self._idle:
            return None
        line = self._idle.pop()
        return await self._work(line, partial(line.again, letter, timeouts), deadline)

    async def _fresh(self, letter: Letter, timeouts: Timeouts, deadline: float) -> Answer:
        """Submit over a new line."""
        server, sock = self.server, None
        with anyio.CancelScope(deadline=deadline):
            sock = await connect(server.host, server.port, timeouts.connect)
        if sock is None:
            return Unsent(Phase.CONNECT, _OUT_OF_TIME, timed_out=True)
        if isinstance(sock, Unsent):
            return sock
        line = Line(sock, server, timeouts)
        context = server.security.context()
        answer = await self._work(line, partial(line.first, letter, context), deadline)
        assert answer is not None  # noqa: S101 - only a line that was kept can turn out lost
        return answer

    async def _work(
        self, line: Line, talk: Callable[[], Answer | None], deadline: float
    ) -> Answer | None:
        """Let a thread talk, and cut the line when time or patience ends."""
        answer: Answer | None = None
        try:
            answer = await _watched(line, talk, deadline)
        finally:
            fit = isinstance(answer, Reply) and answer.code != SHUTTING_DOWN
            if fit and not self._closed:
                line.idle_since = anyio.current_time()
                self._idle.append(line)
            else:
                self._drop(line)
        return answer

    def _drop(self, line: Line) -> None:
        self._discarded += 1
        line.drop()

    async def aclose(self) -> None:
        """Take leave on idle lines; busy ones are dropped as their letters end."""
        self._closed = True
        self._gate.send_away()
        with anyio.CancelScope(shield=True):  # each farewell takes a second at most
            while self._idle:
                await anyio.to_thread.run_sync(self._idle.pop().part)


async def _watched(line: Line, talk: Callable[[], Answer | None], deadline: float) -> Answer | None:
    """Run a talk in a thread to its end; cut its line at ``deadline`` or at a cancellation."""
    answer: Answer | None = None
    failure: Exception | None = None
    ended = out_of_time = cut = False

    async def watch() -> None:
        nonlocal out_of_time, cut
        try:
            await anyio.sleep_until(deadline)
            out_of_time = True
        finally:
            if not ended:
                cut = True
                line.cut()

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            with anyio.CancelScope(shield=True):
                try:
                    # A thread of its own for each place, so that mail never waits for other work.
                    limiter = anyio.CapacityLimiter(1)
                    answer = await anyio.to_thread.run_sync(talk, limiter=limiter)
                except Exception as error:  # noqa: BLE001 - raised below, outside of the group
                    failure = error
                ended = True
            group.cancel_scope.cancel()
        if cut and not out_of_time:
            await checkpoint_if_cancelled()
    finally:
        if cut and not out_of_time and line.end_was_sent and not isinstance(answer, Reply):
            log.warning("SMTP submission was cut off: the e-mail may have been delivered")
    if failure is not None:
        raise failure
    if cut and isinstance(answer, Unsent | MaybeSent):
        return evolve(answer, reason=_OUT_OF_TIME, timed_out=True)
    return answer
