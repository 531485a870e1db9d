"""A campaign over many workers: the jobs, the order, the sweep, and a database that goes away."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import anyio
import psycopg
import pytest
from procrastinate.jobs import Job, Status

from aldeamo_async import AsyncBotsClient, CampaignError, TokenBucket, UsageError
from aldeamo_async.campaigns import Campaign, SendWindow, State
from aldeamo_async.campaigns._cluster import (
    REFUSED_KEY,
    Order,
    Queue,
    Worker,
    _queue,
    opened_queue,
    start,
)
from aldeamo_async.campaigns._postgres import PostgresLedger
from aldeamo_async.sandbox import Sandbox, SandboxTransport
from support.campaigns import messages, sandbox_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from support.postgres import PostgresServer

pytestmark = [pytest.mark.real_clock, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

OFFICE = SendWindow(
    {"mon-fri": ("07:00", "19:00"), "sat": ("08:00", "15:00")},
    "America/Bogota",
    holidays={date(2026, 12, 25), date(2026, 12, 8)},
)
NEVER_NOW = SendWindow({"mon": ("00:00", "00:01")}, "UTC")


@asynccontextmanager
async def crew(
    url: str, count: int, **options: Any
) -> AsyncGenerator[tuple[Campaign, Queue, Sandbox]]:
    """A loaded campaign, its queue, and the judge."""
    sandbox, client = sandbox_client(**options)
    opened = Campaign.open(f"{url}&lease=1", client)
    async with client, opened as campaign, opened_queue(url) as queue:
        await campaign.load(messages(count))
        yield campaign, queue, sandbox


def jobs(url: str) -> list[tuple[Any, ...]]:
    """The jobs, and whether each is for later."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(
            "SELECT queueing_lock, status::text, scheduled_at > now() + interval '5 seconds' "
            "FROM aldeamo_queue.procrastinate_jobs ORDER BY id"
        ).fetchall()


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while True:
            if true():
                return
            await anyio.sleep(0.01)


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = aldeamo_queue")
        connection.execute(statement)  # type: ignore[arg-type]


# ── the order ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", [Order(), Order(3, OFFICE), Order(window=NEVER_NOW)])
async def test_an_order_survives_json(order: Order) -> None:
    """What a worker reads is what was ordered, holidays included."""
    again = Order.from_dict(order.as_dict())
    assert again == order
    if order.window and again.window:
        assert set(again.window.holidays) == set(order.window.holidays)  # type: ignore[call-overload]


async def test_holidays_that_cannot_be_listed() -> None:
    """A container that only answers for a day cannot go to other machines."""

    class Sundays:
        def __contains__(self, day: object) -> bool:
            return isinstance(day, date) and day.weekday() == 4

    window = SendWindow({"mon": ("07:00", "08:00")}, "UTC", holidays=Sundays())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="must be listed"):
        Order(window=window).as_dict()


async def test_workers_need_postgresql() -> None:
    """A campaign in a file is refused before anything is opened, with what to do instead."""
    with pytest.raises(UsageError, match="need a campaign in PostgreSQL"):
        async with opened_queue("sqlite:///promo.db"):
            raise AssertionError


async def test_an_order_is_placed_read_and_closed(postgres_url: str) -> None:
    """It is there until it is closed, and a newer one is not closed for an older one's sake."""
    async with opened_queue(postgres_url) as queue:
        assert await queue.order() is None
        assert await queue.elect(0.0) is None
        await queue.place(Order(3, OFFICE))
        assert await queue.order() == Order(3, OFFICE)
        first = await queue.elect(60.0)
        assert first is not None
        assert await queue.elect(60.0) is None
        await queue.place(Order(4))
        await queue.close_order(first)
        assert await queue.order() == Order(4)
        second = await queue.elect(60.0)
        assert second is not None
        await queue.close_order(second)
        assert await queue.order() is None


