"""A transport that hands an answer over in pieces: invented, in this process.

Rule: it keeps the promises of the port, and counts what was given back and how.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from aldeamo_async.transports import MaybeSent, Unsent, WireResponse
from support.clients import Carrier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aldeamo_async.transports import Exchange, OpenAnswer, Timeouts, WireRequest

# A piece of the body, seconds of silence, or what breaks the answer off.
Piece: TypeAlias = bytes | float | MaybeSent


def split(body: bytes, *at: int) -> list[bytes]:
    """A body in pieces that end at these places."""
    ends = [0, *sorted(at), len(body)]
    return [body[a:b] for a, b in pairwise(ends) if a < b]


def bytewise(body: bytes) -> list[bytes]:
    """A body byte by byte."""
    return [body[n : n + 1] for n in range(len(body))]


class Flow:
    """One open answer. `ended` says how: `read`, `closed` or `abandoned`."""

    def __init__(self, answer: WireResponse, pieces: list[Piece]) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.oversized = False
        self._at_end = answer.oversized
        self._pieces: Iterator[Piece] = iter(pieces)
        self.ended = ""

    async def read(self) -> bytes | MaybeSent:
        await checkpoint()
        for piece in self._pieces:
            if isinstance(piece, bytes | MaybeSent):
                return piece
            await anyio.sleep(piece)
        self.oversized = self._at_end
        self.ended = self.ended or "read"
        return b""

    async def aclose(self) -> None:
        self.ended = self.ended or "closed"

    def abandon(self) -> None:
        self.ended = self.ended or "abandoned"


class FlowCarrier(Carrier):
    """A carrier whose answers come in the pieces that `cut` makes of a body."""

    def __init__(
        self,
        act: Callable[[int, WireRequest], Exchange],
        cut: Callable[[bytes], list[Piece]] = lambda body: [body],
    ) -> None:
        super().__init__(act)
        self._cut = cut
        self.flows: list[Flow] = []

    async def open(self, request: WireRequest, timeouts: Timeouts) -> OpenAnswer | Exchange:
        answer = await self.exchange(request, timeouts)
        if not isinstance(answer, WireResponse):
            assert isinstance(answer, Unsent | MaybeSent)
            return answer
        self.flows.append(Flow(answer, self._cut(answer.body)))
        return self.flows[-1]

    @property
    def ends(self) -> list[str]:
        """How each answer ended."""
        return [flow.ended for flow in self.flows]
