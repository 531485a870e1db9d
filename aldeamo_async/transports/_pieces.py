"""A body in pieces: unpacked as it comes, within its cap.

Rule 1: pieces are bounded, so a compressed answer cannot become a large one in a single step.
Rule 2: what the coding of an answer hides is read as ``_answer`` reads it whole, fault for fault.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

_PIECE: Final = 262_144  # bytes; what gzip makes of a packet is at most a thousand times as much
_GZIP: Final = zlib.MAX_WBITS | 16
_GZIP_BEGINS: Final = b"\x1f\x8b"
_GZIP_NAMES: Final = frozenset({"gzip", "x-gzip"})
_PLAIN_NAMES: Final = frozenset({"", "identity"})
# What stands for bytes that cannot be unpacked: read whole they would be kept as they came, which
# is no UTF-8 either.
_DAMAGED: Final = b"\xff"


class Pieces:
    """Makes pieces of the chunks of an answer in one of the codings that come in pieces."""

    def __init__(self, coding: str | None, cap: int) -> None:
        self.oversized = False
        self._coding = _Gzip() if _plainly(coding) in _GZIP_NAMES else _Plain()
        self._ready: Iterator[bytes] = iter(())
        self._left_of_cap = [cap, cap]  # bytes: as they come, and as they are unpacked

    async def next(self, fetch: Callable[[], Awaitable[bytes | None]]) -> bytes:
        """Return the next piece that is not empty, or ``b""`` at the end or past the cap.

        ``fetch`` brings the next chunk as it came over the wire; ``None`` at the end.
        """
        while not (piece := next(self._ready, b"")):
            chunk = await fetch()
            if chunk is None:
                piece = self._coding.finish()
                break
            if not self._fits(0, chunk):
                return b""
            self._ready = self._coding.feed(chunk)
        return piece if self._fits(1, piece) else b""

    def _fits(self, which: int, data: bytes) -> bool:
        self._left_of_cap[which] -= len(data)
        self.oversized = self._left_of_cap[which] < 0
        return not self.oversized


def comes_in_pieces(coding: str | None) -> bool:
    """Tell whether a coding is one that was asked for; any other is read whole."""
    return _plainly(coding) in _GZIP_NAMES | _PLAIN_NAMES


def _plainly(coding: str | None) -> str:
    return (coding or "").strip().lower()


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
                if piece := self._decoder.decompress(chunk, _PIECE):
                    yield piece
                # What stands behind the end is in unused_data, and would stay here for ever.
                chunk = b"" if self._decoder.eof else self._decoder.unconsumed_tail
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
