"""The door on a socket: the sandbox behind Starlette and uvicorn, in a thread of its own.

Law: the server has its own thread and asyncio loop, so that any program can use it, trio ones too;
it leaves no thread, socket or logging setting behind, and never logs a request line, as that
holds the key and a phone number.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, cast

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from uvicorn import Config, Server

from ._connection import CONNECTION, Connection, Gone, wait
from ._contract import Call, Request
from ._faults import Fault, Moment
from ._inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.types import Receive, Scope, Send

    from ._plan import Plan
    from ._sandbox import Sandbox

_BACKLOG = 2048  # connections that may wait to be accepted; uvicorn's own default
_KEEP_ALIVE = 75  # seconds an idle connection stays open; nginx's default


@asynccontextmanager
async def serve(
    sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[str, None]:
    """Serve a sandbox on a socket and yield its base URL, such as `http://127.0.0.1:49152/bots`.

    Port 0 takes a free one. Works on asyncio and trio. Raises OSError when the address is taken.
    The inbox, a page to look at in a browser, is at `/inbox` of the same address.
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
            http=cast("type[asyncio.Protocol]", partial(Connection, sandbox=sandbox)),
            ws="none",
            lifespan="off",
            # uvicorn's logging stays as the program has it. `access_log=False` would silence the
            # access log of every other uvicorn in the process; `Connection` does it for itself.
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


class _Door:
    """The ASGI application: plays the plan of each request, but for those to the inbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._inbox = Inbox(sandbox)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] in Inbox.PATHS:
                await self._inbox(scope, receive, send)
            else:
                await self._play(scope, receive, send)
        except (Gone, ClientDisconnect):
            # uvicorn complains about an application that ends before its connection does.
            await scope["state"][CONNECTION].lost.wait()

    async def _play(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection: Connection = scope["state"][CONNECTION]
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
        await wait(self._sandbox.latency, connection)
        await _reach(Moment.BODY, fault, connection)
        self._sandbox.commit(plan)
        await _reach(Moment.EFFECT, fault, connection)
        await _send(plan, connection, send)


async def _send(plan: Plan, connection: Connection, send: Send) -> None:
    answer, fault = plan.answer, plan.fault
    start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
    await send(start)
    for piece in plan.pieces():
        if fault.drip:
            await wait(fault.seconds, connection)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await _reach(Moment.ANSWER, fault, connection)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    await _reach(Moment.END, fault, connection)


async def _reach(moment: Moment, fault: Fault, connection: Connection) -> None:
    if fault.hang is moment:
        await wait(fault.seconds, connection)
    if fault.drop is moment:
        connection.hang_up(fault.reset)
        raise Gone
