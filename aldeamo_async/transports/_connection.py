"""One connection over a transport of asyncio: a request goes out, its answer comes in.

Rule 1: one request at a time; what comes unasked ends the connection.
Rule 2: a request ends in a value: its answer, or why it may have been sent without one.
Rule 3: only a complete answer that says so leaves a connection that may be used again.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import httpx

from .._evidence import Phase
from .._wire import MaybeSent, WireResponse
from ._faults import describe
from ._http1 import Bounds
from ._http1_answer import AnswerReader
from ._httpx import OUT_OF_TIME

if TYPE_CHECKING:
    from ._http1 import Origin, Written

_Asked: TypeAlias = "asyncio.Future[WireResponse | MaybeSent]"

# Bytes that are handed over at once. TLS takes whatever it is given, and only when it is given more
# does it show that the network does not take it.
_PIECE: Final = 256 * 1024
_NOTHING: Final = memoryview(b"")
# Seconds of rest after which a busy loop may have missed that the server closed in the meantime.
_LONG_REST: Final = 0.05


class Connection(asyncio.Protocol):
    """One connection, from its handshake to the close of its socket."""

    _transport: asyncio.Transport

    def __init__(self, origin: Origin, loop: asyncio.AbstractEventLoop) -> None:
        self.origin = origin
        self.made = False
        self.idle_since = math.inf
        self.lost: asyncio.Future[None] = loop.create_future()  # done when the socket is closed
        self._loop = loop
        self._reader = AnswerReader()
        self._asked: _Asked | None = None
        self._bounds = Bounds(0, math.inf, math.inf, math.inf)
        self._writing = False  # whether the network has not taken all that it was given
        self._rest = _NOTHING  # of a long request, to be given when it has
        self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether another request may go out over it."""
        return not self._transport.is_closing()

    def fits(self, origin: Origin, now: float, expiry: float) -> bool:
        """Whether a request to ``origin`` may go out over it after its rest."""
        rest = now - self.idle_since
        return (
            self.usable
            and rest <= expiry
            and self.origin == origin
            and not (rest > _LONG_REST and self._has_news())
        )

    async def ask(self, written: Written, bounds: Bounds) -> WireResponse | MaybeSent:
        """Write a request and wait for its answer; whatever goes wrong closes the connection."""
        asked: _Asked = self._loop.create_future()
        self._asked = asked
        self._bounds = bounds
        self._reader.expect(bounds.max_bytes)
        self._expect_within(bounds.read)
        try:
            if len(written.data) <= _PIECE:
                self._transport.write(written.data)
            else:
                self._rest = memoryview(written.data)
                self._write_on()
            return await asked
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close at once, whatever is under way."""
        self._rest = _NOTHING
        self._transport.abort()

    def _write_on(self) -> None:
        """Write until the network takes no more, or all is written."""
        while self._rest and self.usable and not self._writing:
            piece, self._rest = self._rest[:_PIECE], self._rest[_PIECE:]
            self._transport.write(piece)

    def _has_news(self) -> bool:
        """Whether the server has closed, or said something unasked, that the loop has not read."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._transport.get_extra_info("socket"), selectors.EVENT_READ)
            return bool(selector.select(0))

    def _settle(self, asked: _Asked, result: WireResponse | MaybeSent, *, keep: bool) -> None:
        """Hand over what became of the request."""
        self._asked = None
        if keep and not self._writing:
            self._rest = _NOTHING  # an empty view would keep the request, and with it the key
            self.idle_since = self._loop.time()
        else:
            self.close()
        if not asked.done():
            asked.set_result(result)

    # ── time ──

    def _expect_within(self, seconds: float) -> None:
        """Expect progress within so many seconds, and the end before the deadline."""
        self._due = min(self._loop.time() + seconds, self._bounds.deadline)
        # One timer serves many requests: it looks again when it goes off too early.
        if self._timer is None or self._timer.when() > self._due:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if self._due == math.inf else self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        asked = self._asked
        if asked is None:
            return
        if self._loop.time() < self._due:
            self._set_timer()
        else:
            self._settle(asked, self._too_late(), keep=False)

    def _too_late(self) -> MaybeSent:
        phase = Phase.WRITE if self._writing else Phase.READ
        if self._due >= self._bounds.deadline:
            return MaybeSent(phase, OUT_OF_TIME, timed_out=True)
        kind = httpx.WriteTimeout if self._writing else httpx.ReadTimeout
        return MaybeSent(phase, describe(kind("")))

    # ── what asyncio calls ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; hear of a request that the network does not take at once."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=1)  # with 0, that of TLS pauses on nothing
        self.made = True

    def pause_writing(self) -> None:
        """Bound the wait until the network has taken what it was given."""
        self._writing = True
        self._expect_within(self._bounds.write)

    def resume_writing(self) -> None:
        """Write on; bound the wait for the answer, once all is written."""
        self._writing = False
        self._expect_within(self._bounds.read)
        self._write_on()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        asked = self._asked
        if asked is None:
            self.close()
            return
        answer = self._reader.feed(data)
        if answer is not None:
            self._settle(asked, answer, keep=self._reader.keep)
        elif self._reader.broken:
            self._settle(asked, self._how_it_broke(None), keep=False)
        elif not self._writing:
            self._expect_within(self._bounds.read)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: an answer may be complete by that."""
        if self._timer is not None:
            self._timer.cancel()
        if self._asked is not None:
            answer = self._reader.end() if exc is None else None
            self._settle(self._asked, answer or self._how_it_broke(exc), keep=False)
        self.lost.set_result(None)

    def _how_it_broke(self, exc: Exception | None) -> MaybeSent:
        error: httpx.TransportError = httpx.RemoteProtocolError("")
        if exc is not None:
            error = (httpx.WriteError if self._writing else httpx.ReadError)("")
            error.__cause__ = exc
        return MaybeSent(Phase.WRITE if self._writing else Phase.READ, describe(error))
