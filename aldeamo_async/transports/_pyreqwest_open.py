"""An answer of pyreqwest, read piece by piece, within its cap.

Rule 1: a place on the wire is given back once: as fit after a complete answer, as unfit otherwise.
Rule 2: what is not fit is closed in the same step, so that it needs nobody who can await.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from attrs import frozen

from .._evidence import Phase
from .._wire import MaybeSent, WireResponse
from ._httpx import OUT_OF_TIME
from ._pieces import Pieces, comes_in_pieces
from ._pyreqwest_answer import close, collect, headers_of, plainly_cancelled, whole
from ._pyreqwest_faults import judge, judge_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyreqwest.request import StreamRequest
    from pyreqwest.response import Response

    from .._wire import Exchange, Pairs


@frozen
class Lender:
    """What lends the connection of an answer."""

    fault: type[Exception]  # every exception of pyreqwest
    give_back: Callable[[bool], None]  # takes the place back; told whether its connection is fit


class Opened:
    """An answer of pyreqwest whose body is still to come: ``OpenAnswer`` of the port."""

    def __init__(
        self,
        stream: StreamRequest,
        response: Response,
        headers: Pairs,
        pieces: Pieces,
        lender: Lender,
    ) -> None:
        self.status: int = response.status
        self.headers: Pairs = headers
        self._stream = stream
        self._reader = response.body_reader
        self._pieces = pieces
        self._lender = lender
        self._given_back = False

    @property
    def oversized(self) -> bool:
        """Whether the end came because the body went past its cap."""
        return self._pieces.oversized

    async def read(self) -> bytes | MaybeSent:
        """Return the next piece of the decoded body; ``b""`` at its end."""
        if self._given_back:
            return b""
        piece: bytes | MaybeSent
        try:
            piece = await self._pieces.next(self._fetch)
        except self._lender.fault as error:
            piece = judge_body(error)
        if self.oversized or isinstance(piece, MaybeSent):
            self.abandon()
        elif not piece:
            self._give_back(fit=True)
        return piece

    async def aclose(self) -> None:
        """Close, cancelled or not; safe to call twice, and after the end."""
        self.abandon()

    def abandon(self) -> None:
        """Close, where nobody can await."""
        if not self._given_back:
            close(self._stream)
            self._give_back(fit=False)

    def _give_back(self, *, fit: bool) -> None:
        self._given_back = True
        self._lender.give_back(fit)

    async def _fetch(self) -> bytes | None:
        chunk = await plainly_cancelled(self._reader.read_chunk())
        return None if chunk is None else chunk.to_bytes()


async def open_stream(
    stream: StreamRequest, cap: int, deadline: float, lender: Lender
) -> Opened | Exchange | None:
    """Send a request and read the head of its answer; one in another coding is read whole.

    ``None`` is for a request that hyper cannot write at all.
    """
    answer: Opened | WireResponse | None = None
    verdict: Exchange | None = MaybeSent(Phase.READ, OUT_OF_TIME, timed_out=True)
    try:
        # The time of pyreqwest's own would run on over the body, which is the caller's to bound.
        with anyio.CancelScope(deadline=deadline):
            answer = await _receive(stream, cap, lender)
    except lender.fault as error:
        out_of_time = anyio.current_time() >= deadline
        verdict = None if isinstance(error, ValueError) else judge(error, out_of_time=out_of_time)
    finally:
        if not isinstance(answer, Opened):
            close(stream)
    return verdict if answer is None else answer


async def _receive(stream: StreamRequest, cap: int, lender: Lender) -> Opened | WireResponse:
    response = await plainly_cancelled(stream.__aenter__())
    headers = headers_of(response)
    coding = dict(headers).get("content-encoding")
    if comes_in_pieces(coding):
        return Opened(stream, response, headers, Pieces(coding, cap), lender)
    return whole(response.status, headers, await collect(response, cap), cap)
