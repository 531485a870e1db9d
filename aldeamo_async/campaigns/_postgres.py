"""The shared ledger: PostgreSQL, for many runs on many machines at the same time.

Rule 1: the server decides: by its clock, under its locks, in its rows. This process remembers
nothing that counts.
Rule 2: marks and results of a batch are one statement, one round trip and one commit; whoever
waits for the disk waits together (group commit).
Rule 3: runs and reports have a connection each, so that no count or export delays a mark or a
heartbeat.
"""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from .._errors import CampaignError, UsageError
from . import _postgres_fleet as fleets
from . import _postgres_leases as leases
from . import _postgres_rows as rows
from ._commit import GroupCommit, Mark, Record
from ._postgres_claims import Claim
from ._postgres_load import add
from ._postgres_marks import Batch
from ._postgres_schema import prepare
from ._postgres_url import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Connection
    from psycopg.rows import TupleRow

    from ._nouns import Added, Counts, Entry, Fleet, Job, Line, Resolution, Result
    from ._postgres_link import Link

    # What is done with the connection of a campaign of that number.
    Work: TypeAlias = Callable[[Connection[TupleRow], int], "T"]
    # Any call but a mark or a result.
    Do: TypeAlias = Callable[[Link], Any]

T = TypeVar("T")


class PostgresLedger:
    """A ``Ledger`` in a PostgreSQL database, for any number of processes at a time.

    Args:
        url: ``postgresql://user:password@host/database?campaign=promo``. Without ``campaign`` it
            is the one called ``default``. ``patience`` is the number of seconds for which a server
            that is away is waited for, 600 by default; ``lease`` those after which a run that gives
            no sign of life may be taken over, 30 by default; all else is libpq's.
        lease: the same as in the URL; it must be the same for all runs of a campaign.

    Raises:
        UsageError: psycopg is not installed, or the URL cannot be read.
    """

    def __init__(self, url: str, *, lease: float | None = None) -> None:
        self._address = parse(url)
        self._lease = self._address.lease if lease is None else lease
        self._campaign: int | None = None
        self._turn = random.getrandbits(30)
        self._found_dead = 0  # unknown messages of dead runs that a claim came upon
        try:
            from . import _postgres_link as link
        except ImportError:
            raise UsageError(
                "A campaign in PostgreSQL needs psycopg 3. "
                "Install it with: pip install 'aldeamo-async[postgres]'"
            ) from None
        link.check(self._address)
        self._worker = link.worker_name()
        self._outage = link.Outage(self._address.shown, self._address.patience)
        self._run_link = link.Link(self._address, self._outage, link.BY_KEY)
        self._report_link = link.Link(self._address, self._outage, link.WHOLE)
        self._runs = GroupCommit["Mark | Record | Do"](self._apply)
        self._reports = GroupCommit["Do"](self._apply_reports)

    @property
    def lease(self) -> float:
        """See ``Ledger.lease``."""
        return self._lease

    def __repr__(self) -> str:
        state = "closed" if self._campaign is None else "open"
        return f"PostgresLedger({self._address.shown!r}, {self._address.campaign!r}, {state})"

    async def open(self) -> None:
        """Connect, make the tables or bring them up to date, and forget runs that were over a week
        ago; see ``Ledger.open``."""
        self._outage.closing.clear()
        await self._runs.submit(self._open)

    async def aclose(self) -> None:
        """Close the connections; whoever waits for the server waits no longer."""
        self._campaign = None
        self._outage.closing.set()
        await self._runs.submit(lambda link: link.close())
        await self._reports.submit(lambda link: link.close())

    # ── of a run ──────────────────────────────────────────────────────────────────────────────────

    async def mark(self, token: str, message: int) -> bool:
        """See ``Ledger.mark``."""
        marked: bool = await self._runs.submit(Mark(token, message))
        return marked

    async def record(self, token: str, result: Result) -> None:
        """See ``Ledger.record``."""
        await self._runs.submit(Record(token, result))

    async def claim(self, token: str, limit: int, chunk: int | None = None) -> Sequence[Job]:
        """See ``Ledger.claim``; what dead runs held is free."""
        turn = self._next_turn()

        def work(connection: Connection[TupleRow], campaign: int) -> list[Job]:
            self._found_dead += leases.take_over(connection, campaign, token, self._lease)
            claim = Claim(connection, campaign, turn, chunk)
            return claim.take(token, self._worker, self._lease, limit)

        return await self._run(work, whole=True)

    async def renew(self, token: str) -> bool:
        """See ``Ledger.renew``; a lease that ran out and that nobody took is kept."""
        return await self._run(lambda on, campaign: leases.renew(on, campaign, token, self._lease))

    async def put_off(self, token: str, messages: Sequence[int], seconds: float) -> None:
        """See ``Ledger.put_off``."""
        await self._run(lambda on, campaign: leases.put_off(on, campaign, token, messages, seconds))

    async def release(self, token: str) -> None:
        """See ``Ledger.release``."""
        await self._run(lambda on, campaign: leases.release(on, campaign, token), whole=True)

    async def take_over(self, token: str) -> int:
        """See ``Ledger.take_over``: of runs whose lease ran out, never of one that lives."""
        found = await self._run(
            lambda on, campaign: leases.take_over(on, campaign, token, self._lease), whole=True
        )
        before, self._found_dead = self._found_dead, 0
        return before + found

    async def next_due(self, chunk: int | None = None) -> float | None:
        """See ``Ledger.next_due``."""
        return await self._run(
            lambda on, campaign: leases.next_due(on, campaign, self._lease, fleets.span(chunk))
        )

    async def chunks(self, after: int, limit: int) -> Sequence[int]:
        """See ``Ledger.chunks``."""
        return await self._run(lambda on, campaign: fleets.chunks(on, campaign, after, limit))

    async def beat(self, worker: str, recorded: int) -> None:
        """See ``Ledger.beat``."""
        await self._run(lambda on, campaign: fleets.beat(on, campaign, worker, recorded))

    async def leave(self, worker: str) -> None:
        """See ``Ledger.leave``."""
        await self._run(lambda on, campaign: fleets.leave(on, campaign, worker))

    async def fleet(self) -> Fleet:
        """See ``Ledger.fleet``."""
        return await self._report(lambda on, campaign: fleets.fleet(on, campaign, self._lease))

    # ── of the whole ──────────────────────────────────────────────────────────────────────────────

    async def add(self, source: str, entries: Sequence[Entry]) -> Added:
        """See ``Ledger.add``."""
        turn = self._next_turn()
        return await self._report(
            lambda on, campaign: add(on, campaign, turn, source, entries), whole=True
        )

    async def counts(self) -> Counts:
        """See ``Ledger.counts``; reads what became of every message once."""
        return await self._report(rows.counts)

    async def lines(self, after: int, limit: int) -> Sequence[Line]:
        """See ``Ledger.lines``."""
        return await self._report(lambda on, campaign: rows.lines(on, campaign, after, limit))

    async def unknowns(self, after: int, limit: int) -> Sequence[Line]:
        """See ``Ledger.unknowns``."""
        return await self._report(lambda on, campaign: rows.unknowns(on, campaign, after, limit))

    async def resolve(self, resolution: Resolution, messages: Sequence[int] | None = None) -> int:
        """See ``Ledger.resolve``."""
        return await self._report(
            lambda on, campaign: rows.resolve(on, campaign, resolution, messages)
        )

    async def _run(self, work: Work[T], *, whole: bool = False) -> T:
        value: T = await self._runs.submit(lambda link: self._use(link, work, whole))
        return value

    async def _report(self, work: Work[T], *, whole: bool = False) -> T:
        value: T = await self._reports.submit(lambda link: self._use(link, work, whole))
        return value

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn

    # ── in the worker threads ─────────────────────────────────────────────────────────────────────

    def _apply(self, ops: Sequence[Mark | Record | Do]) -> Sequence[Any]:
        """Carry a batch out: one statement for marks and results, then each other call."""
        asked = [op for op in ops if isinstance(op, Mark)]
        results = [op for op in ops if isinstance(op, Record)]
        answers = self._write(asked, results) if asked or results else {}
        return [
            answers[id(op)] if isinstance(op, Mark | Record) else _answer(op, self._run_link)
            for op in ops
        ]

    def _apply_reports(self, ops: Sequence[Do]) -> Sequence[Any]:
        return [_answer(op, self._report_link) for op in ops]

    def _open(self, link: Link) -> None:
        self._campaign = link.once(self._prepare)

    def _prepare(self, connection: Connection[TupleRow]) -> int:
        campaign = prepare(connection, self._address.campaign)
        leases.forget(connection, campaign)
        return campaign

    def _use(self, link: Link, work: Work[T], whole: bool) -> T:
        campaign = self._campaign_now()

        def do(connection: Connection[TupleRow], _: bool) -> T:
            with connection.transaction() if whole else nullcontext():
                return work(connection, campaign)

        return link.use(do)

    def _campaign_now(self) -> int:
        if self._campaign is None:
            raise CampaignError(f"{self._address.shown} is closed; open the campaign first.")
        return self._campaign

    def _write(self, asked: list[Mark], results: list[Record]) -> dict[int, Any]:
        """Write marks and results; return the answer for the id of each operation."""
        turn = self._next_turn()

        def do(link: Link) -> set[tuple[str, int]]:
            campaign = self._campaign_now()

            def work(connection: Connection[TupleRow], again: bool) -> set[tuple[str, int]]:
                batch = Batch(connection, campaign, turn)
                before = batch.written(asked) if again else set[tuple[str, int]]()
                return before | batch.write(asked, results)

            return link.use(work)

        marked = _answer(do, self._run_link)
        if isinstance(marked, Exception):
            return dict.fromkeys(map(id, (*asked, *results)), marked)
        answers: dict[int, Any] = dict.fromkeys(map(id, results))
        for op in asked:  # of those who ask for the same, the first is the only one to get it
            answers[id(op)] = op in marked
            marked.discard(op)
        return answers


def _answer(do: Do, link: Link) -> Any:
    """Return what a call returns, or its error, and then nothing of it was written."""
    try:
        return do(link)
    except Exception as error:  # noqa: BLE001 - handed to the caller, in the event loop
        return error
