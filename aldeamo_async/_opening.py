"""An answer whose rows are read as they come in: opened, followed, and judged at its end.

Rule 1: until its first rows are there it is an attempt like any other, and may be tried again; so a
list that comes in one piece is read whole and judged as ever.
Rule 2: the time of the call is time on the network; what the caller does between two rows is free.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import anyio

from ._codec import Malformed, RowStream, Stage
from ._evidence import Phase
from ._wire import MaybeSent, Unsent, WireResponse

if TYPE_CHECKING:
    from ._settings import Timeouts
    from ._wire import Exchange, OpenAnswer, StreamingTransport, WireRequest

# What an attempt is told whose rows have begun to come: a yes exactly as documented, of which
# nothing is counted. The true answer is judged when all of it is there.
_YES: Final = b'{"status": true, "codigo": 0, "message": "", "data": []}'
_OUT_OF_TIME: Final = MaybeSent(Phase.READ, "the time of the call ran out", timed_out=True)


class Opening:
    """Carries the attempts of one call over a streaming transport: a ``Transport`` of its own.

    Where ``exchange`` left ``rows``, ``more()`` brings the others, until ``end`` says how it ended:
    with the frame that stood around the rows, or with what broke it off.
    """

    _answer: OpenAnswer  # of the last attempt that brought one

    def __init__(self, transport: StreamingTransport) -> None:
        self._transport = transport
        self._stream = RowStream()
        self._left = math.inf  # seconds on the network
        self.rows: list[Any] = []
        self.end: Exchange | None = None

    async def exchange(self, request: WireRequest, timeouts: Timeouts) -> Exchange:
        """Make an attempt, until it has brought rows or everything."""
        total = math.inf if timeouts.total is None else timeouts.total
        began = anyio.current_time()
        answer = await self._transport.open(request, timeouts)
        if isinstance(answer, WireResponse | Unsent | MaybeSent):
            return answer
        self._answer, self._stream = answer, RowStream()
        self._left = began + total - anyio.current_time()
        try:
            return await self._begin(answer)
        finally:
            if not self.rows:
                await self.aclose()

    async def more(self) -> list[Any]:
        """Return the next rows; the last ones come together with the ``end``.

        Raises ``Malformed`` for what cannot be the rest of a list.
        """
        answer, stream = self._answer, self._stream
        rows: list[Any] = []
        while self.end is None and (not rows or stream.stage is Stage.TAIL):
            piece = await self._read(answer)
            if isinstance(piece, MaybeSent):
                self.end = piece
            elif piece:
                rows += stream.feed(piece)
            elif answer.oversized:
                self.end = _whole(answer, b"")
            else:
                rows += stream.finish()
                self.end = _whole(answer, stream.frame())
        return rows

    async def aclose(self) -> None:
        """Close the answer that is open; safe to call twice."""
        await self._answer.aclose()

    def abandon(self) -> None:
        """Let go of the answer where nobody can await."""
        self._answer.abandon()

    async def _begin(self, answer: OpenAnswer) -> Exchange:
        """Read until there are rows, or to the end of an answer that is no long list."""
        parts: list[bytes] = []
        by_rows = 200 <= answer.status < 300
        while piece := await self._read(answer):
            if isinstance(piece, MaybeSent):
                return piece
            parts.append(piece)
            if by_rows:
                try:
                    rows = self._stream.feed(piece)
                except Malformed:
                    rows = []
                    by_rows = False  # judged when it is whole
                if rows and self._stream.stage is Stage.ROWS:
                    self.rows = rows
                    return WireResponse(answer.status, answer.headers, _YES)
                by_rows = by_rows and self._stream.stage is not Stage.WHOLE
        return _whole(answer, b"" if answer.oversized else b"".join(parts))

    async def _read(self, answer: OpenAnswer) -> bytes | MaybeSent:
        """Read a piece within the time that is left."""
        began = anyio.current_time()
        piece: bytes | MaybeSent = _OUT_OF_TIME
        with anyio.CancelScope(deadline=began + self._left):
            piece = await answer.read()
        self._left -= anyio.current_time() - began
        return piece


def _whole(answer: OpenAnswer, body: bytes) -> WireResponse:
    return WireResponse(answer.status, answer.headers, body, answer.oversized)
