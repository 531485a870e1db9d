"""The adapter of the port over any ``httpx.AsyncBaseTransport``.

Rule 1: a failure is turned into a value outside of its handler, so that nothing keeps the
exception, whose request holds the key.
Rule 2: the exchange itself is bounded by one deadline, whatever the phase time-outs let through.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, TypeVar

import anyio

from .._evidence import Phase
from .._wire import Exchange, MaybeSent, OpenAnswer, Unsent, WireRequest
from ._answer import close_quietly, read_answer
from ._faults import FAULTS, describe, phase_of
from ._logs import guard_logs, under_way
from ._outgoing import outgoing
from ._streamed import Streamed, stream_answer
from ._witness import Witness

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from .._settings import Timeouts

AnswerT = TypeVar("AnswerT")

OUT_OF_TIME = "the time of the call ran out"


class HttpxTransport:
    """Carries requests over an ``httpx`` transport of yours: own TLS, ``MockTransport``, ASGI.

    Its calls go straight to ``inner.handle_async_request``, so neither the cookies and redirects of
    an ``httpx.AsyncClient`` nor its log line with the whole URL come into play. What ``inner``
    proves through the ``trace`` extension (``httpx.AsyncHTTPTransport`` does) counts; without a
    trace a failure is *maybe sent*. The one who passes ``inner`` keeps its settings (TLS, proxy,
    limits); :meth:`aclose` closes it.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._unfit: deque[Streamed] = deque()
        guard_logs()

    def __repr__(self) -> str:
        return f"HttpxTransport({type(self._inner).__name__})"

    async def exchange(self, request: WireRequest, timeouts: Timeouts) -> Exchange:
        """Put one request on the wire and bring back what is known of it."""
        return await self._drive(request, timeouts, read_answer)

    async def open(self, request: WireRequest, timeouts: Timeouts) -> OpenAnswer | Exchange:
        """Put one request on the wire and bring back the head of its answer."""

        async def finish(response: httpx.Response, request: WireRequest) -> OpenAnswer | Exchange:
            return await stream_answer(response, request, self)

        return await self._drive(request, timeouts, finish)

    def give_back(self, answer: Streamed, *, fit: bool) -> None:
        """Keep an answer that was not read to its end, to close it with the next request."""
        if not fit:
            self._unfit.append(answer)

    async def sweep(self) -> None:
        """Close the answers that were not read to their ends."""
        while self._unfit:
            await self._unfit.popleft().shut()

    async def _drive(
        self,
        request: WireRequest,
        timeouts: Timeouts,
        finish: Callable[[httpx.Response, WireRequest], Awaitable[AnswerT]],
    ) -> AnswerT | Unsent | MaybeSent:
        await self.sweep()
        if timeouts.total is not None and timeouts.total <= 0:
            return Unsent(Phase.CONNECT, OUT_OF_TIME, timed_out=True)
        scope = anyio.CancelScope(deadline=deadline_of(timeouts, anyio.current_time()))
        return await drive(self._inner, request, timeouts, scope, finish, foreign=True)

    async def aclose(self) -> None:
        """Close the transport inside; safe to call twice where that one is."""
        await self.sweep()
        await close_quietly(self._inner)


def deadline_of(timeouts: Timeouts, now: float) -> float:
    """Return when the call's time is over, on the clock that says ``now``."""
    return math.inf if timeouts.total is None else now + timeouts.total


async def drive(
    inner: httpx.AsyncBaseTransport,
    request: WireRequest,
    timeouts: Timeouts,
    scope: anyio.CancelScope,
    finish: Callable[[httpx.Response, WireRequest], Awaitable[AnswerT]],
    *,
    foreign: bool = False,
) -> AnswerT | Unsent | MaybeSent:
    """Carry one request over one httpx transport and say what is known of it.

    ``scope``, which is entered here, bounds its time. ``finish`` makes the answer of what came.
    A ``foreign`` transport may look at ``request.content``, and may do more on its connection than
    this request.
    """
    witness = Witness()
    reason, phase = OUT_OF_TIME, None
    answer: AnswerT | None = None
    under_way.set(request)  # private_logs() holds three objects more while it is open
    try:
        with scope:
            try:
                wire = outgoing(request, timeouts, witness, alone=not foreign)
                if foreign:
                    wire.read()
                answer = await finish(await inner.handle_async_request(wire), request)
            except FAULTS as error:
                reason, phase = describe(error), phase_of(error)
    finally:
        under_way.set(None)
        if answer is None:
            await witness.close_stranded()
    if answer is not None:
        return answer
    verdict = Unsent if witness.proves_unsent else MaybeSent
    return verdict(witness.phase_of(phase), reason, timed_out=scope.cancel_called)
