"""An answer read piece by piece, within its cap.

Rule 1: a place on the wire is given back once: as fit after a complete answer, as unfit otherwise.
Rule 2: pieces are bounded, so a compressed answer cannot become a large one in a single step.
Rule 3: what the coding of an answer hides is read as ``_answer`` reads it whole, fault for fault.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol

import anyio

from .._evidence import Phase
from .._wire import MaybeSent, WireResponse
from ._answer import close_quietly, pairs_of, read_answer, run_out
from ._faults import FAULTS, describe
from ._logs import private_logs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from .._wire import Pairs, WireRequest

_PIECE: Final = 262_144  # bytes; what gzip makes of a packet is at most a thousand times as much
_GZIP: Final = zlib.MAX_WBITS | 16
_GZIP_BEGINS: Final = b"\x1f\x8b"
_GZIP_NAMES: Final = frozenset({"gzip", "x-gzip"})
_PLAIN_NAMES: Final = frozenset({"", "identity"})
# What stands for bytes that cannot be unpacked: read whole they would be kept as they came, which
# is no UTF-8 either.
_DAMAGED: Final = b"\xff"


class Place(Protocol):
    """What lent the connection of an answer."""

    def give_back(self, answer: Streamed, *, fit: bool) -> None:
        """Take the connection back; one that is not fit is closed by the next sweep."""

    async def sweep(self) -> None:
        """Close what is not fit."""


class Streamed:
    """An answer of httpx whose body is still to come: ``OpenAnswer`` of the port."""

    def __init__(self, response: httpx.Response, request: WireRequest, place: Place) -> None:
        self.status: int = response.status_code
        self.headers: Pairs = pairs_of(response)
        self.oversized: bool = False
        self._response = response
        self._request = request
        self._place = place
        self._chunks = aiter(response.stream)  # type: ignore[arg-type]  # as in _answer
        self._coding = _Gzip() if _coding_of(response) in _GZIP_NAMES else _Plain()
        self._pieces: Iterator[bytes] = iter(())
        cap = request.endpoint.dialect.max_response_bytes
        self._left_of_cap = [cap, cap]  # bytes: as they come, and as they are unpacked
        self._given_back = False

    async def read(self) -> bytes | MaybeSent:
        """Return the next piece of the decoded body; ``b""`` at its end."""
        if self._given_back:
            return b""
        try:
            with private_logs(self._request):
                piece = await self._next_piece()
        except FAULTS as error:
            reason = describe(error)
        else:
            if self.oversized:
                await self.aclose()
            elif not piece:
                await close_quietly(self._response)
                self._give_back(fit=True)
                await self._place.sweep()  # the transport may have been closed in the meantime
            return piece
        await self.aclose()
        return MaybeSent(Phase.READ, reason)

    async def aclose(self) -> None:
        """Close, cancelled or not; safe to call twice, and after the end."""
        if not self._given_back:
            try:
                await self.shut()
            finally:
                self._give_back(fit=False)
            await self._place.sweep()

    def abandon(self) -> None:
        """Give the place back now; the transport closes what is left."""
        if not self._given_back:
            self._give_back(fit=False)

    async def shut(self) -> None:
        """Close the connection, and end the generators that read from it."""
        await close_quietly(self._response)
        # Cancelled, each of them unwinds, wherever it waits.
        with anyio.CancelScope(shield=True) as scope:
            scope.cancel()
            await run_out(self._chunks)

    def _give_back(self, *, fit: bool) -> None:
        self._given_back = True
        self._place.give_back(self, fit=fit)

    async def _next_piece(self) -> bytes:
        """Return the next piece that is not empty, or ``b""`` at the end or past the cap."""
        while not (piece := next(self._pieces, b"")):
            chunk = await anext(self._chunks, None)
            if chunk is None:
                piece = self._coding.finish()
                break
            if not self._fits(0, chunk):
                return b""
            self._pieces = self._coding.feed(chunk)
        return piece if self._fits(1, piece) else b""

    def _fits(self, which: int, data: bytes) -> bool:
        self._left_of_cap[which] -= len(data)
        self.oversized = self._left_of_cap[which] < 0
        return not self.oversized


async def stream_answer(
    response: httpx.Response, request: WireRequest, place: Place
) -> Streamed | WireResponse:
    """Keep an answer open; one in a coding that was not asked for is read whole."""
    if _coding_of(response) in _GZIP_NAMES | _PLAIN_NAMES:
        return Streamed(response, request, place)
    return await read_answer(response, request)


def _coding_of(response: httpx.Response) -> str:
    return (response.headers.get("content-encoding") or "").strip().lower()


class _Plain:
    """No coding at all."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk

    def finish(self) -> bytes:
        return b""


class _Gzip:
    """gzip, or what only says that it is: some servers name a coding and use none."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(_GZIP)
        self._begin = b""  # until it is long enough to tell
        self._packed: bool | None = None
        self._damaged = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Unpack a chunk, a piece at a time."""
        if self._packed is None:
            chunk = self._begin = self._begin + chunk
            if len(chunk) < len(_GZIP_BEGINS):
                return
            self._packed = chunk.startswith(_GZIP_BEGINS)
        if not self._packed:
            yield chunk
            return
        try:
            while chunk:
                yield self._decoder.decompress(chunk, _PIECE)
                chunk = self._decoder.unconsumed_tail
        except zlib.error:
            self._damaged = True
        if self._damaged or self._decoder.unused_data:
            yield _DAMAGED

    def finish(self) -> bytes:
        """Return what is still to be said at the end."""
        if self._packed is None:
            self._packed = False
            return self._begin
        if not self._packed or self._damaged or self._decoder.eof:
            return b""
        self._damaged = True
        return _DAMAGED
