"""One chunk at a time, as an engine would call it: again, at once, late, and by the half-dead."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aldeamo_async import AsyncBotsClient, CampaignError, TokenBucket, UsageError
from aldeamo_async.campaigns import (
    Campaign,
    ChunkReport,
    MemoryLedger,
    Resolution,
    Result,
    SendWindow,
    State,
)
from aldeamo_async.sandbox import Fault, Sandbox, SandboxTransport, Weather
from support.campaigns import messages, sandbox_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def loaded(
    count: int,
    weather: Weather | None = None,
    *,
    ledger: MemoryLedger | None = None,
    clock: Any = None,
    **client: Any,
) -> AsyncIterator[tuple[Campaign, Sandbox]]:
    """An open campaign with so many messages, and the judge."""
    sandbox, connected = sandbox_client(weather, **client)
    opened = Campaign.open(
        ledger or MemoryLedger(), connected, **({"clock": clock} if clock else {})
    )
    async with connected, opened as campaign:
        await campaign.load(messages(count))
        yield campaign, sandbox


async def test_every_chunk_once() -> None:
    """All chunks together are the campaign; each is worked off by one call."""
    async with loaded(1200) as (campaign, sandbox):
        assert campaign.progress is None
        assert await campaign.chunks() == [1, 2, 3]
        reports = [await campaign.run_chunk(chunk) for chunk in (3, 1, 2)]
        assert [report.sent for report in reports] == [200, 500, 500]
        assert {(report.next_due, report.stopped) for report in reports} == {(None, None)}
        assert await campaign.chunks() == []
        assert campaign.progress is not None
        assert (campaign.progress.sent, campaign.progress.in_flight) == (1200, 0)
        assert (await campaign.status()).done
    assert (sandbox.delivered, sandbox.duplicates) == (1200, 0)


async def test_a_chunk_delivered_again_does_nothing() -> None:
    """A second call for a finished chunk, or for one that never was, sends nothing."""
    async with loaded(20) as (campaign, sandbox):
        await campaign.run_chunk(1)
        again = await campaign.run_chunk(1)
        assert again == ChunkReport(chunk=1, seconds=again.seconds)
        assert (await campaign.run_chunk(9)).as_dict()["sent"] == 0
    assert sandbox.delivered == 20


async def test_the_same_chunk_at_the_same_time() -> None:
    """Two calls at once share no message, and the second says when to look again."""
    async with loaded(300) as (campaign, sandbox):
        reports: list[ChunkReport] = []

        async def work() -> None:
            reports.append(await campaign.run_chunk(1, concurrency=10))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(work)
        assert sum(report.sent for report in reports) == 300
        assert sorted(report.sent for report in reports) == [0, 0, 300]
        assert reports[0].next_due is not None
    assert (sandbox.delivered, sandbox.duplicates) == (300, 0)


async def test_refused_for_now_is_for_a_later_call() -> None:
    """A refusal is put off in the ledger, not waited for: one POST for each mark."""
    weather = Weather.sequence([Fault.RATE_LIMITED.with_(retry_after=7)])
    async with loaded(3, weather) as (campaign, sandbox):
        first = await campaign.run_chunk(1, concurrency=1)
        assert (first.sent, first.put_off, first.stopped) == (2, 1, None)
        assert first.next_due == pytest.approx(0.0, abs=7.0)
        await anyio.sleep(first.next_due or 0.0)
        second = await campaign.run_chunk(1)
        assert (second.sent, second.next_due) == (1, None)
    assert (sandbox.delivered, sandbox.requests["send"]) == (3, 4)


async def test_a_refused_key_ends_the_call_and_keeps_the_messages() -> None:
    """What the API refuses for the key's sake is pending again, and the report says why."""
    sandbox = Sandbox(api_key="another-key")
    client = AsyncBotsClient("test-key", transport=SandboxTransport(sandbox))
    async with client, Campaign.open(MemoryLedger(), client) as campaign:
        await campaign.load(messages(5))
        report = await campaign.run_chunk(1, concurrency=1)
        assert report.next_due == 0.0
        assert "refuses the key" in str(report.stopped)
        assert (await campaign.status()).counts[State.PENDING] == 5
    assert sandbox.delivered == 0


async def test_chunks_share_one_room() -> None:
    """The messages in flight are counted over all chunks of a process."""
    async with loaded(600, limiter=TokenBucket(10_000, burst=1000)) as (campaign, sandbox):
        most = 0

        async def look() -> None:
            nonlocal most
            while True:
                await anyio.sleep(0.001)
                most = max(most, campaign._client.stats().in_flight)

        sandbox.latency = 0.02
        async with anyio.create_task_group() as around:
            around.start_soon(look)
            async with anyio.create_task_group() as tasks:
                for chunk in (1, 2):
                    tasks.start_soon(_work_off, campaign, chunk, 8)
            around.cancel_scope.cancel()
        assert most == 8
    assert (sandbox.delivered, sandbox.duplicates) == (600, 0)


