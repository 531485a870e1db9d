"""A TCP connection, made in the event loop: a name that does not resolve, or a host that does not
answer, can be cancelled at once.

Rule: what is not handed back is closed.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

import anyio

from .._evidence import Phase
from .._wire import Unsent

_UNDER_WAY: Final = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN})


async def connect(host: str, port: int, timeout: float | None) -> socket.socket | Unsent:
    """Connect to the first address of a host that answers, each within ``timeout`` seconds."""
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return Unsent(Phase.CONNECT, f"the host name {host!r} does not resolve")
    reason = "no address"
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            reason = await _reach(sock, address, timeout)
        except BaseException:
            sock.close()
            raise
        if not reason:
            return sock
        sock.close()
    return Unsent(Phase.CONNECT, f"no connection to {host}:{port}: {reason}")


async def _reach(sock: socket.socket, address: object, timeout: float | None) -> str:
    """Return what stood in the way of a connection; ``""`` where nothing did."""
    sock.setblocking(False)
    number = sock.connect_ex(address)  # type: ignore[arg-type]
    if number in _UNDER_WAY:
        with anyio.move_on_after(timeout) as scope:
            await anyio.wait_writable(sock)
        if scope.cancelled_caught:
            return "it did not answer within the time-out"
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return os.strerror(number) if number else ""
