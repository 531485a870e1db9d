"""One run over many rows: from the feeder through the client into the results.

Rule 1: every row that was taken gets its line, whatever ends the run; what was cut off under way is
unknown.
Rule 2: the first Ctrl-C takes no more rows and lets those in flight finish; the second cancels
them.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field

from .._client import AsyncBotsClient
from .._files import BadRow, Row
from ._feeder import Feeder
from ._interrupt import Interrupts
from ._results import ResultsWriter
from ._screen import Screen
from ._tally import Tally

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .._models import Outcome, Outgoing

Line: TypeAlias = dict[str, Any]

TICK_SECONDS: Final = 0.1  # how soon a Ctrl-C is seen, and how often the bar moves
UNWRITTEN: Final = 1024  # lines; a disk slower than the network holds the run back here
# A refused key may be one odd row; this many in a row, with nothing sent in between, are not.
AUTH_IN_A_ROW: Final = 20


@define
class BulkRun:
    """Sends all rows of a feeder.

    ``stopped`` says why it took no more rows, ``last`` is the number of the last row taken.
    """

    client: AsyncBotsClient
    feeder: Feeder[Row | BadRow]
    results: ResultsWriter
    interrupts: Interrupts
    screen: Screen
    concurrency: int
    ordered: bool
    tally: Tally = field(factory=Tally)
    stopped: str | None = None
    last: int = 0
    _lines: MemoryObjectSendStream[Line] = field(init=False)
    _under_way: dict[str, Row] = field(factory=dict[str, Row])
    _scope: anyio.CancelScope = field(init=False)
    _done: anyio.Event = field(init=False)

    async def run(self) -> None:
        """Send every row; returns when each that was taken has its line in the results."""
        self._scope, self._done = anyio.CancelScope(), anyio.Event()
        self._lines, to_write = anyio.create_memory_object_stream[Line](UNWRITTEN)
        self.feeder.start()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write, to_write)
                tasks.start_soon(self._watch)
                with self._lines:
                    with self._scope:
                        await self._send_all()
                    self._done.set()
                    for row in self._under_way.values():
                        await self._put(self.tally.cut_short(row))
        finally:
            self.feeder.stop()

    async def _send_all(self) -> None:
        async with aclosing(self._messages()) as messages:
            sending = self.client.send_many(
                messages, concurrency=self.concurrency, ordered=self.ordered
            )
            async with sending as outcomes:
                async for outcome in outcomes:
                    await self._finish(outcome)

    async def _messages(self) -> AsyncGenerator[Outgoing, None]:
        """Yield what can be sent; bad rows go to the results at once."""
        async for row in self.feeder:
            self.last = row.number
            if isinstance(row, BadRow):
                await self._put(self.tally.bad_row(row))
            else:
                self._under_way[str(row.number)] = row
                yield row.outgoing

    async def _finish(self, outcome: Outcome) -> None:
        row = self._under_way.pop(str(outcome.outgoing.client_ref))
        await self._put(self.tally.outcome(row, outcome))
        if self.tally.auth_in_a_row >= AUTH_IN_A_ROW:
            self._stop("the API refuses the key")

    async def _put(self, line: Line) -> None:
        # Shielded: what was counted must be written, so no cancel may come in between.
        with anyio.CancelScope(shield=True):
            await self._lines.send(line)

    async def _write(self, lines: MemoryObjectReceiveStream[Line]) -> None:
        """Write line after line, all that wait in one go."""
        with lines:
            async for line in lines:
                batch = [line]
                while lines.statistics().current_buffer_used:
                    batch.append(lines.receive_nowait())
                await anyio.to_thread.run_sync(self.results.write, batch)
                if self.results.fault:
                    self._stop(self.results.fault)

    async def _watch(self) -> None:
        """Look after the screen and the interrupts until the run is done."""
        while not self._done.is_set():
            with anyio.move_on_after(TICK_SECONDS):
                await self._done.wait()
            self.screen.show(self.tally, frozen_for=self.client.stats().limiter.frozen_for)
            if self.interrupts.count:
                self._stop("interrupted")
            if self.interrupts.count > 1:
                self._scope.cancel()

    def _stop(self, reason: str) -> None:
        if self.stopped is None:
            self.stopped = reason
            self.feeder.stop()
            self.screen.say(
                f"Stopping: {reason}. No more rows are taken; {len(self._under_way)} are finishing."
            )
