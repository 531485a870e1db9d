"""What is PostgreSQL's own: its URL, its schema, a server that goes away and comes back."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import anyio
import anyio.to_thread
import psycopg
import pytest

from aldeamo_async import CampaignError, UsageError
from aldeamo_async.campaigns import (
    Aside,
    Campaign,
    Entry,
    PostgresLedger,
    Resolution,
    Result,
    State,
)
from aldeamo_async.campaigns._lease import Lease
from aldeamo_async.campaigns._postgres_link import BY_KEY, Link, Outage
from aldeamo_async.campaigns._postgres_schema import STEPS, make_ready
from aldeamo_async.campaigns._postgres_url import parse
from support.campaigns import PHONE, entries, messages, sandbox_client
from support.lossy import LossyProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.postgres import PostgresServer

pytestmark = pytest.mark.real_clock

PASSWORD = "s3cret/%word"
QUOTED = "s3cret%2F%25word"
# Seconds that a server is kept away; long enough for every waiter to have tried in vain.
AWAY_SECONDS = 0.3


@pytest.fixture
def campaign_url(shared_postgres_url: str, request: pytest.FixtureRequest) -> str:
    """A campaign of the test's own."""
    return f"{shared_postgres_url}&campaign={quote(request.node.name)}"


@pytest.fixture
async def ledger(campaign_url: str) -> AsyncIterator[PostgresLedger]:
    ledger = PostgresLedger(campaign_url)
    await ledger.open()
    yield ledger
    await ledger.aclose()


def through(proxy: LossyProxy, server: PostgresServer, url: str) -> str:
    """The same URL, by way of a proxy."""
    host, port = quote(str(server.folder), safe=""), server.port
    assert f"host={host}&port={port}" in url
    return url.replace(f"host={host}&port={port}", f"host=127.0.0.1&port={proxy.port}")


@pytest.fixture
def lossy(postgres_server: PostgresServer) -> Iterator[LossyProxy]:
    with LossyProxy(postgres_server.port).running() as proxy:
        yield proxy


async def states(ledger: PostgresLedger) -> dict[str, int]:
    counts = await ledger.counts()
    return {str(state): number for state, number in counts.states.items() if number}


# ── the URL ───────────────────────────────────────────────────────────────────────────────────────


def test_the_url_names_the_campaign() -> None:
    """Our own parameters are taken out; everything else is handed on as it was."""
    found = parse("postgresql://u@h:6432/d?sslmode=require&campaign=Mayo%20%231&patience=2.5")
    assert found.conninfo.reveal() == "postgresql://u@h:6432/d?sslmode=require"
    assert (found.campaign, found.patience) == ("Mayo #1", 2.5)
    assert found.shown == "postgresql://u@h:6432/d"
    bare = parse("postgres:///?campaign=may")
    assert (bare.conninfo.reveal(), bare.shown) == ("postgresql:///", "postgresql:///")
    assert parse("postgres:///d").campaign == "default"
    assert parse("postgresql://a:1,b:2,[::1]:3/d").shown == "postgresql://a:1,b:2,[::1]:3/d"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://h/d?campaign=", "names no campaign"),
        ("postgresql://h/d?campaign=a%00b", "names no campaign"),
        (f"postgresql://h/d?campaign={'x' * 201}", "names no campaign"),
        ("postgresql://h/d?patience=soon", "no number of seconds"),
        ("postgresql://h/d?patience=inf", "no number of seconds"),
        ("postgresql://h/d?patience=-1", "no number of seconds"),
        (f"postgresql://u:{PASSWORD}@h/d", "percent-encode"),
        ("postgresql://u:s3cret#@h/d", "percent-encode"),
        ("postgresql://u:s3cret?@h/d", "percent-encode"),
        ("postgresql://u:s3cret@[h/d", "percent-encode"),
        (f"postgresql://u:{QUOTED}@h/d?sslmod=require", "does not know"),
        ("postgresql://u:100%zz@h/d", "does not know"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, says: str) -> None:
    """A URL with a mistake is refused before anything is connected, without its password."""
    with pytest.raises(UsageError, match=says) as caught:
        PostgresLedger(url)
    assert "s3cret" not in repr(caught.value)
    assert "100%zz" not in repr(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is missing, the error names it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "aldeamo_async.campaigns._postgres_link")
    monkeypatch.delattr("aldeamo_async.campaigns._postgres_link")
    with pytest.raises(UsageError, match=r"pip install 'aldeamo-async\[postgres\]'"):
        PostgresLedger("postgresql://h/d")


