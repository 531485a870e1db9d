"""The embedded ledger: one SQLite file, one connection, one thread at a time, group commit.

Rule 1: the file's lock is the lease: it dies with its process, so whoever opens the file next
knows that every other token is dead.
Rule 2: all marks and results of a batch share one statement and one write to disk; other calls
that write have a transaction each.
Rule 3: after a disk error the file is not written to again until it is opened anew: what a failed
`fsync` lost, the next one does not report.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import anyio.to_thread

from .._errors import CampaignError
from . import _sqlite_statements as sql
from ._commit import GroupCommit, Mark, Record
from ._nouns import Fleet
from ._roll import Roll
from ._sqlite_file import close_file, fault, open_file, primary_code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._nouns import Added, Counts, Entry, Job, Line, Resolution, Result

T = TypeVar("T")


class _Do(NamedTuple):
    """Any other call; what writes has a transaction of its own."""

    work: Callable[[sqlite3.Connection], Any]
    writes: bool


class SqliteLedger:
    """A ``Ledger`` in a SQLite file on a local disk, for one process at a time.

    Args:
        path: the file; it is made when it is first opened.
        clock: seconds since 1970, as the file keeps them.
    """

    def __init__(self, path: str | Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = Path(path)
        self._clock = clock
        self._commits = GroupCommit[Mark | Record | _Do](self._apply)
        self._connection: sqlite3.Connection | None = None
        self._broken: CampaignError | None = None
        self._held: dict[int, str] = {}
        self._roll = Roll(clock, self.lease)

    @property
    def lease(self) -> float:
        """See ``Ledger.lease``: infinite, for the lock of the file ends with its process."""
        return math.inf

    def __repr__(self) -> str:
        return f"SqliteLedger({str(self._path)!r}, {'open' if self._connection else 'closed'})"

    async def open(self) -> None:
        """Lock the file and bring it up to date; see ``Ledger.open``."""
        self._connection = await anyio.to_thread.run_sync(open_file, self._path)
        self._broken = None
        self._held = {}
        self._roll = Roll(self._clock, self.lease)

    async def aclose(self) -> None:
        """Close the file and let go of its lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(close_file, connection, self._path)

    async def mark(self, token: str, message: int) -> bool:
        """See ``Ledger.mark``."""
        marked: bool = await self._commits.submit(Mark(token, message))
        return marked

    async def record(self, token: str, result: Result) -> None:
        """See ``Ledger.record``."""
        await self._commits.submit(Record(token, result))

    async def add(self, source: str, entries: Sequence[Entry]) -> Added:
        """See ``Ledger.add``."""
        return await self._do(lambda connection: sql.add(connection, source, entries), writes=True)

    async def claim(self, token: str, limit: int, chunk: int | None = None) -> Sequence[Job]:
        """See ``Ledger.claim``; what is claimed is known to this process alone."""
        return await self._do(lambda connection: self._claim(connection, token, limit, chunk))

    async def chunks(self, after: int, limit: int) -> Sequence[int]:
        """See ``Ledger.chunks``."""
        return await self._do(
            lambda connection: sql.chunks(connection, after, limit, list(self._held))
        )

    async def renew(self, token: str) -> bool:
        """Return ``True``: nobody can take what this process holds."""
        return True

    async def put_off(self, token: str, messages: Sequence[int], seconds: float) -> None:
        """See ``Ledger.put_off``."""

        def work(connection: sqlite3.Connection) -> None:
            mine = [number for number in messages if self._held.get(number) == token]
            sql.put_off(connection, self._clock() + seconds, mine)
            for number in mine:
                del self._held[number]

        await self._do(work, writes=True)

    async def release(self, token: str) -> None:
        """See ``Ledger.release``."""

        def work(_: sqlite3.Connection) -> None:
            self._held = {n: holder for n, holder in self._held.items() if holder != token}

        await self._do(work)

    async def take_over(self, token: str) -> int:
        """See ``Ledger.take_over``."""
        return await self._do(
            lambda connection: sql.take_over(connection, self._clock(), token), writes=True
        )

    async def next_due(self, chunk: int | None = None) -> float | None:
        """See ``Ledger.next_due``."""
        due = await self._do(lambda connection: sql.next_due(connection, list(self._held), chunk))
        return None if due is None else max(0.0, due - self._clock())

    async def counts(self) -> Counts:
        """See ``Ledger.counts``; reads every message once."""
        return await self._do(sql.counts)

    async def lines(self, after: int, limit: int) -> Sequence[Line]:
        """See ``Ledger.lines``."""
        return await self._do(lambda connection: sql.lines(connection, after, limit))

    async def unknowns(self, after: int, limit: int) -> Sequence[Line]:
        """See ``Ledger.unknowns``."""
        return await self._do(lambda connection: sql.unknowns(connection, after, limit))

    async def resolve(self, resolution: Resolution, messages: Sequence[int] | None = None) -> int:
        """See ``Ledger.resolve``."""
        return await self._do(
            lambda connection: sql.resolve(connection, resolution, messages), writes=True
        )

    async def beat(self, worker: str, recorded: int) -> None:
        """See ``Ledger.beat``; nobody but this process can look, so it is kept in memory."""
        self._roll.beat(worker, recorded)

    async def leave(self, worker: str) -> None:
        """See ``Ledger.leave``."""
        self._roll.leave(worker)

    async def fleet(self) -> Fleet:
        """See ``Ledger.fleet``."""
        held = Counter(self._held.values())
        return Fleet(self._roll.workers(), held.total(), len(held))

    # ── in the worker thread ──────────────────────────────────────────────────────────────────────

    async def _do(self, work: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T:
        value: T = await self._commits.submit(_Do(work, writes))
        return value

    def _apply(self, ops: Sequence[Mark | Record | _Do]) -> Sequence[Any]:
        """Carry a batch out: one statement for marks and results, a transaction for each other
        call."""
        marks = [op for op in ops if isinstance(op, Mark)]
        records = [op for op in ops if isinstance(op, Record)]
        answers: dict[int, Any] = {}
        if marks or records:
            answers = self._write(marks, records)
        for op in ops:
            if isinstance(op, _Do):
                answers[id(op)] = self._try(_in_transaction(op.work) if op.writes else op.work)
        return [answers[id(op)] for op in ops]

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T | Exception:
        """Return what the work returns, once it is on disk; or the error, and then nothing of it
        is."""
        if self._broken is not None:
            return self._broken
        connection = self._connection
        if connection is None:
            return CampaignError(f"{self._path} is closed; open the campaign first.")
        try:
            return work(connection)
        except sqlite3.Error as error:
            problem = fault(error, self._path)
            _roll_back(connection)
            if connection.in_transaction or primary_code(error) != sqlite3.SQLITE_FULL:
                self._broken = problem
            return problem
        except Exception as error:  # noqa: BLE001 - handed to the caller, in the event loop
            _roll_back(connection)
            return error

    def _write(self, marks: list[Mark], records: list[Record]) -> dict[int, Any]:
        """Write marks and results; return the answer for the id of each operation."""
        # Of those who hold the claim of a message, the first to ask is the only one to get it.
        holders = [op for op in marks if self._held.get(op.message) == op.token]
        mine = list({op.message: op for op in reversed(holders)}.values())
        now = self._clock()
        written = self._try(lambda connection: sql.write(connection, now, mine, records))
        if isinstance(written, Exception):
            return dict.fromkeys(map(id, (*marks, *records)), written)
        for op in mine:
            del self._held[op.message]
        won = {id(op) for op in mine if op.message in written}
        return {**dict.fromkeys(map(id, records)), **{id(op): id(op) in won for op in marks}}

    def _claim(
        self, connection: sqlite3.Connection, token: str, limit: int, chunk: int | None
    ) -> list[Job]:
        jobs = sql.claim(connection, self._clock(), limit, list(self._held), chunk)
        self._held |= dict.fromkeys((job.id for job in jobs), token)
        return jobs


def _in_transaction(work: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
    def whole(connection: sqlite3.Connection) -> T:
        connection.execute("BEGIN IMMEDIATE")
        value = work(connection)
        connection.execute("COMMIT")
        return value

    return whole


def _roll_back(connection: sqlite3.Connection) -> None:
    """Undo what the transaction did; SQLite has done so by itself after some errors."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
