"""A campaign: a durable list of messages, and everything one does with it.

Rule 1: whatever happens to this process, running again goes on where the ledger stands.
Rule 2: what may have gone out is never sent again unless you say so.
"""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final, NoReturn, Self

from attrs import evolve

from .._errors import UsageError
from ._chunk import check_chunk
from ._clients import check_client, sender_of
from ._export import export
from ._load import Rows, batches, source_name
from ._nouns import Entry, Resolution
from ._postgres import PostgresLedger
from ._postgres_url import SCHEMES
from ._report import (
    BadRow,
    CampaignStatus,
    ChunkReport,
    LoadReport,
    Progress,
    ResolveReport,
    RunReport,
    status_of,
)
from ._resolve import LookUp, resolve
from ._run import Rules
from ._runner import Runner
from ._sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .._client import AsyncBotsClient
    from .._files import Format
    from ..email import AsyncEmailClient
    from ._ledger import Ledger
    from ._window import SendWindow

_SQLITE: Final = "sqlite:///"
_BAD_ROWS_KEPT: Final = 1_000  # of a report; an export has all of them
_CHUNKS_AT_ONCE: Final = 10_000
_NOBODY: Final = "opening"  # a token that marks nothing


def _utc_now() -> datetime:
    return datetime.now(UTC)


def ledger_at(url: str) -> Ledger:
    """Return the ledger that a URL names: ``sqlite:///promo.db``, ``sqlite:////var/lib/promo.db``
    from the root, or ``postgresql://user:password@host/database?campaign=promo``."""
    if url.startswith(SCHEMES):
        return PostgresLedger(url)
    path = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or path in ("", ":memory:"):
        shown = "This URL" if "@" in url else repr(url)  # it may hold a password
        raise UsageError(
            f"{shown} names no ledger; write sqlite:///promo.db for a file in this folder, "
            "sqlite:////var/lib/promo.db for one from the root, or "
            "postgresql://user:password@host/database?campaign=promo. For tests there is "
            "MemoryLedger()."
        )
    return SqliteLedger(Path(path))


