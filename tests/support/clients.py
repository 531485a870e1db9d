"""Clients for tests, over a transport that is a function: invented key, numbers and texts.

Rule: the fake keeps the promises of the port (the total time, cancellation),
so that what a test sees of it holds for the others.
"""

from __future__ import annotations

import inspect
import json
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import checkpoint

from aldeamo_async import AsyncBotsClient, Outgoing, Phase, TokenBucket
from aldeamo_async.transports import MaybeSent, Unsent, WireResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

    from aldeamo_async import Outcome
    from aldeamo_async.transports import Exchange, Timeouts, WireRequest

KEY = "test-key"
PHONE = "573000000001"
TEXT = "Hola Ana"
BASE_URL = "https://api.invalid/bots"  # nobody answers there, should a double be missing

UNSENT = Unsent(Phase.CONNECT, "ConnectError: no connection could be made")
MAYBE = MaybeSent(Phase.READ, "ReadError: the connection broke while the answer was awaited")


def answer(status: int, body: object = b"", *headers: tuple[str, str]) -> WireResponse:
    """A complete answer; a body that is not bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(status, headers, raw)


def yes(data: object = 32) -> WireResponse:
    """The API's yes."""
    return answer(200, {"status": True, "codigo": 0, "message": "Message sent", "data": data})


def no(codigo: int = 7) -> WireResponse:
    """The API's no."""
    return answer(200, {"status": False, "codigo": codigo, "message": "Not sent", "data": None})


def later(retry_after: str | None = None, status: int = 429) -> WireResponse:
    """The API's not now."""
    headers = () if retry_after is None else (("retry-after", retry_after),)
    return answer(status, {"status": False, "error": "Too many requests"}, *headers)


class Carrier:
    """A transport of the port: each exchange is what `act(number, request)` returns or awaits.

    `times` says when each exchange began, `most` how many were in flight together at most.
    """

    def __init__(self, act: Callable[[int, WireRequest], Exchange | Awaitable[Exchange]]) -> None:
        self._act = act
        self.requests: list[WireRequest] = []
        self.timeouts: list[Timeouts] = []
        self.times: list[float] = []
        self.in_flight = 0
        self.most = 0
        self.closed = 0

    async def exchange(self, request: WireRequest, timeouts: Timeouts) -> Exchange:
        number = len(self.requests)
        self.requests.append(request)
        self.timeouts.append(timeouts)
        self.times.append(anyio.current_time())
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            return await self._bounded(number, request, timeouts)
        finally:
            self.in_flight -= 1

    async def _bounded(self, number: int, request: WireRequest, timeouts: Timeouts) -> Exchange:
        assert timeouts.total is not None
        result = self._act(number, request)
        with anyio.move_on_after(timeouts.total):
            return await result if inspect.isawaitable(result) else await _after_a_tick(result)
        return MaybeSent(Phase.READ, "the time of the call ran out", timed_out=True)

    async def aclose(self) -> None:
        self.closed += 1

    @property
    def texts(self) -> list[str]:
        """The texts that were on the wire, in the order in which their exchanges began."""
        return [dict(request.params)["msg"] for request in self.requests]


async def _after_a_tick(result: Any) -> Any:
    await checkpoint()
    return result


def scripted(*script: Exchange) -> Carrier:
    """A carrier that plays these in turn, then the API's yes for ever."""
    return Carrier(lambda number, _: script[number] if number < len(script) else yes())


def taking(seconds: float, *script: Exchange) -> Carrier:
    """A carrier as `scripted` whose every exchange takes that long."""

    async def act(number: int) -> Exchange:
        await anyio.sleep(seconds)
        return script[number] if number < len(script) else yes()

    return Carrier(lambda number, _: act(number))


def unbraked() -> TokenBucket:
    """A limiter that freezes when it is told to, and does not slow down afterwards."""
    return TokenBucket(math.inf, adaptive=False)


def make(transport: object, **options: Any) -> AsyncBotsClient:
    """A client over a double."""
    return AsyncBotsClient(KEY, transport=transport, **{"base_url": BASE_URL} | options)


@asynccontextmanager
async def opened(transport: object, **options: Any) -> AsyncGenerator[AsyncBotsClient]:
    """A client over a double, closed at the end."""
    async with make(transport, **options) as client:
        yield client


def messages(count: int, *, clients: int | None = None) -> Iterator[Outgoing]:
    """So many messages with numbered texts, made one by one, to as many clients or to `clients`."""
    for number in range(count):
        yield Outgoing("sms", f"57300{number % (clients or count):07d}", f"Hola {number}")


async def slowly(count: int, seconds: float) -> AsyncIterator[Outgoing]:
    """The same from an async source that takes its time for each."""
    for outgoing in messages(count):
        await anyio.sleep(seconds)
        yield outgoing


async def drain(outcomes: AsyncIterator[Outcome], into: list[Outcome] | None = None) -> None:
    """Read an open run to its end, or to its error; what came until then stands in `into`."""
    async for outcome in outcomes:
        if into is not None:
            into.append(outcome)
