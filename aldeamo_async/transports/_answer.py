"""An answer read to its end, within its cap.

Rule 1: a complete answer is never lost over its coding or its closing: what cannot be decoded is
kept as it came.
Rule 2: no more than the cap is kept, before decoding and after it.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator
from itertools import repeat
from typing import TYPE_CHECKING, Final

import anyio

from .._wire import WireResponse
from ._faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from .._wire import Pairs, WireRequest

_GZIP: Final = zlib.MAX_WBITS | 16
# Some servers send "deflate" with its zlib header as the standard asks, others without it.
_CODINGS: Final = {
    "gzip": (_GZIP,),
    "x-gzip": (_GZIP,),
    "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),
}
# Chunks to take from a closed answer until it ends by itself: httpcore reads 64 KiB at a time, and
# a chunk is a byte at least.
_LEFT_OVER: Final = 65_536


async def read_answer(response: httpx.Response, request: WireRequest) -> WireResponse:
    """Read the body, close the response, and decode what came."""
    cap = request.endpoint.dialect.max_response_bytes
    try:
        raw = await _collect(response, cap)
        if raw is not None:
            # All that Response.aclose() does to it, without three layers more.
            await _close(response.stream)  # type: ignore[arg-type]  # as in _collect
    except BaseException:
        await close_quietly(response)
        raise
    headers = pairs_of(response)
    body = None if raw is None else decode(raw, coding_of(headers), cap)
    return WireResponse(
        status=response.status_code,
        headers=headers,
        body=b"" if body is None else body,
        oversized=body is None,
    )


def pairs_of(response: httpx.Response) -> Pairs:
    """Return the headers of an answer as they came."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw
    )


def coding_of(headers: Pairs) -> str:
    """Return the content coding that the headers of an answer name; text without one."""
    # Those of httpx would first look for an encoding that all names and values have in common.
    return ", ".join([value for name, value in headers if name.lower() == "content-encoding"])


async def close_quietly(closable: httpx.Response | httpx.AsyncBaseTransport) -> None:
    """Close, cancelled or not; what cannot be closed properly is closed all the same."""
    with anyio.CancelScope(shield=True):
        await _close(closable)


async def _close(
    closable: httpx.Response | httpx.AsyncByteStream | httpx.AsyncBaseTransport,
) -> None:
    try:
        await closable.aclose()
    except FAULTS:
        return


async def _collect(response: httpx.Response, cap: int) -> bytes | None:
    """Return the body as it came over the wire, or ``None`` where it went past the cap."""
    parts: list[bytes] = []
    size = 0
    chunks = aiter(response.stream)  # type: ignore[arg-type]  # a sync stream ends in a TypeError, as it should
    async for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > cap:
            await close_quietly(response)
            await run_out(chunks)
            return None
    return b"".join(parts)


async def run_out(chunks: AsyncIterator[bytes]) -> None:
    """Let the generators of a closed answer end by themselves.

    Those of httpx do not close one another; left to the garbage collector, they are a warning on
    trio and a stray task on asyncio.
    """
    try:
        for _ in repeat(None, _LEFT_OVER):
            if await anext(chunks, None) is None:
                return
    except FAULTS:
        return
    if isinstance(chunks, AsyncGenerator):  # one that never ends, from a transport of the user
        await chunks.aclose()


def decode(raw: bytes, coding: str | None, cap: int) -> bytes | None:
    """Undo the content coding; ``None`` where the result goes past the cap."""
    for window in _CODINGS.get((coding or "").strip().lower(), ()):
        decoder = zlib.decompressobj(window)
        try:
            body = decoder.decompress(raw, cap + 1)
        except zlib.error:
            continue
        if len(body) > cap:
            return None
        if decoder.eof and not decoder.unused_data:
            return body
    return raw
