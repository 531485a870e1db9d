"""A new connection: the name, its addresses, TCP, TLS.

Rule: what fails or is cancelled here was never sent, and leaves no socket behind.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

import anyio
import httpx
from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from .._evidence import Phase
from .._wire import Unsent
from ._connection import Connection
from ._faults import describe
from ._httpx import OUT_OF_TIME

if TYPE_CHECKING:
    import ssl

    from ._http1 import Origin

# Seconds until the next address is tried beside the first, as RFC 8305 advises.
_NEXT_ADDRESS: Final = 0.25


async def dial(
    origin: Origin, context: ssl.SSLContext | None, seconds: float, deadline: float
) -> Connection | Unsent:
    """Connect within so many seconds, and before the deadline on the clock of the loop."""
    loop = asyncio.get_running_loop()
    error: Exception = httpx.ConnectTimeout("")
    with anyio.CancelScope(deadline=min(loop.time() + seconds, deadline)):
        try:
            return await _connect(origin, context, loop)
        except (OSError, UnicodeError) as cause:  # UnicodeError: no name may look like that
            error = httpx.ConnectError("")
            error.__cause__ = cause
    if loop.time() >= deadline:
        return Unsent(Phase.CONNECT, OUT_OF_TIME, timed_out=True)
    return Unsent(Phase.CONNECT, describe(error))


async def _connect(
    origin: Origin, context: ssl.SSLContext | None, loop: asyncio.AbstractEventLoop
) -> Connection:
    reached = await _reach(origin, loop)
    connection = Connection(origin, loop)
    name = origin.host if context is not None else None
    try:
        await loop.create_connection(
            lambda: connection, sock=reached, ssl=context, server_hostname=name
        )
    except BaseException:
        if connection.made:  # asyncio would wait 30 s for the farewell of the server's TLS
            connection.close()
        reached.close()
        raise
    return connection


async def _reach(origin: Origin, loop: asyncio.AbstractEventLoop) -> socket.socket:
    """Return a socket that is connected to the first address of the host that answers."""
    found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    # In a task of its own: where several addresses race, a cancellation may be lost in there.
    racing = loop.create_task(start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS))
    try:
        return await asyncio.shield(racing)
    except asyncio.CancelledError:
        racing.cancel()
        racing.add_done_callback(_close)
        raise


def _close(racing: asyncio.Task[socket.socket]) -> None:
    """Close what was reached for nobody."""
    if not racing.cancelled() and racing.exception() is None:
        racing.result().close()