async def test_the_password_is_nowhere(
    postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the ledger, nor the campaign, nor an error, nor a log line shows the password."""
    caplog.set_level(logging.DEBUG)
    port = postgres_server.port
    url = f"postgresql://nobody:{QUOTED}@127.0.0.1:{port}/gone?password={QUOTED}&patience=0"
    ledger = PostgresLedger(url)
    _, client = sandbox_client()
    campaign = Campaign.open(url, client)
    with pytest.raises(CampaignError, match="nobody") as caught:
        await ledger.open()
    shown = [repr(ledger), repr(campaign), repr(caught.value), str(caught.value), caplog.text]
    assert "PostgresLedger('postgresql://nobody@127.0.0.1" in shown[0]
    assert not [text for text in shown if "s3cret" in text]


async def test_a_url_of_nothing_hides_its_password() -> None:
    """A URL of another kind is refused, and may hold a password."""
    _, client = sandbox_client()
    with pytest.raises(UsageError, match="This URL names no ledger") as caught:
        Campaign.open(f"mysql://u:{QUOTED}@h/d", client)
    assert "s3cret" not in str(caught.value)


async def test_campaigns_in_one_database_are_apart(postgres_url: str) -> None:
    """Each name is a campaign of its own, with its own references, ids and runs."""
    may, june = (PostgresLedger(f"{postgres_url}&campaign={name}") for name in ("may", "june"))
    await may.open()
    await june.open()
    assert (await may.add("a.csv", entries(3))).added == 3
    assert (await june.add("a.csv", entries(2))).added == 2
    (first, *_) = await may.claim("t1", 9)
    assert await may.mark("t1", first.id)
    assert not await june.mark("t1", first.id)
    assert len(await june.claim("t1", 9)) == 2
    assert len(await june.lines(0, 9)) == 2
    assert (await states(may), await states(june)) == (
        {"pending": 2, "attempting": 1},
        {"pending": 2},
    )
    await may.aclose()
    await june.aclose()


# ── the schema ────────────────────────────────────────────────────────────────────────────────────


async def test_many_open_a_fresh_database_at_once(postgres_url: str) -> None:
    """The tables are made once, however many come first."""
    ledgers = [PostgresLedger(postgres_url) for _ in range(5)]
    async with anyio.create_task_group() as tasks:
        for ledger in ledgers:
            tasks.start_soon(ledger.open)
    await ledgers[0].add("", entries(1))
    assert await states(ledgers[-1]) == {"pending": 1}
    for ledger in ledgers:
        await ledger.aclose()


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("CREATE SCHEMA aldeamo_campaigns", "none of a campaign's ledger"),
        (
            "CREATE SCHEMA aldeamo_campaigns CREATE TABLE meta (product text, version int)",
            "none of a campaign's ledger",
        ),
        (
            """CREATE SCHEMA aldeamo_campaigns
            CREATE VIEW meta AS SELECT 'aldeamo-async campaigns' AS product, 99 AS version""",
            "newer version",
        ),
    ],
)
async def test_a_schema_that_is_not_ours(postgres_url: str, made: str, says: str) -> None:
    """A schema of others, or of a newer version, is left alone, and the error says what to do."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(made)  # type: ignore[arg-type]
    ledger = PostgresLedger(postgres_url)
    with pytest.raises(CampaignError, match=says):
        await ledger.open()
    await ledger.aclose()


def test_an_older_schema_is_brought_up_to_date(postgres_url: str) -> None:
    """A new version adds its steps to what is there."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        make_ready(connection)
        make_ready(connection, (*STEPS, ("ALTER TABLE run ADD COLUMN later integer",)))
        connection.execute("SELECT later FROM aldeamo_campaigns.run")
        found = connection.execute("SELECT version FROM aldeamo_campaigns.meta").fetchone()
        assert found == (len(STEPS) + 1,)


def test_an_old_server_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is too old is named, with what is needed."""
    monkeypatch.setattr("aldeamo_async.campaigns._postgres_schema.OLDEST_SERVER", 990000)
    with (
        psycopg.connect(postgres_url, autocommit=True) as connection,
        pytest.raises(CampaignError, match="needs 99 or newer"),
    ):
        make_ready(connection)


async def test_a_user_without_rights(postgres_server: PostgresServer, postgres_url: str) -> None:
    """A user who may not make the tables is told what is missing."""
    postgres_server.execute("DROP ROLE IF EXISTS guest")
    postgres_server.execute("CREATE ROLE guest LOGIN")
    ledger = PostgresLedger(postgres_url.replace("postgres@", "guest@"))
    with pytest.raises(CampaignError, match="lacks a right"):
        await ledger.open()
    await ledger.aclose()


async def test_a_closed_ledger_says_so(ledger: PostgresLedger) -> None:
    """Whoever asks a closed ledger is told to open it."""
    await ledger.aclose()
    for ask in (ledger.mark("t1", 1), ledger.counts()):
        with pytest.raises(CampaignError, match="is closed"):
            await ask


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────


async def test_any_text_comes_back(ledger: PostgresLedger) -> None:
    """What PostgreSQL cannot hold, or an index has no room for, comes back all the same."""
    odd = ["\0", "\ue000", "\ue0000", "a\0\ue0001\\N\t\n", "ñ" * 5000]
    rows = [Entry(n, f"{n} {text}", "sms", PHONE, text) for n, text in enumerate(odd, 1)]
    assert (await ledger.add("a\0.csv", rows)).added == len(odd)
    assert (await ledger.add("a\0.csv", rows)).duplicates == len(odd)
    jobs = await ledger.claim("t1", 9)
    assert [job.outgoing.text for job in jobs] == odd
    assert [job.outgoing.client_ref for job in jobs] == [row.client_ref for row in rows]
    assert {line.source for line in await ledger.lines(0, 9)} == {"a\0.csv"}


# ── leases ────────────────────────────────────────────────────────────────────────────────────────


async def test_the_clock_of_a_worker_does_not_count(
    ledger: PostgresLedger, campaign_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose clock is wrong by 30 s and more neither takes over nor is taken over."""
    await ledger.add("", entries(3))
    (job,) = await ledger.claim("t1", 1)
    await ledger.mark("t1", job.id)
    real = time.time
    for wrong in (-300.0, -30.0, 30.0, 300.0):
        monkeypatch.setattr(time, "time", lambda wrong=wrong: real() + wrong)
        other = PostgresLedger(campaign_url)
        await other.open()
        token = f"skewed {wrong}"
        assert await other.take_over(token) == 0
        (second,) = await other.claim(token, 1)
        await other.put_off(token, [second.id], 0.0)
        assert await ledger.take_over("t1") == 0
        await other.release(token)
        await other.aclose()
    assert await states(ledger) == {"pending": 2, "attempting": 1}


async def test_a_lease_that_nobody_took_goes_on(campaign_url: str) -> None:
    """A run that was cut off for longer than its lease goes on, if nobody came in between."""
    ledger = PostgresLedger(campaign_url, lease=0.0)
    await ledger.open()
    await ledger.add("", entries(1))
    (job,) = await ledger.claim("t1", 1)
    assert await ledger.renew("t1")
    assert await ledger.mark("t1", job.id)
    assert await ledger.take_over("t2") == 1
    assert not await ledger.renew("t1")
    await ledger.aclose()


async def test_old_runs_are_forgotten(campaign_url: str, shared_postgres_url: str) -> None:
    """Whoever opens the ledger strikes off the runs that were over a week ago. A process of one
    that wakes after all holds nothing, and what it marked stays unknown."""
    ledger = PostgresLedger(campaign_url, lease=0.0)  # each claim takes over from the one before
    await ledger.open()
    await ledger.add("", entries(3))
    for token in ("weeks old", "days old", "alive"):
        (job,) = await ledger.claim(token, 1)
        assert await ledger.mark(token, job.id)
    with psycopg.connect(shared_postgres_url, autocommit=True) as connection:
        for days, token in ((7.1, "weeks old"), (6.9, "days old")):
            connection.execute(
                "UPDATE aldeamo_campaigns.run SET over = over - %s * interval '1 day'"
                " WHERE token = %s",
                (days, token),
            )
        await ledger.aclose()
        await ledger.open()
        left = connection.execute("SELECT token FROM aldeamo_campaigns.run ORDER BY id").fetchall()
    assert {("weeks old",), ("days old",), ("alive",)} & set(left) == {("days old",), ("alive",)}
    for number, token in enumerate(("weeks old", "days old"), 1):
        assert not await ledger.renew(token)
        assert not await ledger.mark(token, number)
        await ledger.record(token, Result(number, State.SENT))
    assert await states(ledger) == {"unknown": 1, "sent": 1, "attempting": 1}
    await ledger.aclose()


async def test_a_lease_begins_with_a_claim(ledger: PostgresLedger) -> None:
    """A run that has claimed nothing yet has nothing to lose; it waits for its window, say."""
    lease = Lease(ledger)
    assert await lease.renew()
    assert not lease.is_fresh
    await lease.claim(1)
    assert await lease.renew()
    assert lease.is_fresh


async def test_nobody_dies_while_the_server_is_away(
    postgres_server: PostgresServer, ledger: PostgresLedger, shared_postgres_url: str
) -> None:
    """While the server was away nobody could renew, so no lease ends soon after its start."""
    await ledger.add("", entries(2))
    (first, _) = await ledger.claim("t1", 2)
    await ledger.mark("t1", first.id)
    with psycopg.connect(shared_postgres_url) as connection:
        connection.execute("UPDATE aldeamo_campaigns.run SET lease_until = now() - interval '1 h'")
    postgres_server.restart()
    assert await ledger.take_over("t2") == 0
    assert await ledger.claim("t2", 9) == []
    due = await ledger.next_due()
    assert due is not None
    assert 0.0 < due <= 30.0


# ── a server that is away ─────────────────────────────────────────────────────────────────────────


async def test_a_run_waits_for_the_server(
    postgres_server: PostgresServer, campaign_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that is killed in the middle of a run is waited for: everything is sent once, and
    one line says that it was away, one that it is back."""
    sandbox, client = sandbox_client()
    async with client, Campaign.open(campaign_url, client) as campaign:
        await campaign.load(messages(600))

        async def kill() -> None:
            while sandbox.delivered < 100:  # noqa: ASYNC110 - nobody says when
                await anyio.sleep(0.001)
            await anyio.to_thread.run_sync(postgres_server.kill)
            await anyio.sleep(AWAY_SECONDS)
            at_rest = sandbox.delivered
            await anyio.sleep(AWAY_SECONDS)
            assert sandbox.delivered == at_rest  # nothing without its mark
            await anyio.to_thread.run_sync(postgres_server.start)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            report = await campaign.run(concurrency=20)
        assert (report.sent, report.unknown, report.stopped) == (600, 0, None)
        assert report.status.counts[State.SENT] == 600
    assert (sandbox.delivered, sandbox.duplicates) == (600, 0)
    lines = [record.getMessage() for record in caplog.records if "postgresql" in record.message]
    assert len(lines) == 2
    assert "does not answer" in lines[0]
    assert "is back after" in lines[1]


async def test_an_answer_that_is_lost(
    postgres_server: PostgresServer, campaign_url: str, lossy: LossyProxy
) -> None:
    """Where a write was committed and its answer lost, the ledger finds out by reading: each mark
    and each result counts once."""
    ledger = PostgresLedger(through(lossy, postgres_server, campaign_url))
    await ledger.open()
    lossy.lose_answer(to=b"COMMIT\0")
    bad = Entry(9, "ref-1", "sms", PHONE, "Adiós")
    added = await ledger.add("", [*entries(4), bad])
    assert (added.added, added.duplicates, added.conflicts) == (4, 0, (bad,))
    lossy.lose_answer(to=b"COMMIT\0")
    first, second, third, fourth = await ledger.claim("t1", 9)
    lossy.lose_answer()
    assert await ledger.mark("t1", first.id)
    lossy.lose_answer()
    assert not await ledger.mark("t1", first.id)
    for job in (second, third):
        assert await ledger.mark("t1", job.id)
    for result in (
        Result(first.id, State.SENT, 2, message_id="32"),
        Result(second.id, State.PENDING, 3, "RateLimited", "later", delay=0.0),
        Result(third.id, State.UNKNOWN, 4, "DeliveryUnknown", "cut"),
    ):
        lossy.lose_answer()
        await ledger.record("t1", result)
    lossy.lose_answer()
    await ledger.put_off("t1", [fourth.id], 0.0)
    lines = await ledger.lines(0, 9)
    assert [(line.state, line.attempts) for line in lines] == [
        (State.SENT, 2),
        (State.PENDING, 3),
        (State.UNKNOWN, 4),
        (State.PENDING, 0),
        (Aside.CONFLICT, 0),
    ]
    assert lossy.lost == 8
    assert [job.id for job in await ledger.claim("t2", 9)] == [second.id, fourth.id]
    await ledger.aclose()


async def test_a_connection_that_dies_young(
    postgres_server: PostgresServer, campaign_url: str, lossy: LossyProxy
) -> None:
    """A connection that is cut before it is set up is closed, and another may be made."""
    ledger = PostgresLedger(through(lossy, postgres_server, campaign_url))
    lossy.lose_answer(to=b"search_path")
    with pytest.raises(CampaignError, match="server closed the connection"):
        await ledger.open()
    await ledger.open()
    assert await states(ledger) == {}
    await ledger.aclose()


async def test_patience_has_an_end(postgres_server: PostgresServer, campaign_url: str) -> None:
    """A server that stays away longer than one is patient is an error, which says what to do."""
    ledger = PostgresLedger(f"{campaign_url}&patience=0.2")
    await ledger.open()
    postgres_server.stop()
    with pytest.raises(CampaignError, match="run the campaign again when the server is back"):
        await ledger.renew("t1")
    await ledger.aclose()


async def test_closing_ends_the_waiting(postgres_server: PostgresServer, campaign_url: str) -> None:
    """Whoever waits for a server that is away waits no longer once the ledger is closed."""
    ledger = PostgresLedger(campaign_url)
    await ledger.open()
    postgres_server.stop()
    failed: list[CampaignError] = []

    async def wait() -> None:
        try:
            await ledger.renew("t1")
        except CampaignError as error:
            failed.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(AWAY_SECONDS)
        await ledger.aclose()
    assert len(failed) == 1


async def test_opening_waits_for_nobody(postgres_server: PostgresServer, campaign_url: str) -> None:
    """A server that is away when a ledger is opened is an error at once."""
    postgres_server.stop()
    ledger = PostgresLedger(campaign_url)
    with pytest.raises(CampaignError, match="postgresql://"):
        await ledger.open()
    await ledger.aclose()


def test_what_does_not_pass_is_an_error(campaign_url: str) -> None:
    """An error that trying again cannot mend is told at once, in the server's short words, and
    leaves the connection usable; a lock or a cancelled statement is tried again."""
    address = parse(campaign_url)
    link = Link(address, Outage(address.shown, 600.0), BY_KEY)
    with pytest.raises(CampaignError, match="division by zero"):
        link.use(lambda connection, _: connection.execute("SELECT 1/0"))
    tries: list[bool] = []

    def interrupted(connection: psycopg.Connection[tuple[int]], again: bool) -> int:
        tries.append(again)
        if not again:
            connection.execute("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(10)")
        return 7

    assert link.use(interrupted) == 7  # type: ignore[arg-type]
    assert tries == [False, True]
    link.close()


async def test_a_decision_is_final_for_the_dead(ledger: PostgresLedger) -> None:
    """A message that was settled as sent again comes up once, and not for its old run."""
    await ledger.add("", entries(1))
    (job,) = await ledger.claim("t1", 1)
    await ledger.mark("t1", job.id)
    await ledger.record("t1", Result(job.id, State.UNKNOWN))
    assert await ledger.resolve(Resolution.RESEND) == 1
    assert not await ledger.mark("t1", job.id)
    assert [again.id for again in await ledger.claim("t2", 9)] == [job.id]
    assert await ledger.claim("t3", 9) == []
