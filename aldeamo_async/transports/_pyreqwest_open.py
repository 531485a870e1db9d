"""An answer of pyreqwest, read piece by piece, within its cap.

Rule 1: a place on the wire is given back once: as fit after a complete answer, as unfit otherwise.
Rule 2: what is not fit is closed in the same step, so that it needs nobody who can await.
Rule 3: the time of a read is kept here. pyreqwest reads a piece ahead, and its timer runs on while
the caller is busy with the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
from attrs import evolve, frozen

from .._evidence import Phase
from .._wire import MaybeSent
from ._httpx import OUT_OF_TIME
from ._pieces import Pieces, comes_in_pieces
from ._pyreqwest_answer import close, headers_of, plainly_cancelled, whole
from ._pyreqwest_faults import READ_TIMED_OUT, judge, judge_body

if TYPE_CHECKING:
    from pyreqwest.request import StreamRequest
    from pyreqwest.response import Response

    from .._wire import Exchange, Pairs


@frozen
class Wanted:
    """What an answer may cost: bytes, seconds for each read, the time by which its head is due."""

    cap: int
    patience: float | None
    deadline: float


@frozen
class Lender:
    """What lends the connection of an answer."""

    fault: type[Exception]  # every exception of pyreqwest
    give_back: Callable[[bool], None]  # takes the place back; told whether its connection is fit


class Opened:
    """An answer of pyreqwest whose body is still to come: ``OpenAnswer`` of the port."""

    def __init__(
        self, stream: StreamRequest, response: Response, wanted: Wanted, lender: Lender
    ) -> None:
        self.status: int = response.status
        self.headers: Pairs = headers_of(response)
        self.coding = dict(self.headers).get("content-encoding")
        self._stream = stream
        self._reader = response.body_reader
        self._pieces = Pieces(self.coding if comes_in_pieces(self.coding) else None, wanted.cap)
        self._patience = wanted.patience
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
        except TimeoutError:
            piece = READ_TIMED_OUT
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
        with anyio.fail_after(self._patience):
            chunk = await plainly_cancelled(self._reader.read_chunk())
        return None if chunk is None else chunk.to_bytes()


async def open_stream(
    stream: StreamRequest, wanted: Wanted, lender: Lender
) -> Opened | Exchange | None:
    """Send a request and read the head of its answer; one in another coding is read whole.

    ``None`` is for a request that hyper cannot write at all.
    """
    answer: Opened | Exchange | None = MaybeSent(Phase.READ, OUT_OF_TIME, timed_out=True)
    try:
        # A total time of pyreqwest's own would go on for the body, which is the caller's to bound.
        with anyio.CancelScope(deadline=wanted.deadline):
            answer = await _receive(stream, wanted, lender)
    except lender.fault as error:
        out_of_time = anyio.current_time() >= wanted.deadline
        answer = None if isinstance(error, ValueError) else judge(error, out_of_time=out_of_time)
    except TimeoutError:
        answer = READ_TIMED_OUT
    finally:
        if not isinstance(answer, Opened):
            close(stream)
    return answer


async def _receive(stream: StreamRequest, wanted: Wanted, lender: Lender) -> Opened | Exchange:
    with anyio.fail_after(wanted.patience):
        response = await plainly_cancelled(stream.__aenter__())
    answer = Opened(stream, response, wanted, lender)
    if comes_in_pieces(answer.coding):
        return answer
    # The place of an answer that is read whole is given back by the one who opens it.
    return await _whole(Opened(stream, response, wanted, evolve(lender, give_back=_keep)), wanted)


def _keep(fit: bool) -> None:
    """Keep the place."""


async def _whole(answer: Opened, wanted: Wanted) -> Exchange:
    parts: list[bytes] = []
    while piece := await answer.read():
        if isinstance(piece, MaybeSent):
            return piece
        parts.append(piece)
    raw = None if answer.oversized else b"".join(parts)
    return whole(answer.status, answer.headers, raw, answer.coding, wanted.cap)
