"""The door in process: an httpx transport that plays a sandbox's plans without a socket.

Law: what the client sees is what a socket would have shown it: the same httpx exceptions, the
timeouts of `request.extensions["timeout"]`, and the `trace` events that say what left the machine.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpx

from ._contract import Call, Request
from ._faults import Moment

if TYPE_CHECKING:
    from types import TracebackType

    from ._plan import Plan
    from ._sandbox import Sandbox

_Trace = Callable[[str, dict[str, Any]], Awaitable[None]]


class SandboxTransport(httpx.AsyncBaseTransport):
    """Answers httpx requests from a `Sandbox`, in this process, on asyncio and trio.

    Every request has a connection of its own. Raises what a socket would: `httpx.ConnectError`,
    `ConnectTimeout`, `ReadTimeout`, `ReadError`, `RemoteProtocolError`.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Play one exchange; the body of the answer is streamed."""
        return await _Exchange(self._sandbox, request).run()


class _Exchange:
    """One request and its answer, step by step as the plan says."""

    __slots__ = ("_call", "_fault", "_patience", "_request", "_sandbox", "_target", "_trace")

    def __init__(self, sandbox: Sandbox, request: httpx.Request) -> None:
        self._sandbox = sandbox
        self._request = request
        self._target = request.url.raw_path
        self._call = Call.of(request.method, self._target)
        self._fault = sandbox.draw(self._call)
        self._trace: _Trace = request.extensions.get("trace") or _unheard
        self._patience = self._timeout("read")

    async def run(self) -> httpx.Response:
        async with _Step(self._trace, "connect_tcp"):
            await self._connect()
        async with _Step(self._trace, "send_request_headers"):
            pass
        async with _Step(self._trace, "send_request_body"):
            body = await self._request.aread()
        async with _Step(self._trace, "receive_response_headers"):
            plan = await self._receive(body)
        return httpx.Response(
            plan.answer.status,
            headers=plan.answer.headers,
            stream=_Body(plan, self._timeout("read")),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def _connect(self) -> None:
        fault = self._fault
        if fault.hang is Moment.CONNECT and await _outlasts(
            fault.seconds, self._timeout("connect")
        ):
            raise httpx.ConnectTimeout("The sandbox did not accept within the connect timeout.")
        if fault.drop is Moment.CONNECT:
            raise httpx.ConnectError("The sandbox refused the connection.")

    async def _receive(self, body: bytes) -> Plan:
        await self._reach(Moment.ACCEPT)
        self._sandbox.arrive(self._call)
        await self._reach(Moment.HEAD)
        request = Request(self._request.method, self._target, self._request.headers.raw, body)
        plan = self._sandbox.plan(self._call, request, self._fault)
        # The effect lies between two checkpoints, so that a cancellation can fall on either side.
        await anyio.lowlevel.checkpoint()
        await self._wait(self._sandbox.latency)
        await self._reach(Moment.BODY)
        self._sandbox.commit(plan)
        await self._reach(Moment.EFFECT)
        await anyio.lowlevel.checkpoint()
        return plan

    async def _reach(self, moment: Moment) -> None:
        if self._fault.hang is moment:
            await self._wait(self._fault.seconds)
        if self._fault.drop is moment:
            raise _hung_up(self._fault.reset, "before it answered")

    async def _wait(self, seconds: float) -> None:
        if not seconds:
            return
        if await _outlasts(seconds, self._patience):
            raise httpx.ReadTimeout("The sandbox was silent for the read timeout.")
        self._patience -= seconds

    def _timeout(self, name: str) -> float:
        seconds = self._request.extensions.get("timeout", {}).get(name)
        return math.inf if seconds is None else float(seconds)


class _Body(httpx.AsyncByteStream):
    """The body of an answer, in the pieces and at the pace of the plan."""

    def __init__(self, plan: Plan, patience: float) -> None:
        self._plan = plan
        self._patience = patience

    async def __aiter__(self) -> AsyncIterator[bytes]:
        fault = self._plan.fault
        for piece in self._plan.pieces():
            if fault.drip and await _outlasts(fault.seconds, self._patience):
                raise httpx.ReadTimeout("The sandbox was silent for the read timeout.")
            yield piece
        if fault.drop is Moment.ANSWER:
            raise _hung_up(fault.reset, "in the middle of its answer")


class _Step:
    """Tells the trace that a step started, and that it completed or failed."""

    __slots__ = ("_name", "_trace")

    def __init__(self, trace: _Trace, name: str) -> None:
        self._trace = trace
        self._name = name

    async def __aenter__(self) -> None:
        await self._trace(f"sandbox.{self._name}.started", {})

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self._trace(f"sandbox.{self._name}.complete", {"return_value": None})
        else:
            await self._trace(f"sandbox.{self._name}.failed", {"exception": error})


async def _unheard(event: str, info: dict[str, Any]) -> None:
    """Take a trace event when nobody listens."""


async def _outlasts(seconds: float, patience: float) -> bool:
    """Wait for the shorter of the two; return whether that was the client's patience."""
    await anyio.sleep(min(seconds, patience))
    return seconds >= patience


def _hung_up(reset: bool, when: str) -> httpx.TransportError:
    if reset:
        return httpx.ReadError(f"The sandbox reset the connection {when}.")
    return httpx.RemoteProtocolError(f"The sandbox closed the connection {when}.")