class Campaign:
    """Durable bulk sending: load rows, run, and run again until all is done, whatever happens in
    between.

    Use it as ``async with Campaign.open("sqlite:///promo.db", client) as campaign:``. A kill of
    the process, at any moment, loses nothing and doubles nothing: messages that were in flight are
    ``unknown`` afterwards.
    """

    def __init__(
        self,
        ledger: Ledger,
        client: AsyncBotsClient | AsyncEmailClient,
        *,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        check_client(client)
        self._ledger = ledger
        self._client = client
        self._clock = clock
        self._is_open = False
        self._taken_over = 0
        self._runner = Runner(ledger, client)

    @classmethod
    def open(
        cls,
        url: str | Ledger,
        client: AsyncBotsClient | AsyncEmailClient,
        *,
        clock: Callable[[], datetime] = _utc_now,
    ) -> Self:
        """Return the campaign of a ledger; enter it with ``async with``, which opens the ledger.

        ``url`` is ``sqlite:///`` and a path, ``postgresql://user:password@host/database`` with
        ``?campaign=`` and a name (see ``PostgresLedger``), or a ``Ledger``. ``clock`` gives the
        aware moment that send windows go by. With an ``AsyncEmailClient`` it is a campaign of
        e-mails; a ledger holds one kind or the other.

        Raises:
            UsageError: a URL that names no ledger, no client, or the extra ``postgres`` is not
                installed.
            CampaignError: on entering: the ledger is in use, foreign, damaged or cannot be written.
        """
        ledger = ledger_at(url) if isinstance(url, str) else url
        return cls(ledger, client, clock=clock)

    async def __aenter__(self) -> Self:
        await self._ledger.open()
        self._is_open = True
        self._taken_over = await self._ledger.take_over(_NOBODY)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_open = False
        await self._runner.aclose()
        await self._ledger.aclose()

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "A campaign holds an open ledger and cannot be copied or pickled; open it by its URL "
            "where you need it (a SQLite file in one process at a time)."
        )

    def __repr__(self) -> str:
        state = "running" if self._runner.is_running else "open" if self._is_open else "closed"
        return f"Campaign({self._ledger!r}, {state})"

    # ── loading ───────────────────────────────────────────────────────────────────────────────────

    async def load(
        self,
        source: Rows,
        *,
        format: Format | None = None,
        channel: str | None = None,
        template: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> LoadReport:
        """Add rows: the path of a CSV or JSON-lines file, or an (async) iterable of ``Outgoing``
        or mappings.

        Columns are ``channel``, ``client_id``, ``text`` and, if you have it, ``client_ref``. Every
        row is checked as the client would; a bad one is reported with its line, kept aside and
        never sent. A message counts once for each ``client_ref`` (without one: for each channel,
        client and text), so loading a file again adds nothing.

        ``channel`` and ``template`` (``"Hola {name}"``) stand in for columns that a source lacks.
        ``progress`` is called with the rows read so far, after each batch.

        A campaign of e-mails takes ``OutgoingEmail`` or the columns ``to``, ``subject``, ``text``,
        ``html``, and neither ``channel`` nor ``template``; a row has up to 250,000 characters.

        Raises:
            UsageError: a source, or a file as a whole, that cannot be read; an e-mail among
                messages of the BOTS API, or the reverse: its batch is not added.
            CampaignError: the ledger cannot be written, what was added before stays; or it holds
                messages of the other kind.
        """
        self._check_open()
        began = perf_counter()
        sender = sender_of(self._client)
        maker = sender.maker(channel, template)
        await self._runner.check_ledger(sender)
        rows = added = duplicates = rejected = 0
        bad_rows: list[BadRow] = []
        async with aclosing(batches(source, format, maker)) as found:
            async for batch in found:
                result = await self._ledger.add(source_name(source), batch)
                bad = [BadRow(entry.line, entry.problem) for entry in batch if entry.problem]
                bad += [_conflict(entry) for entry in result.conflicts]
                bad_rows += sorted(bad, key=lambda row: row.line)[: _BAD_ROWS_KEPT - len(bad_rows)]
                rows += len(batch)
                added += result.added
                duplicates += result.duplicates
                rejected += len(bad)
                if progress is not None:
                    progress(rows)
        return LoadReport(
            rows=rows,
            added=added,
            duplicates=duplicates,
            rejected=rejected,
            bad_rows=tuple(bad_rows),
            seconds=perf_counter() - began,
        )

    # ── running ───────────────────────────────────────────────────────────────────────────────────

    async def run(
        self,
        *,
        concurrency: int = 200,
        ordered: bool = False,
        window: SendWindow | None = None,
        max_rejected: int | None = None,
        max_unknown: int | None = None,
        max_attempts: int = 25,
    ) -> RunReport:
        """Send what is pending until nothing is, or a rule says stop; call it again to go on.

        ``concurrency`` is the number of messages in flight (of e-mails never more than the client
        has connections). ``ordered`` sends the messages of each
        client one after the other, in the order of the input. Outside of ``window`` nothing is
        started. ``max_rejected`` and ``max_unknown`` stop the run at so many of them; a refused
        key stops it at once. A message that is refused for now, or cannot leave this machine,
        comes up again later, until ``max_attempts`` were made.

        A cancellation starts nothing more and waits for what is in flight (the client's
        ``deadline`` bounds that).

        Raises:
            UsageError: settings that cannot work, a second run at the same time, or a closed
                client.
            CampaignError: the ledger cannot be written, or holds messages of the other kind;
                nothing was sent without its mark.
        """
        self._check_open()
        rules = Rules(
            concurrency=concurrency,
            ordered=ordered,
            window=window,
            max_rejected=max_rejected,
            max_unknown=max_unknown,
            max_attempts=max_attempts,
            clock=self._clock,
        )
        report = await self._runner.run(rules)
        found, self._taken_over = self._taken_over, 0
        return evolve(report, taken_over=report.taken_over + found)

    async def chunks(self) -> list[int]:
        """Return the chunks that have something to send: slices of up to 500 messages, numbered
        from 1, which never change.

        Hand the numbers to an engine of your own, whose workers call ``run_chunk`` with them.
        """
        self._check_open()
        found: list[int] = []
        while page := await self._ledger.chunks(found[-1] if found else 0, _CHUNKS_AT_ONCE):
            found += page
        return found

    async def run_chunk(
        self,
        chunk: int,
        *,
        concurrency: int = 200,
        window: SendWindow | None = None,
        max_attempts: int = 25,
    ) -> ChunkReport:
        """Send what is due of one chunk and held by nobody else; safe to call again, at any time,
        from anywhere.

        Called twice, by two machines at once, after a kill or by a process that slept through its
        lease: no message is sent twice, for the ledger decides who sends it. What is refused for
        now is put off; call again in ``report.next_due`` seconds, until that is ``None``.

        Several chunks may be worked on at once in one process; ``concurrency`` is the number of
        messages in flight over all of them. Outside of ``window`` nothing is started or held.

        Raises:
            UsageError: settings that cannot work, a ``run()`` at the same time, or a closed client.
            CampaignError: the ledger cannot be written; nothing was sent without its mark. Call
                again later.
        """
        self._check_open()
        check_chunk(chunk)
        rules = Rules(
            concurrency=concurrency, window=window, max_attempts=max_attempts, clock=self._clock
        )
        return await self._runner.run_chunk(chunk, rules)

    def stop(self, reason: str = "stop() was called") -> None:
        """End a run early: nothing more is started, what is in flight is finished and recorded.

        Call it in the event loop; without a run it does nothing.
        """
        self._runner.stop(reason)

    @property
    def progress(self) -> Progress | None:
        """The numbers of the present ``run()``, else of all ``run_chunk()`` so far; ``None`` when
        there were none."""
        return self._runner.progress

    @property
    def ledger(self) -> Ledger:
        """The ledger, for engines of your own."""
        return self._ledger

    async def beat(self) -> None:
        """Tell the ledger that this process lives, if its last beat is some seconds old.

        ``run()`` and ``run_chunk()`` do so by themselves; a worker without work calls this now
        and then, so that ``status()`` shows it.
        """
        self._check_open()
        await self._runner.beat()

    # ── looking, and settling what is unknown ─────────────────────────────────────────────────────

    async def status(self) -> CampaignStatus:
        """Count messages by state and reason, and see who works on them."""
        self._check_open()
        ledger = self._ledger
        return status_of(await ledger.counts(), await ledger.next_due(), await ledger.fleet())

    async def export(
        self,
        path: str | Path,
        *,
        format: Format | None = None,
    ) -> int:
        """Write one line for each input row to a CSV or JSON-lines file (by its suffix); return
        how many.

        A file of that name is replaced, once the new one is whole.

        Raises:
            UsageError: a name that says no format.
            CampaignError: the file cannot be written, or the ledger not read.
        """
        self._check_open()
        return await export(self._ledger, Path(path), format)

    async def resolve(self, decision: Resolution | str | LookUp = Resolution.HOLD) -> ResolveReport:
        """Settle the messages whose fate is unknown.

        ``"hold"`` leaves them; ``"assume_sent"`` counts them as sent; ``"resend"`` makes them
        pending again, and those that had arrived will arrive twice. A function, plain or async, is
        called with the ``Line`` of each and returns one of the three; what it raises ends the
        call, and what was decided before stays decided.

        Raises:
            UsageError: a decision that is none of these, or a run is under way.
        """
        self._check_open()
        if self._runner.is_running:
            raise UsageError(
                "This campaign is running; settle what is unknown when its run() has ended."
            )
        return await resolve(self._ledger, decision)

    def _check_open(self) -> None:
        if not self._is_open:
            raise UsageError(
                "Open the campaign first: async with Campaign.open(url, client) as campaign."
            )


def _conflict(entry: Entry) -> BadRow:
    return BadRow(
        entry.line,
        f"its client_ref {entry.client_ref!r} belongs to another message of this campaign",
    )