# ── the jobs ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_chunk_waits_at_most_once(postgres_url: str) -> None:
    """However often it is enqueued, there is one job that waits for each chunk of a campaign."""
    async with opened_queue(postgres_url) as queue, opened_queue(f"{postgres_url}&campaign=b") as b:
        for _ in range(2):
            await queue.enqueue([1, 2, 3])
            await queue.enqueue([3, 4], 60.0)
        await b.enqueue([1])
        found = jobs(postgres_url)
        assert [lock.partition("/")[2] for lock, _, _ in found] == ["1", "2", "3", "4", "1"]
        assert len({lock for lock, _, _ in found}) == 5
        assert [later for _, _, later in found] == [None, None, None, True, None]
        await queue.place(Order())
        assert [later for _, _, later in jobs(postgres_url)] == [None] * 5


async def test_jobs_of_another_version_are_refused(postgres_url: str) -> None:
    """Tables that another procrastinate made are left alone, and the error says what to do."""
    async with opened_queue(postgres_url):
        execute(postgres_url, "COMMENT ON SCHEMA aldeamo_queue IS 'procrastinate 0'")
    with pytest.raises(CampaignError, match="another version of procrastinate"):
        async with opened_queue(postgres_url):
            raise AssertionError


async def test_jobs_of_the_dead_are_given_out_again(postgres_url: str) -> None:
    """What a silent worker held waits again, once; what a living one holds stays its own."""
    async with opened_queue(postgres_url) as queue:
        manager = queue.app.job_manager
        await queue.enqueue([1, 2, 3])
        dead, living = await manager.register_worker(), await manager.register_worker()
        for worker in (dead, dead, living):
            assert await manager.fetch_job([queue.name], worker_id=worker)
        await queue.enqueue([2])
        execute(
            postgres_url,
            "UPDATE aldeamo_queue.procrastinate_workers SET last_heartbeat = now() - interval '1h' "
            "WHERE id = (SELECT min(id) FROM aldeamo_queue.procrastinate_workers)",
        )
        await queue.recover(30.0)
        found = [(lock[-1], status) for lock, status, _ in jobs(postgres_url)]
        assert sorted(found) == [("1", "todo"), ("2", "todo"), ("3", "doing")]


