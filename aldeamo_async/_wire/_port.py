"""The port that carries a request, and the three values it answers with.

Rule 1: a transport answers with one of three values and never raises for what the network does.
Rule 2: it says ``Unsent`` only with proof; what it cannot prove is ``MaybeSent``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from attrs import field, frozen

from .._evidence import Phase
from ._request import Pairs, WireRequest

if TYPE_CHECKING:
    from .._settings import Timeouts


@frozen
class WireResponse:
    """A complete answer: status, headers as they came, the decoded body.

    ``oversized`` says that the body went past ``Dialect.max_response_bytes`` and was not kept.
    """

    status: int
    headers: Pairs = field(repr=False)
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    oversized: bool = False

    def header(self, name: str) -> str | None:
        """Return the first header of that name (lower case), or ``None``."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None


@frozen
class Unsent:
    """No byte of the request was handed to the socket, and the transport can prove it."""

    phase: Phase
    reason: str
    timed_out: bool = False  # the call's own time ran out, not a phase's


@frozen
class MaybeSent:
    """Some byte may have left and no complete answer came back, or the transport cannot tell."""

    phase: Phase
    reason: str
    timed_out: bool = False


Exchange: TypeAlias = WireResponse | Unsent | MaybeSent


class Transport(Protocol):
    """What carries a request: one method, three answers.

    A transport promises: it renders the request itself and keeps nothing of it; it answers
    ``Unsent`` only with proof, and what it cannot prove is ``MaybeSent``; it never sends a request
    twice; it follows no redirect; it holds ``timeouts.total`` over all its phases; when it is
    cancelled it lets the cancellation through and is as good as new for the next request. A
    programming error propagates as it is.
    """

    async def exchange(self, request: WireRequest, timeouts: Timeouts) -> Exchange:
        """Put one request on the wire and bring back what is known of it."""
        ...

    async def aclose(self) -> None:
        """Close every connection; safe to call twice."""


class OpenAnswer(Protocol):
    """An answer whose body is still to come.

    It keeps its connection until the end was read (``b""``), ``aclose()`` or ``abandon()``; only a
    complete answer leaves a connection that may be used again.
    """

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Pairs:
        """The headers as they came."""
        ...

    @property
    def oversized(self) -> bool:
        """Whether the end came because the body went past ``Dialect.max_response_bytes``."""
        ...

    async def read(self) -> bytes | MaybeSent:
        """Return the next piece of the decoded body; ``b""`` at its end.

        A connection that breaks, or a read time-out, is ``MaybeSent``. The time of the whole call
        is the caller's to bound, by cancelling; after that there is only ``aclose()``.
        """
        ...

    async def aclose(self) -> None:
        """Close, cancelled or not; safe to call twice, and after the end."""

    def abandon(self) -> None:
        """Give the place back now, where nobody can await; the transport closes what is left.

        It does so with its next request or its own ``aclose()``. Nothing happens after the end.
        """


@runtime_checkable
class StreamingTransport(Transport, Protocol):
    """A transport that can also hand over an answer before all of it has come.

    The promises are those of ``Transport``; ``timeouts.total`` bounds ``open`` alone. One without
    ``open`` is as good: the answers to ``iter_users`` and ``iter_messages`` are then read whole.
    """

    async def open(self, request: WireRequest, timeouts: Timeouts) -> OpenAnswer | Exchange:
        """Put one request on the wire and bring back the head of its answer.

        An answer that cannot come in pieces may come whole.
        """
        ...
