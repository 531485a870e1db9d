"""One chunk of a campaign, worked off once: what an engine of any kind calls, as often as it likes.

Rule 1: safe to redeliver. Twice, at the same time, after a kill, or late: the ledger's claims and
marks decide who sends what; an engine only says who tries.
Rule 2: one claim, and one POST for each mark: what is refused for now is put off in the ledger,
where it survives, and comes up in a later call.
Rule 3: it never sits on a chunk: outside of the send window it gives everything back.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

import anyio
from attrs import evolve, frozen

from .._errors import UsageError
from ._pace import Pace
from ._report import ChunkReport
from ._run import Rules, Run, Surroundings

if TYPE_CHECKING:
    from ..limits import Permit
    from ._nouns import Job

SHUT: Final = "the send window is shut"


def check_chunk(chunk: object) -> None:
    """Refuse what numbers no chunk."""
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise UsageError(f"Chunks are whole numbers from 1, as chunks() gives them; not {chunk!r}.")


class Room:
    """The messages in flight of all chunks that are worked on at once."""

    def __init__(self) -> None:
        self.taken = 0
        self._changed = anyio.Event()

    async def enter(self, size: int) -> None:
        """Wait until fewer than ``size`` are in flight, and be one of them."""
        while self.taken >= size:
            await self._changed.wait()
        self.taken += 1

    def leave(self) -> None:
        """Make room for another."""
        self.taken -= 1
        self._changed.set()
        self._changed = anyio.Event()


@frozen
class Shared:
    """What the chunks of one process share: the room, and what they know of the network."""

    room: Room
    pace: Pace


class ChunkRun(Run):
    """One claim of one chunk, and what becomes of it."""

    def __init__(self, chunk: int, around: Surroundings, rules: Rules, shared: Shared) -> None:
        super().__init__(evolve(around, sender=around.sender.once()), rules)
        self._number = chunk
        self._room = shared.room
        self._pace = shared.pace
        self._claimed = False

    async def work_off(self) -> ChunkReport:
        """Send what is due of the chunk and held by nobody else."""
        began = perf_counter()
        shut = self._shut_for()
        if shut is not None:
            return ChunkReport(chunk=self._number, next_due=shut, stopped=SHUT)
        await self._carry_out()
        done = self.progress
        return ChunkReport(
            chunk=self._number,
            sent=done.sent,
            rejected=done.rejected,
            unknown=done.unknown,
            put_off=done.put_off,
            taken_over=self._taken_over,
            seconds=perf_counter() - began,
            next_due=await self._next_due(),
            stopped=self._stopped,
        )

    async def _next_due(self) -> float | None:
        due = await self._ledger.next_due(self._number)
        return None if due is None else max(due, self._shut_for() or 0.0)

    def _shut_for(self) -> float | None:
        """Return the seconds until the send window opens; ``None``: it is open."""
        window, now = self._rules.window, self._rules.clock()
        if window is None or window.is_open(now):
            return None
        return (window.next_open(now) - now).total_seconds()

    async def _claim(self) -> bool:
        if self._claimed:
            return False
        self._claimed = True
        await self._take(self._number)
        return bool(self._chunk)

    async def _permit(self) -> Permit | None:
        await self._room.enter(self._rules.concurrency)
        try:
            permit = await self._pace.permit()
        except BaseException:
            self._room.leave()
            raise
        if self._shut_for() is None:
            return permit
        permit.release()
        self._room.leave()
        self._stopped = self._stopped or SHUT
        return None

    async def _serve(self, job: Job, permit: Permit) -> None:
        try:
            await super()._serve(job, permit)
        finally:
            self._room.leave()
