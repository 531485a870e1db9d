"""A ledger in memory: the public fake of the port, for tests of your own code.

Rule: it keeps every promise of ``Ledger`` but durability, leases that run out included; it forgets
all when its process ends, so it is nothing to send real messages with.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, evolve

from .._models import Outgoing
from .._redact import mask_id
from ._nouns import (
    Added,
    Aside,
    Counts,
    Entry,
    Fleet,
    Job,
    Line,
    Resolution,
    Result,
    State,
    by_state,
    chunk_of,
)
from ._roll import Roll
from ._words import ASSUMED, INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEASE_SECONDS: Final = 30.0  # three heartbeats


@define
class _Row:
    """One message: its line, and what only a ledger knows of it."""

    line: Line
    token: str | None = None
    not_before: float = 0.0
    held_by: str | None = None
    held_until: float = 0.0


class MemoryLedger:
    """A ``Ledger`` without a file.

    Args:
        clock: seconds; by default those of the running event loop, which a virtual clock can move.
        lease: seconds that a claim holds without ``renew``.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = anyio.current_time,
        lease: float = LEASE_SECONDS,
    ) -> None:
        self._clock = clock
        self._lease = lease
        self._rows: dict[int, _Row] = {}
        self._refs: dict[str, int] = {}
        self._aside: dict[tuple[str, int, str], Line] = {}
        self._last = 0
        self._roll = Roll(clock, lease)

    @property
    def lease(self) -> float:
        """See ``Ledger.lease``."""
        return self._lease

    def __repr__(self) -> str:
        return f"MemoryLedger({len(self._rows)} messages)"

    async def open(self) -> None:
        """Do nothing: memory is always open."""
        await checkpoint()

    async def aclose(self) -> None:
        """Do nothing; what was added stays, for the next to open it."""
        await checkpoint()

    async def add(self, source: str, entries: Sequence[Entry]) -> Added:
        """See ``Ledger.add``."""
        await checkpoint()
        added = duplicates = 0
        conflicts: list[Entry] = []
        for entry in entries:
            self._last += 1
            line = _line_of(self._last, source, entry)
            held = self._rows.get(self._refs.get(entry.client_ref, 0))
            if entry.problem:
                self._keep_aside(line, Aside.INVALID, entry.problem)
            elif held is None:
                self._rows[line.id] = _Row(line)
                self._refs[entry.client_ref] = line.id
                added += 1
            elif _content(held.line) != _content(line):
                conflicts.append(entry)
                where = f"line {held.line.line}, to {mask_id(held.line.client_id)}"
                self._keep_aside(
                    line, Aside.CONFLICT, f"its client_ref belongs to another message ({where})"
                )
            else:
                duplicates += 1
                if (held.line.source, held.line.line) != (source, entry.line):
                    problem = f"the same message stands in line {held.line.line}"
                    self._keep_aside(line, Aside.DUPLICATE, problem)
        return Added(added, duplicates, tuple(conflicts))

    def _keep_aside(self, line: Line, kind: Aside, problem: str) -> None:
        place = (line.source, line.line, line.client_ref)
        self._aside.setdefault(place, evolve(line, state=kind, detail=problem))

    async def claim(self, token: str, limit: int, chunk: int | None = None) -> Sequence[Job]:
        """See ``Ledger.claim``."""
        await checkpoint()
        now = self._clock()
        jobs: list[Job] = []
        for row in self._of(chunk):
            if len(jobs) < limit and self._free(row, now) and row.not_before <= now:
                row.held_by, row.held_until = token, now + self._lease
                jobs.append(Job(row.line.id, _outgoing(row.line), row.line.attempts))
        return jobs

    async def chunks(self, after: int, limit: int) -> Sequence[int]:
        """See ``Ledger.chunks``."""
        await checkpoint()
        now = self._clock()
        found = {chunk_of(row.line.id) for row in self._of(None) if self._free(row, now)}
        return sorted(chunk for chunk in found if chunk > after)[:limit]

    def _of(self, chunk: int | None) -> list[_Row]:
        """Return the messages of a chunk, or all."""
        rows = self._rows.items()
        return [row for number, row in rows if chunk is None or chunk_of(number) == chunk]

    def _free(self, row: _Row, now: float) -> bool:
        """Tell whether a message is pending and nobody's."""
        return row.line.state is State.PENDING and (row.held_by is None or row.held_until <= now)

    async def renew(self, token: str) -> bool:
        """See ``Ledger.renew``."""
        await checkpoint()
        now = self._clock()
        mine = [row for row in self._rows.values() if row.held_by == token]
        lost = any(row.held_until <= now for row in mine)
        for row in mine:
            row.held_until = 0.0 if lost else now + self._lease
        return not lost

    async def mark(self, token: str, message: int) -> bool:
        """See ``Ledger.mark``."""
        await checkpoint()
        row = self._rows[message]
        line, now = row.line, self._clock()
        if line.state is not State.PENDING or row.held_by != token or row.held_until <= now:
            return False
        row.line = evolve(line, state=State.ATTEMPTING, attempts=line.attempts + 1, updated=now)
        row.token = token
        return True

    async def record(self, token: str, result: Result) -> None:
        """See ``Ledger.record``."""
        await checkpoint()
        row = self._rows[result.id]
        if row.token != token or row.line.state not in (State.ATTEMPTING, State.UNKNOWN):
            return
        now = self._clock()
        row.line = evolve(
            row.line,
            state=result.state,
            attempts=row.line.attempts + result.attempts - 1,
            message_id=result.message_id,
            reason=result.reason,
            detail=result.detail,
            updated=now,
        )
        row.not_before = now + result.delay
        row.held_by = None

    async def put_off(self, token: str, messages: Sequence[int], seconds: float) -> None:
        """See ``Ledger.put_off``."""
        await checkpoint()
        for row in (self._rows[number] for number in messages):
            if row.held_by == token:
                row.not_before = self._clock() + seconds
                row.held_by = None

    async def release(self, token: str) -> None:
        """See ``Ledger.release``."""
        await checkpoint()
        for row in self._rows.values():
            if row.held_by == token and row.line.state is State.PENDING:
                row.held_by = None

    async def take_over(self, token: str) -> int:
        """See ``Ledger.take_over``."""
        await checkpoint()
        now = self._clock()
        left = [
            row
            for row in self._rows.values()
            if row.line.state is State.ATTEMPTING and row.token != token and row.held_until <= now
        ]
        for row in left:
            row.line = evolve(row.line, state=State.UNKNOWN, reason=INTERRUPTED, updated=now)
        return len(left)

    async def next_due(self, chunk: int | None = None) -> float | None:
        """See ``Ledger.next_due``."""
        await checkpoint()
        now = self._clock()
        waits = [
            max(row.not_before, row.held_until if row.held_by else 0.0) - now
            for row in self._of(chunk)
            if row.line.state is State.PENDING
        ]
        return max(0.0, min(waits)) if waits else None

    async def counts(self) -> Counts:
        """See ``Ledger.counts``."""
        await checkpoint()
        lines = [row.line for row in self._rows.values()]
        states = Counter(State(line.state) for line in lines)
        reasons = Counter((State(line.state), line.reason) for line in lines if line.reason)
        kinds = Counter(Aside(line.state) for line in self._aside.values())
        return Counts(
            {state: states[state] for state in State},
            {kind: kinds[kind] for kind in Aside},
            by_state((*key, number) for key, number in reasons.items()),
        )

    async def lines(self, after: int, limit: int) -> Sequence[Line]:
        """See ``Ledger.lines``."""
        await checkpoint()
        every = [*(row.line for row in self._rows.values()), *self._aside.values()]
        found = [line for line in every if line.id > after]
        return sorted(found, key=lambda line: line.id)[:limit]

    async def unknowns(self, after: int, limit: int) -> Sequence[Line]:
        """See ``Ledger.unknowns``."""
        lines = (row.line for row in self._unknown(None))
        await checkpoint()
        return [line for line in lines if line.id > after][:limit]

    async def resolve(self, resolution: Resolution, messages: Sequence[int] | None = None) -> int:
        """See ``Ledger.resolve``."""
        await checkpoint()
        chosen = self._unknown(messages)
        for row in chosen if resolution is not Resolution.HOLD else ():
            row.token = row.held_by = None
            row.not_before = 0.0
            if resolution is Resolution.RESEND:
                row.line = evolve(row.line, state=State.PENDING, reason="", detail="")
            else:
                row.line = evolve(row.line, state=State.SENT, reason=ASSUMED)
        return len(chosen)

    async def beat(self, worker: str, recorded: int) -> None:
        """See ``Ledger.beat``."""
        await checkpoint()
        self._roll.beat(worker, recorded)

    async def leave(self, worker: str) -> None:
        """See ``Ledger.leave``."""
        await checkpoint()
        self._roll.leave(worker)

    async def fleet(self) -> Fleet:
        """See ``Ledger.fleet``."""
        await checkpoint()
        now = self._clock()
        held = [row.held_by for row in self._rows.values() if row.held_by and row.held_until > now]
        return Fleet(self._roll.workers(), len(held), len(set(held)))

    def _unknown(self, messages: Sequence[int] | None) -> list[_Row]:
        return [
            row
            for number, row in self._rows.items()
            if row.line.state is State.UNKNOWN and (messages is None or number in messages)
        ]


def _line_of(number: int, source: str, entry: Entry) -> Line:
    return Line(
        number,
        source,
        entry.line,
        entry.client_ref,
        entry.channel,
        entry.client_id,
        entry.text,
        State.PENDING,
    )


def _content(line: Line) -> tuple[str, str, str]:
    return line.channel, line.client_id, line.text


def _outgoing(line: Line) -> Outgoing:
    return Outgoing(line.channel, line.client_id, line.text, line.client_ref)
