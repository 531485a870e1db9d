"""One connection of the socket door, which a plan can hang up at any moment.

Law: what waits on a connection wakes when it ends; what it was about to do is not done.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, cast

import anyio
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from ._sandbox import Sandbox

CONNECTION = "aldeamo_async.sandbox.connection"
# SO_LINGER on, 0 s: closing sends RST. Winsock has shorts where POSIX has ints.
_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Connection(H11Protocol):
    """One connection, which a plan can hang up at any moment."""

    def __init__(self, *args: Any, sandbox: Sandbox, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False
        self.app_state = {CONNECTION: self}
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


class Gone(Exception):
    """The connection ended: by the plan or by the client."""


async def wait(seconds: float, connection: Connection) -> None:
    """Wait, unless the client leaves: then nothing more happens to its request."""
    if not seconds:
        return
    with anyio.move_on_after(seconds):
        await connection.lost.wait()
        raise Gone
