"""The door on a socket: the sandbox behind Starlette and uvicorn, in a thread of its own.

Law: the server has its own thread and asyncio loop, so that any program can use it, trio ones too;
it leaves no thread, socket or logging setting behind, and never logs a request line, as that
holds the key and a phone number.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import asynccontextmanager
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from ._contract import Call, Request
from ._faults import Fault, Moment

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.types import Receive, Scope, Send

    from ._plan import Plan
    from ._sandbox import Sandbox

_CONNECTION = "aldeamo_async.sandbox.connection"
_BACKLOG = 2048  # connections that may wait to be accepted; uvicorn's own default
_KEEP_ALIVE = 75  # seconds an idle connection stays open; nginx's default
# SO_LINGER on, 0 s: closing sends RST. Winsock has shorts where POSIX has ints.
_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


@asynccontextmanager
async def serve(
    sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[str, None]:
    """Serve a sandbox on a socket and yield its base URL, such as `http://127.0.0.1:49152/bots`.

    Port 0 takes a free one. Works on asyncio and trio. Raises OSError when the address is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    place = f"[{host}]" if ":" in host else host
    server = _Server(sandbox)
    # The socket listens already: a client that comes before the thread runs waits in the backlog.
    thread = Thread(target=server.run_on, args=(listener,), name="aldeamo-sandbox", daemon=True)
    port = listener.getsockname()[1]
    thread.start()
    try:
        yield f"http://{place}:{port}/bots"
    finally:
        server.stop()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(thread.join)


def serve_forever(
    sandbox: Sandbox,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], object] = print,
) -> None:
    """Serve a sandbox until Ctrl+C (KeyboardInterrupt); `ready` is called with the base URL."""

    async def run() -> None:
        async with serve(sandbox, host=host, port=port) as url:
            ready(url)
            await anyio.sleep_forever()

    anyio.run(run)


class _Server(Server):
    """uvicorn on a given socket and loop, that stops at once instead of waiting for clients."""

    def __init__(self, sandbox: Sandbox) -> None:
        door = _Door(sandbox)
        config = Config(
            door,
            interface="asgi3",
            http=cast("type[asyncio.Protocol]", partial(_Connection, sandbox=sandbox)),
            ws="none",
            lifespan="off",
            # uvicorn's logging stays as the program has it. `access_log=False` would silence the
            # access log of every other uvicorn in the process; `_Connection` does it for itself.
            log_config=None,
            log_level=None,
            access_log=True,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            date_header=False,
        )
        config.load()
        config.loaded_app = door  # without the middleware that logs scopes at uvicorn's TRACE level
        super().__init__(config)
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()

    def run_on(self, listener: socket.socket) -> None:
        """Serve until `stop`; the body of the server's thread."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self.serve(sockets=[listener]))

    def stop(self) -> None:
        """End `run_on`, from any thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def main_loop(self) -> None:
        """Wait for `stop`, where uvicorn looks ten times a second."""
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door and every connection, and wait until all is gone."""
        for listening in self.servers:
            listening.close()
        while self.server_state.connections or self.server_state.tasks:
            for connection in self.server_state.connections:
                connection.transport.abort()
            await asyncio.sleep(0)
        for listening in self.servers:
            await listening.wait_closed()


class _Connection(H11Protocol):
    """One connection, which a plan can hang up at any moment."""

    def __init__(self, *args: Any, sandbox: Sandbox, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False
        self.app_state = {_CONNECTION: self}
        self.lost = asyncio.Event()
        self._sandbox = sandbox

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, unless the weather ends it here."""
        super().connection_made(transport)
        # Head and body go out in two writes; with Nagle's algorithm the second would wait 40 ms.
        self._socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fault = self._sandbox.draw_at_accept()
        if fault.drop is not None:
            self.hang_up(fault.reset)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits on this connection."""
        super().connection_lost(exc)
        self.lost.set()

    def hang_up(self, reset: bool) -> None:
        """End the connection: reset it, or close it after what was written."""
        if reset:
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.transport.abort()
        else:
            self.transport.close()

    def _socket(self) -> socket.socket:
        return cast("socket.socket", self.transport.get_extra_info("socket"))


class _Gone(Exception):
    """The connection ended: by the plan or by the client."""


class _Door:
    """The ASGI application: plays the plan of each request on its connection."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._play(scope, receive, send)
        except (_Gone, ClientDisconnect):
            # uvicorn complains about an application that ends before its connection does.
            await scope["state"][_CONNECTION].lost.wait()

    async def _play(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection: _Connection = scope["state"][_CONNECTION]
        target = scope["raw_path"] + b"?" + scope["query_string"]
        call = Call.of(scope["method"], target)
        fault = self._sandbox.draw(call)
        await _reach(Moment.CONNECT, fault, connection)
        await _reach(Moment.ACCEPT, fault, connection)
        self._sandbox.arrive(call)
        await _reach(Moment.HEAD, fault, connection)
        body = await StarletteRequest(scope, receive).body()
        request = Request(scope["method"], target, scope["headers"], body)
        plan = self._sandbox.plan(call, request, fault)
        await _wait(self._sandbox.latency, connection)
        await _reach(Moment.BODY, fault, connection)
        self._sandbox.commit(plan)
        await _reach(Moment.EFFECT, fault, connection)
        await _send(plan, connection, send)


async def _send(plan: Plan, connection: _Connection, send: Send) -> None:
    answer, fault = plan.answer, plan.fault
    start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
    await send(start)
    for piece in plan.pieces():
        if fault.drip:
            await _wait(fault.seconds, connection)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await _reach(Moment.ANSWER, fault, connection)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    await _reach(Moment.END, fault, connection)


async def _reach(moment: Moment, fault: Fault, connection: _Connection) -> None:
    if fault.hang is moment:
        await _wait(fault.seconds, connection)
    if fault.drop is moment:
        connection.hang_up(fault.reset)
        raise _Gone


async def _wait(seconds: float, connection: _Connection) -> None:
    """Wait, unless the client leaves: then nothing more happens to its request."""
    if not seconds:
        return
    with anyio.move_on_after(seconds):
        await connection.lost.wait()
        raise _Gone
