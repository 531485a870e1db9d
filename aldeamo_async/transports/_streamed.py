"""An answer read piece by piece, within its cap.

Rule: a place on the wire is given back once: as fit after a complete answer, as unfit otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import anyio

from .._evidence import Phase
from .._wire import MaybeSent, WireResponse
from ._answer import close_quietly, coding_of, pairs_of, read_answer, run_out
from ._faults import FAULTS, describe
from ._logs import private_logs
from ._pieces import Pieces, comes_in_pieces

if TYPE_CHECKING:
    import httpx

    from .._wire import Pairs, WireRequest


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
        self._response = response
        self._request = request
        self._place = place
        self._chunks = aiter(response.stream)  # type: ignore[arg-type]  # as in _answer
        cap = request.endpoint.dialect.max_response_bytes
        self._pieces = Pieces(coding_of(self.headers), cap)
        self._given_back = False

    @property
    def oversized(self) -> bool:
        """Whether the end came because the body went past its cap."""
        return self._pieces.oversized

    async def read(self) -> bytes | MaybeSent:
        """Return the next piece of the decoded body; ``b""`` at its end."""
        if self._given_back:
            return b""
        try:
            with private_logs(self._request):
                piece = await self._pieces.next(self._fetch)
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

    async def _fetch(self) -> bytes | None:
        return await anext(self._chunks, None)


async def stream_answer(
    response: httpx.Response, request: WireRequest, place: Place
) -> Streamed | WireResponse:
    """Keep an answer open; one in a coding that was not asked for is read whole."""
    if comes_in_pieces(coding_of(pairs_of(response))):
        return Streamed(response, request, place)
    return await read_answer(response, request)