async def test_a_job_that_is_gone_is_no_error(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that finds its job done by others goes on."""
    async with opened_queue(postgres_url) as queue:
        with caplog.at_level("INFO", "aldeamo_async.campaigns"):
            await queue.app.job_manager.finish_job(
                Job(
                    id=77,
                    queue=queue.name,
                    lock=None,
                    queueing_lock=None,
                    task_name="aldeamo.run_chunk",
                ),
                status=Status.SUCCEEDED,
                delete_job=True,
            )
    assert "job 77 was not closed: Job was not found" in caplog.text


async def test_a_server_that_is_away(
    postgres_server: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading and writing jobs says who does not answer, and so does connecting."""
    monkeypatch.setattr(_queue, "_POOL_SECONDS", 0.2)
    async with opened_queue(postgres_url) as queue:
        await anyio.to_thread.run_sync(postgres_server.stop)
        with pytest.raises(CampaignError, match="out of reach"):
            await queue.order()
        with pytest.raises(CampaignError, match="out of reach"):
            await queue.enqueue([1])
    with pytest.raises(CampaignError, match="postgresql://"):
        async with opened_queue(postgres_url):
            raise AssertionError


# ── the workers ───────────────────────────────────────────────────────────────────────────────────


async def test_two_workers_send_everything_once(postgres_url: str) -> None:
    """Started once or twice, a campaign is sent once; its workers are seen, and nothing is left."""
    async with crew(postgres_url, 1600, limiter=TokenBucket(2000)) as (campaign, queue, sandbox):
        assert await start(campaign, queue, Order()) == 4
        assert await start(campaign, queue, Order()) == 4
        other = Campaign.open(f"{postgres_url}&lease=1", campaign._client)
        async with other, opened_queue(postgres_url) as second:
            workers = [
                Worker(campaign, queue, concurrency=20, until_done=True),
                Worker(other, second, concurrency=20, until_done=True),
            ]
            async with anyio.create_task_group() as tasks:
                for worker in workers:
                    tasks.start_soon(worker.run)
                fleet = (await other.status()).fleet
                # A busy machine beats late, and a lease of a second is soon over.
                while sum(worker.alive for worker in fleet.workers) < 2 or not fleet.leases:
                    await anyio.sleep(0.05)
                    fleet = (await other.status()).fleet
            assert [worker.alive for worker in fleet.workers] == [True, True]
            assert fleet.leases > 0
            assert {worker.stopped for worker in workers} == {"nothing is left to send"}
        assert (await campaign.status()).done
        assert await queue.order() is None
        assert await start(campaign, queue, Order()) == 0
        assert await queue.order() is None
    assert jobs(postgres_url) == []
    assert (sandbox.delivered, sandbox.duplicates) == (1600, 0)


async def test_what_an_engine_loses_is_found(postgres_url: str) -> None:
    """Jobs that vanish are made again, and the marks of the dead are settled."""
    async with crew(postgres_url, 600) as (campaign, queue, sandbox):
        dead = PostgresLedger(f"{postgres_url}&lease=1")
        await dead.open()
        (job,) = await dead.claim("dead", 1)
        assert await dead.mark("dead", job.id)
        await dead.aclose()
        await start(campaign, queue, Order())
        execute(postgres_url, "DELETE FROM aldeamo_queue.procrastinate_jobs")
        await Worker(campaign, queue, concurrency=20, until_done=True).run()
        counts = (await campaign.status()).counts
        assert (counts[State.SENT], counts[State.UNKNOWN]) == (599, 1)
    assert (sandbox.delivered, sandbox.duplicates) == (599, 0)


async def test_a_worker_that_is_stopped_gives_the_rest_back(postgres_url: str) -> None:
    """Asked to stop, it finishes what is in flight; the rest waits for others, unheld."""
    async with crew(postgres_url, 900, limiter=TokenBucket(300)) as (campaign, queue, sandbox):
        await start(campaign, queue, Order())
        worker = Worker(campaign, queue, concurrency=10)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(lambda: sandbox.delivered > 0)
            worker.stop("enough")
            worker.stop("too late")
        assert worker.stopped == "enough"
        status = await campaign.status()
        assert status.counts[State.SENT] == sandbox.delivered < 900
        assert status.counts[State.PENDING] == 900 - sandbox.delivered
        assert status.fleet.leased == 0
        chunks = {lock[-1] for lock, _, _ in jobs(postgres_url)}
        assert chunks == {"1", "2"}


async def test_a_job_that_comes_after_the_stop_is_given_back(postgres_url: str) -> None:
    """An engine may hand out a job that it was fetching as it was asked to stop."""
    async with crew(postgres_url, 10) as (campaign, queue, sandbox):
        await start(campaign, queue, Order())
        execute(postgres_url, "DELETE FROM aldeamo_queue.procrastinate_jobs")
        worker = Worker(campaign, queue, concurrency=10)
        worker.stop("enough")
        await queue.app.tasks[_queue.TASK].func(1)
        assert sandbox.delivered == 0
    assert [(lock[-1], status) for lock, status, _ in jobs(postgres_url)] == [("1", "todo")]


async def test_a_refused_key_stops_the_worker(postgres_url: str) -> None:
    """A worker whose key the API refuses ends, and says so; its messages wait for others."""
    client = AsyncBotsClient("test-key", transport=SandboxTransport(Sandbox(api_key="another-key")))
    opened = Campaign.open(f"{postgres_url}&lease=1", client)
    async with client, opened as campaign, opened_queue(postgres_url) as queue:
        await campaign.load(messages(5))
        await start(campaign, queue, Order())
        worker = Worker(campaign, queue, concurrency=2)
        await worker.run()
        assert worker.stopped is not None
        assert worker.stopped.startswith(REFUSED_KEY)
        assert (await campaign.status()).counts[State.PENDING] == 5


async def test_outside_of_the_window_jobs_wait(postgres_url: str) -> None:
    """A chunk that may not go now waits for its hour, until it is ordered otherwise."""
    async with crew(postgres_url, 5) as (campaign, queue, sandbox):
        monday_noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
        campaign._clock = lambda: monday_noon
        await start(campaign, queue, Order(window=NEVER_NOW))
        worker = Worker(campaign, queue, concurrency=2, until_done=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(lambda: [later for _, _, later in jobs(postgres_url)] == [True])
            assert sandbox.delivered == 0
            await start(campaign, queue, Order())
    assert sandbox.delivered == 5


async def test_a_job_of_a_campaign_that_is_over(postgres_url: str) -> None:
    """A job that comes after the end sends nothing, and makes no further job."""
    async with crew(postgres_url, 5) as (campaign, queue, sandbox):
        worker = Worker(campaign, queue, concurrency=2)
        await worker._work_off(1)
    assert sandbox.delivered == 0


async def test_a_chunk_that_fails_is_tried_again_later(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A ledger that cannot be written ends a job well, and makes one for later."""

    class Full(PostgresLedger):
        async def claim(self, token: str, limit: int, chunk: int | None = None) -> Any:
            raise CampaignError("the disk of the server is full.")

    _, client = sandbox_client()
    opened = Campaign.open(Full(postgres_url), client)
    async with client, opened as campaign, opened_queue(postgres_url) as queue:
        await campaign.load(messages(5))
        await queue.place(Order())
        await Worker(campaign, queue, concurrency=2)._work_off(1)
    assert "chunk 1: the disk of the server is full." in caplog.text
    assert [later for _, _, later in jobs(postgres_url)] == [True]


async def test_a_database_that_goes_away_in_the_middle(
    postgres_server: PostgresServer,
    postgres_url: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL crashes: nothing goes out without a mark, one line says so, and the worker goes
    on when it is back."""
    monkeypatch.setattr(_queue, "_POOL_SECONDS", 0.5)
    async with crew(postgres_url, 700, limiter=TokenBucket(400)) as (campaign, queue, sandbox):
        await start(campaign, queue, Order())
        worker = Worker(campaign, queue, concurrency=20, until_done=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(lambda: sandbox.delivered >= 100)
            await anyio.to_thread.run_sync(postgres_server.kill)
            await anyio.sleep(0.3)
            before = sandbox.delivered
            await anyio.sleep(0.9)
            assert sandbox.delivered == before
            await anyio.to_thread.run_sync(postgres_server.start)
        assert (await campaign.status()).counts[State.SENT] == 700
    assert (sandbox.delivered, sandbox.duplicates) == (700, 0)
    assert "does not answer" in caplog.text
    assert "Nothing is sent without its mark" in caplog.text
    assert "is back after" in caplog.text


async def test_jobs_out_of_reach_are_looked_after_later(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that cannot look after the jobs says so to whoever listens, and looks again."""
    async with crew(postgres_url, 1) as (campaign, queue, _):
        await queue._connector.pool.close()
        worker = Worker(campaign, queue, concurrency=2)
        with caplog.at_level("INFO", "aldeamo_async.campaigns"):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(worker._tend)
                await until(lambda: caplog.text.count("out of reach") > 1)
                worker.stop("enough")


async def test_a_database_that_stays_away(
    postgres_server: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the URL's patience the worker ends with an error that says what to do."""
    monkeypatch.setattr(_queue, "_POOL_SECONDS", 0.2)
    _, client = sandbox_client()
    url = f"{postgres_url}&lease=1&patience=0.5"
    async with client, Campaign.open(url, client) as campaign, opened_queue(url) as queue:
        worker = Worker(campaign, queue, concurrency=2)
        await anyio.to_thread.run_sync(postgres_server.stop)
        with pytest.raises(CampaignError, match="does not answer"):
            await worker.run()