async def _work_off(campaign: Campaign, chunk: int, concurrency: int) -> None:
    await campaign.run_chunk(chunk, concurrency=concurrency)


class Morning:
    """A clock that shows so many minutes past a time, and moves with each look."""

    def __init__(self, start: datetime, step: float = 0.0) -> None:
        self.now = start
        self.step = step

    def __call__(self) -> datetime:
        now = self.now
        self.now += timedelta(seconds=self.step)
        return now


WINDOW = SendWindow({"mon-fri": ("07:00", "08:00")}, "UTC")
MONDAY_SIX = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


async def test_outside_of_the_window_nothing_is_held() -> None:
    """A call before the window opens claims nothing, and says when it opens."""
    async with loaded(5, clock=Morning(MONDAY_SIX)) as (campaign, sandbox):
        report = await campaign.run_chunk(1, window=WINDOW)
        assert (report.next_due, report.stopped) == (3600.0, "the send window is shut")
        assert (await campaign.status()).fleet.leased == 0
    assert sandbox.delivered == 0


async def test_a_window_that_shuts_on_the_way() -> None:
    """When the window shuts, what is not started is given back until it opens again."""
    clock = Morning(MONDAY_SIX.replace(hour=7, minute=59, second=57), step=1.0)
    async with loaded(50, clock=clock) as (campaign, sandbox):
        report = await campaign.run_chunk(1, window=WINDOW)
        assert report.stopped == "the send window is shut"
        assert report.sent == sandbox.delivered < 5
        assert report.next_due == pytest.approx(23 * 3600, abs=60)
        status = await campaign.status()
        assert (status.fleet.leased, status.counts[State.ATTEMPTING]) == (0, 0)


async def test_stop_ends_all_chunks() -> None:
    """stop() finishes what is in flight of every chunk, and gives the rest back."""
    async with loaded(1000) as (campaign, sandbox):
        sandbox.latency = 0.01
        reports: list[ChunkReport] = []

        async def work(chunk: int) -> None:
            reports.append(await campaign.run_chunk(chunk, concurrency=4))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, 1)
            tasks.start_soon(work, 2)
            await anyio.sleep(0.025)
            assert repr(campaign).endswith("running)")
            assert campaign.progress is not None
            assert 0 < campaign.progress.in_flight <= 4
            with pytest.raises(UsageError, match="running"):
                await campaign.resolve("hold")
            with pytest.raises(UsageError, match="running already"):
                await campaign.run()
            campaign.stop("enough")
        assert [report.stopped for report in reports] == ["enough", "enough"]
        assert 0 < sum(report.sent for report in reports) == sandbox.delivered < 1000
        counts = (await campaign.status()).counts
        assert counts[State.PENDING] == 1000 - sandbox.delivered
        assert counts[State.UNKNOWN] == 0


async def test_stop_while_waiting_for_a_permit() -> None:
    """Whoever is stopped in the line of the limiter leaves the room to others."""
    async with loaded(20, limiter=TokenBucket(1)) as (campaign, sandbox):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_work_off, campaign, 1, 1)
            await anyio.sleep(2.5)
            campaign.stop("enough")
        before = sandbox.delivered
        assert 0 < before < 5
        assert (await campaign.run_chunk(1, concurrency=1)).sent == 20 - before
    assert (sandbox.delivered, sandbox.duplicates) == (20, 0)


async def test_a_whole_run_takes_the_chunks_itself() -> None:
    """While run() is under way, run_chunk() says so."""
    async with loaded(50) as (campaign, sandbox):
        sandbox.latency = 0.01
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(campaign.run)
            await anyio.sleep(0.001)
            with pytest.raises(UsageError, match="running as a whole"):
                await campaign.run_chunk(1)
    assert sandbox.delivered == 50


@pytest.mark.parametrize("chunk", [0, -1, True, 1.5, "1", None])
async def test_what_is_no_chunk(chunk: Any) -> None:
    """A number that names no chunk is refused before anything is asked of the ledger."""
    async with loaded(1) as (campaign, _):
        with pytest.raises(UsageError, match="whole numbers from 1"):
            await campaign.run_chunk(chunk)


# ── the half-dead ─────────────────────────────────────────────────────────────────────────────────


