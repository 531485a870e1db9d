"""An HTTP server in the event loop of the test, so that a scheduler tick is one for both sides."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener

from support.rawserver import answer
from support.socket_faults import server_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from anyio.abc import ByteStream


class LoopServer:
    """Answers each request with `reply(number)`; `bodies` holds what was read in full."""

    def __init__(self, address: str, reply: Callable[[int], bytes]) -> None:
        self._reply = reply
        self.base_url = f"{address}/bots"
        self.bodies: list[bytes] = []

    def deliveries(self, text: str) -> int:
        """How many bodies held this text."""
        return sum(text.encode() in body for body in self.bodies)

    async def serve(self, stream: ByteStream) -> None:
        buffered = BufferedByteReceiveStream(stream)
        async with stream:
            try:
                while True:
                    head = await buffered.receive_until(b"\r\n\r\n", 65536)
                    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                    self.bodies.append(await buffered.receive_exactly(length))
                    await stream.send(self._reply(len(self.bodies) - 1))
            except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.EndOfStream):
                return


@asynccontextmanager
async def loop_server(
    reply: Callable[[int], bytes] = lambda number: answer(),
    *,
    tls: bool = False,
    name: str = "127.0.0.1",
) -> AsyncGenerator[LoopServer]:
    """Serve on a free loopback port, under that name, while the body runs."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port: int = listener.extra(anyio.abc.SocketAttribute.local_port)
    server = LoopServer(f"{'https' if tls else 'http'}://{name}:{port}", reply)
    context = server_context(host=name)
    door = TLSListener(listener, context, standard_compatible=False) if tls else listener
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(door.serve, server.serve)
        yield server
        tasks.cancel_scope.cancel()
