"""Reads: a whole list, or its rows one by one.

Rule 1: a read ends in rows or in an error; both ways to read end in the same.
Rule 2: a list of any length lets other tasks run.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Generic, NoReturn, Self, TypeVar

from anyio.lowlevel import checkpoint
from attrs import evolve

from ._call import Call, Engine, Terms
from ._codec import CUT, Malformed
from ._errors import AldeamoError, UsageError
from ._models import Message, User
from ._opening import Opening
from ._outcomes import envelope_of, failure, misshapen
from ._retry import Verdict
from ._wire import Exchange, Finding, StreamingTransport, WireRequest, decipher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

RowT = TypeVar("RowT", User, Message)

# About a millisecond of work: long lists must not keep other tasks waiting.
_ROWS_BETWEEN_CHECKPOINTS: Final = 250


async def read_all(
    engine: Engine, terms: Terms, request: WireRequest, noun: type[RowT]
) -> list[RowT]:
    """Read a whole list, or raise; ``UnexpectedResponse`` names the faults of every row."""
    call, finding = await _read(engine, terms, request)
    try:
        page = terms.codec.page(envelope_of(finding).data, noun, call.name)
        while page.advance(_ROWS_BETWEEN_CHECKPOINTS):
            await checkpoint()
        return page.nouns()
    except Malformed as fault:
        error = misshapen(call, finding, fault)
    raise error


class Rows(Generic[RowT]):
    """The rows of one read, each made when it is asked for: an async iterator.

    Over a transport that streams (the default does) rows come while the answer still comes in, in
    constant memory. Attempts are repeated until the first row is there; after that nothing begins
    anew, and a connection that breaks raises ``NoAnswer``. A no that stands behind the rows raises
    where the rows end. The deadline bounds the time on the network, not what you do between rows.

    Reading to the end closes by itself. Where you may leave early use ``async with`` or
    :meth:`aclose`: until then a list that is still coming in keeps its connection, and one that was
    only dropped is a ``ResourceWarning``.

    ``async with client.iter_users("whatsapp") as users:``
    ``    async for user in users: ...``

    One task at a time may ask for rows. Raises as ``users`` does.
    """

    _call: Call
    _finding: Finding
    _opening: Opening | None = None  # while the answer is coming in

    def __init__(
        self, engine: Engine, terms: Terms, request: WireRequest, noun: type[RowT]
    ) -> None:
        self._engine = engine
        self._terms = terms
        self._request = request
        self._noun: type[RowT] = noun
        self._nouns: Iterator[RowT] | None = None
        self._number = 0
        self._waiting = False
        self._over = False
        self._cut_off = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RowT:
        self._check()
        if self._number % _ROWS_BETWEEN_CHECKPOINTS == 0 and self._number:
            await checkpoint()
        while not self._over:
            fault: Malformed | None = None
            try:
                for row in self._nouns or ():
                    self._number += 1
                    return row
                await self._go_on()
            except Malformed as found:
                fault = found
            except BaseException as error:
                self._cut_off = not isinstance(error, AldeamoError)
                await self.aclose()
                raise
            if fault is not None:
                await self.aclose()
                raise misshapen(self._call, self._finding, fault)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the iteration and give its connection back; safe to call twice."""
        self._over = True
        opening, self._opening = self._opening, None
        if opening is not None:
            await opening.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = "over" if self._over else "new" if self._nouns is None else "open"
        return f"Rows({self._request.endpoint.call!r}, {state}, {self._number} rows so far)"

    def __reduce__(self) -> NoReturn:
        raise UsageError("Rows hold a live connection and cannot be copied or pickled.")

    def __del__(self) -> None:
        if self._opening is not None:
            self._opening.abandon()
            warnings.warn(
                "Rows were left before their end; use 'async with client.iter_users(...) as users' "
                "or await aclose().",
                ResourceWarning,
                stacklevel=2,
            )

    def _check(self) -> None:
        if self._waiting:
            raise UsageError("Another task waits for the next of these rows; share them out.")
        if self._cut_off:
            raise UsageError(
                "This iteration was cut off in the middle (a cancellation, a time-out of your "
                "own), so its rows are not complete; begin a new one."
            )

    async def _go_on(self) -> None:
        """Get more rows, or find that there are no more."""
        self._waiting = True
        try:
            if self._nouns is None:
                self._nouns = await self._begin()
            elif self._opening is None:
                self._over = True
            else:
                self._nouns = await self._follow(self._opening)
        finally:
            self._waiting = False

    async def _begin(self) -> Iterator[RowT]:
        engine, codec, opening = self._engine, self._terms.codec, None
        if isinstance(engine.transport, StreamingTransport):
            opening = Opening(engine.transport)
            engine = evolve(engine, transport=opening)
        self._call, self._finding = await _read(engine, self._terms, self._request)
        if opening is not None and opening.rows:
            self._opening = opening
            return codec.nouns(opening.rows, self._noun, 0)
        return codec.rows(envelope_of(self._finding).data, self._noun, self._call.name)

    async def _follow(self, opening: Opening) -> Iterator[RowT]:
        rows = await opening.more()
        if opening.end is not None:
            self._judge(opening.end)
            self._opening = None
            await opening.aclose()
        return self._terms.codec.nouns(rows, self._noun, self._number)

    def _judge(self, end: Exchange) -> None:
        """Judge an answer by what stands around its rows; raise unless it is a success."""
        call = self._call
        finding = decipher(self._request, end, self._terms.codec, datetime.now(UTC))
        *before, last = call.attempts
        last = evolve(last, evidence=finding.evidence, phase=finding.phase, reason=finding.reason)
        call.attempts = (*before, last)
        if finding.timed_out:
            call.out_of_time = finding.phase
        if finding.verdict is not Verdict.OK:
            raise failure(call, finding)
        if envelope_of(finding).data != CUT:
            raise misshapen(call, finding, Malformed("data: stands twice"))


async def _read(engine: Engine, terms: Terms, request: WireRequest) -> tuple[Call, Finding]:
    """Make one read; raise what stands in the way of its rows."""
    call = Call(engine, terms, request, is_send=False)
    engine.tally.reads += 1
    finding = await call.run()
    if finding.verdict is not Verdict.OK:
        raise failure(call, finding)
    return call, finding