class Slow(MemoryLedger):
    """A ledger after whose next mark the process sleeps, as under SIGSTOP."""

    def __init__(self, lease: float, sleep: float) -> None:
        super().__init__(lease=lease)
        self.sleep = sleep
        self.meanwhile: Any = None

    async def renew(self, token: str) -> bool:
        return False if self.sleep else await super().renew(token)

    async def mark(self, token: str, message: int) -> bool:
        marked = await super().mark(token, message)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await anyio.sleep(self.sleep)
            await meanwhile()
        return marked


async def test_a_zombie_does_not_send_what_was_resolved_and_sent_by_another() -> None:
    """Marked, stopped for longer than the lease, taken over, resolved to resend and sent: the one
    who wakes up does not send it again."""
    ledger = Slow(lease=3.0, sleep=10.0)
    async with loaded(5, ledger=ledger) as (campaign, sandbox):
        other = Campaign.open(ledger, campaign._client)

        async def meanwhile() -> None:
            async with other:
                assert (await other.status()).counts[State.UNKNOWN] == 1
                await other.resolve(Resolution.RESEND)
                assert (await other.run_chunk(1)).sent == 5

        ledger.meanwhile = meanwhile
        report = await campaign.run_chunk(1, concurrency=1)
        assert report.stopped == "its leases were lost to another run"
        assert (report.sent, report.unknown, report.next_due) == (0, 0, None)
        assert (await campaign.status()).counts[State.SENT] == 5
    assert (sandbox.delivered, sandbox.duplicates) == (5, 0)


async def test_a_zombie_gives_back_what_it_did_not_send() -> None:
    """Marked, stopped, taken over: the one who wakes up knows that it did not send, and says so."""
    ledger = Slow(lease=3.0, sleep=10.0)
    async with loaded(2, ledger=ledger) as (campaign, sandbox):

        async def meanwhile() -> None:
            assert await ledger.take_over("other") == 1

        ledger.meanwhile = meanwhile
        assert (await campaign.run_chunk(1, concurrency=1)).sent == 0
        assert (await campaign.status()).counts[State.PENDING] == 2
        ledger.sleep = 0.0
        assert (await campaign.run_chunk(1)).sent == 2
    assert (sandbox.delivered, sandbox.duplicates) == (2, 0)


class Away(MemoryLedger):
    """A ledger that was away for longer than a lease, and in which nobody took anything."""

    away = 10.0

    async def mark(self, token: str, message: int) -> bool:
        away, self.away = self.away, 0.0
        await anyio.sleep(away)
        await super().renew(token)
        return await super().mark(token, message)

    async def renew(self, token: str) -> bool:
        return True


async def test_an_outage_of_the_ledger_takes_no_lease() -> None:
    """Who was cut off for longer than a lease asks again before it sends, and goes on."""
    async with loaded(5, ledger=Away(lease=20.0)) as (campaign, sandbox):
        assert (await campaign.run_chunk(1, concurrency=1)).sent == 5
        assert sandbox.delivered == 5
    ledger = Away(lease=3.0, clock=lambda: 0.0)
    async with loaded(5, ledger=ledger) as (campaign, sandbox):
        assert (await campaign.run_chunk(1, concurrency=1)).sent == 5
    assert (sandbox.delivered, sandbox.duplicates) == (5, 0)


class Deaf(MemoryLedger):
    """A ledger that cannot take results down for a while, nor goodbyes."""

    deaf = True

    async def record(self, token: str, result: Result) -> None:
        if self.deaf:
            raise CampaignError("the server is away")
        await super().record(token, result)

    async def leave(self, worker: str) -> None:
        raise CampaignError("the server is away")


async def test_late_results_come_before_anything_else() -> None:
    """A result that could not be recorded is, before the next chunk sends anything."""
    ledger = Deaf()
    async with loaded(2, ledger=ledger) as (campaign, sandbox):
        for _ in range(2):
            with pytest.raises(CampaignError, match="away"):
                await campaign.run_chunk(1, concurrency=1)
        assert sandbox.delivered == 1
        ledger.deaf = False
        assert (await campaign.run_chunk(1)).sent == 1
        assert (await campaign.status()).counts[State.SENT] == 2
    assert (sandbox.delivered, sandbox.duplicates) == (2, 0)


async def test_a_worker_is_on_the_roll_while_its_campaign_is_open() -> None:
    """Whoever works beats; whoever closes in order is struck off."""
    ledger = MemoryLedger()
    async with loaded(700, ledger=ledger, limiter=TokenBucket(5)) as (campaign, _):
        await campaign.run_chunk(2)
        fleet = (await campaign.status()).fleet
        (worker,) = fleet.workers
        assert worker.alive
        assert worker.rate == pytest.approx(5, rel=0.3)
        assert (await campaign.status()).as_dict()["workers"][0]["name"] == worker.name
        assert (await campaign.status()).rate == worker.rate
    assert await ledger.fleet() == (await MemoryLedger().fleet())
