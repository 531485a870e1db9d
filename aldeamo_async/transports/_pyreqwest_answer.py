"""An answer of pyreqwest, read to its end within its cap, or cut off.

Rule 1: whatever ends the reading early (the cap, a fault, a cancellation) closes its connection.
Rule 2: a cancellation passes as it came: pyreqwest puts one of its own in its place, in which
neither anyio nor a caller of ``task.cancel(message)`` knows the one that they asked for.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from .._wire import WireResponse
from ._answer import decode

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from pyreqwest.request import StreamRequest
    from pyreqwest.response import Response

    from .._wire import Pairs

T = TypeVar("T")


async def read_stream(stream: StreamRequest, cap: int) -> WireResponse:
    """Send a request and read its answer; decode what came."""
    raw: bytes | None = None
    try:
        response = await plainly_cancelled(stream.__aenter__())
        headers = headers_of(response)
        told = dict(headers)
        raw = await _body(response, told, cap)
    finally:
        # A body read to its end has left nothing to close.
        if raw is None:
            close(stream)
    return whole(response.status, headers, raw, told.get("content-encoding"), cap)


def whole(
    status: int, headers: Pairs, raw: bytes | None, coding: str | None, cap: int
) -> WireResponse:
    """Make an answer of its body as it came; ``None`` stands for one past the cap."""
    body = None if raw is None else decode(raw, coding, cap)
    return WireResponse(status, headers, body or b"", oversized=body is None)


def close(stream: StreamRequest) -> None:
    """Close the connection of a request whose answer is not read to its end.

    An answer that is only dropped keeps its connection until the server sends more, or its read
    time-out. pyreqwest closes in one step; without an answer there is nothing to close, and it says
    so with a ``RuntimeError``.
    """
    with suppress(StopIteration, RuntimeError):
        stream.__aexit__(None, None, None).send(None)


@coroutine
def plainly_cancelled(call: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await a call of pyreqwest; end it where it is cancelled, and raise what was thrown in."""
    try:
        while True:
            yield call.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    except asyncio.CancelledError as cut:
        with suppress(Exception, asyncio.CancelledError):
            # An answer that came in the same moment is taken first, for its stream to be closed.
            call.send(None)
            call.throw(cut)
        call.close()
        raise


async def _body(response: Response, told: dict[str, str], cap: int) -> bytes | None:
    """Return the body as it came over the wire, or ``None`` where it goes past the cap."""
    length = told.get("content-length")
    if length is None or "transfer-encoding" in told:
        return await _collect(response, cap)
    if int(length) > cap:
        return None
    return (await plainly_cancelled(response.bytes())).to_bytes()


async def _collect(response: Response, cap: int) -> bytes | None:
    """Read a body that does not say how long it is."""
    parts: list[bytes] = []
    size = 0
    while (chunk := await plainly_cancelled(response.body_reader.read_chunk())) is not None:
        parts.append(chunk.to_bytes())
        size += len(chunk)
        if size > cap:
            return None
    return b"".join(parts)


def headers_of(response: Response) -> Pairs:
    """Return the headers, names in lower case."""
    try:
        return tuple(response.headers.items())
    except ValueError:  # one of them is not ASCII, and pyreqwest shows none of it
        return tuple(_readable(response))


def _readable(response: Response) -> list[tuple[str, str]]:
    """Return the headers that pyreqwest can show."""
    shown: list[tuple[str, str]] = []
    for name in dict.fromkeys(response.headers):
        try:
            shown += [(name, value) for value in response.headers.getall(name)]
        except ValueError:
            continue
    return shown
