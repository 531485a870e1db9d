"""The run loop, on virtual clocks with the ledger in memory and a sandbox in the process."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aldeamo_async import (
    AsyncBotsClient,
    CampaignError,
    Outgoing,
    RetryPolicy,
    TokenBucket,
    UsageError,
)
from aldeamo_async.campaigns import Campaign, MemoryLedger, RunReport, SendWindow, State
from aldeamo_async.sandbox import Fault, Sandbox, SandboxTransport, Weather, serve
from support.campaigns import messages, sandbox_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aldeamo_async.campaigns import Job, Result

WEEKDAYS = SendWindow({"mon-fri": ("07:00", "08:00")}, "UTC")
ONCE = RetryPolicy(attempts=1)


def left(report: RunReport) -> dict[str, int]:
    """The states that have messages, after a run."""
    return {str(state): number for state, number in report.status.counts.items() if number}


async def run_all(
    rows: Sequence[Outgoing],
    weather: Weather | None = None,
    *,
    ledger: MemoryLedger | None = None,
    clock: Any = None,
    client: dict[str, Any] | None = None,
    **rules: Any,
) -> tuple[RunReport, Sandbox]:
    """Load rows, run once, and return the report and the judge."""
    sandbox, connected = sandbox_client(weather, **(client or {}))
    opened = Campaign.open(
        ledger or MemoryLedger(), connected, **({"clock": clock} if clock else {})
    )
    async with connected, opened as campaign:
        await campaign.load(rows)
        return await campaign.run(**rules), sandbox


async def test_every_message_is_sent_once() -> None:
    """A calm campaign: all sent, each once, and the numbers add up."""
    report, sandbox = await run_all(messages(1200), concurrency=50)
    assert left(report) == {"sent": 1200}
    assert (sandbox.delivered, sandbox.duplicates) == (1200, 0)
    assert (report.sent, report.rejected, report.unknown, report.put_off) == (1200, 0, 0, 0)
    assert report.attempts == 1200
    assert report.rate > 0
    assert report.stopped is None
    assert report.status.done
    assert {time.phase for time in report.phases} == {"mark", "send", "record"}
    assert report.as_dict()["status"]["counts"]["sent"] == 1200


async def test_an_empty_campaign_is_done_at_once() -> None:
    """Nothing to send is no error."""
    report, _ = await run_all([])
    assert (report.sent, report.status.total, report.status.done) == (0, 0, True)


async def test_a_second_run_sends_nothing_again() -> None:
    """Running a finished campaign does nothing."""
    sandbox, client = sandbox_client()
    async with client, Campaign.open(MemoryLedger(), client) as campaign:
        await campaign.load(messages(10))
        await campaign.run()
        assert (await campaign.run()).sent == 0
    assert sandbox.requests["send"] == 10


async def test_three_outcomes_in_rough_weather() -> None:
    """What the sandbox delivered is sent or unknown; what it refused is rejected; nothing twice."""
    report, sandbox = await run_all(messages(400), Weather.rough(seed=4), client={"timeout": 1.0})
    counts = report.status.counts
    assert sum(counts.values()) == 400
    assert counts[State.PENDING] == counts[State.ATTEMPTING] == 0
    assert counts[State.UNKNOWN] == report.unknown > 0
    assert counts[State.REJECTED] == report.rejected > 0
    assert counts[State.SENT] <= sandbox.delivered <= counts[State.SENT] + counts[State.UNKNOWN]
    assert sandbox.duplicates == 0
    assert report.reasons["ApiError codigo 7"] == report.rejected
    assert any(reason.startswith("DeliveryUnknown") for reason in report.reasons)


async def test_a_refusal_for_now_is_tried_again_later() -> None:
    """A message that is still refused after its retries comes up again after the server's wait."""
    slow_down = Fault.RATE_LIMITED.with_(retry_after=5)
    report, sandbox = await run_all(
        messages(3), Weather.sequence([slow_down]), client={"retry": ONCE}, concurrency=1
    )
    assert left(report) == {"sent": 3}
    assert (report.put_off, report.sent, sandbox.duplicates) == (1, 3, 0)
    assert report.reasons == {"RateLimited HTTP 429": 1}


async def test_an_outage_pauses_the_run_and_loses_nothing() -> None:
    """Sends that cannot leave wait ever longer, come up again, and all arrive in the end."""
    outage = Weather.sequence([Fault.CONNECTION_REFUSED] * 7)
    began = anyio.current_time()
    report, sandbox = await run_all(messages(5), outage, client={"retry": ONCE}, concurrency=2)
    assert left(report) == {"sent": 5}
    assert report.put_off == 7
    assert report.reasons == {"NotSent connect": 7}
    assert (sandbox.delivered, sandbox.duplicates) == (5, 0)
    assert anyio.current_time() - began > 30


async def test_attempts_are_bounded() -> None:
    """A message that never gets through is rejected after so many attempts."""
    outage = Weather.sequence([Fault.CONNECTION_REFUSED], repeat=True)
    report, _ = await run_all(messages(1), outage, client={"retry": ONCE}, max_attempts=3)
    assert left(report) == {"rejected": 1}
    assert (report.put_off, report.attempts) == (2, 3)


async def test_a_refused_key_stops_at_once() -> None:
    """Nothing more is sent after the API refused the key, and what it refused is pending."""
    sandbox = Sandbox(api_key="another-key")
    client = AsyncBotsClient("test-key", transport=SandboxTransport(sandbox))
    async with client, Campaign.open(MemoryLedger(), client) as campaign:
        await campaign.load(messages(100))
        report = await campaign.run(concurrency=4)
        assert left(report) == {"pending": 100}
        assert report.stopped is not None
        assert "refuses the key" in report.stopped
        assert sandbox.requests["send"] <= 4
        assert report.put_off == sandbox.requests["send"]


@pytest.mark.parametrize(
    ("fault", "rule", "state"),
    [
        (Fault.STATUS_FALSE, "max_rejected", "rejected"),
        (Fault.BAD_GATEWAY, "max_unknown", "unknown"),
    ],
)
async def test_a_run_stops_at_its_limits(fault: Fault, rule: str, state: str) -> None:
    """The rule ends the run; what was in flight is recorded, and the rest is pending."""
    weather = Weather.sequence([fault], repeat=True)
    rules: dict[str, Any] = {rule: 5}
    report, _ = await run_all(messages(100), weather, concurrency=3, **rules)
    assert report.stopped is not None
    assert rule in report.stopped
    assert 5 <= left(report)[state] <= 7
    assert left(report)["pending"] == 100 - left(report)[state]


async def test_stop_lets_what_is_in_flight_finish() -> None:
    """`stop()` starts nothing more, leaves nothing unknown, and a run goes on from there."""
    sandbox, client = sandbox_client()
    sandbox.latency = 1.0
    async with client, Campaign.open(MemoryLedger(), client) as campaign:
        await campaign.load(messages(50))
        campaign.stop()  # nothing runs yet
        reports: list[RunReport] = []

        async def run() -> None:
            reports.append(await campaign.run(concurrency=10))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await anyio.sleep(1.5)
            assert campaign.progress is not None
            assert campaign.progress.in_flight == 10
            assert "running" in repr(campaign)
            campaign.stop("enough")
            campaign.stop("too late to be the reason")
        assert campaign.progress is None
        assert reports[0].stopped == "enough"
        assert left(reports[0]) == {"sent": 20, "pending": 30}
        sandbox.latency = 0.0
        assert left(await campaign.run()) == {"sent": 50}
    assert sandbox.duplicates == 0


async def test_a_marked_message_is_not_started_after_a_stop() -> None:
    """Between its mark and its send a message goes back to pending, without an attempt."""

    class StopsAtMark(MemoryLedger):
        """Calls for a stop while the first message is being marked."""

        campaign: Campaign

        async def mark(self, token: str, message: int) -> bool:
            self.campaign.stop()
            return await super().mark(token, message)

    ledger = StopsAtMark()
    sandbox, client = sandbox_client()
    async with client, Campaign.open(ledger, client) as campaign:
        ledger.campaign = campaign
        await campaign.load(messages(3))
        report = await campaign.run(concurrency=1)
        assert left(report) == {"pending": 3}
        assert [line.attempts for line in await ledger.lines(0, 9)] == [0, 0, 0]
    assert sandbox.requests["send"] == 0


async def test_a_cancelled_run_finishes_what_is_in_flight() -> None:
    """A cancellation from outside leaves no message attempting or unknown, and none half sent."""
    ledger = MemoryLedger()
    sandbox, client = sandbox_client()
    sandbox.latency = 1.0
    async with client, Campaign.open(ledger, client) as campaign:
        await campaign.load(messages(50))
        with anyio.move_on_after(2.5) as scope:
            await campaign.run(concurrency=10)
        assert scope.cancelled_caught
        counts = (await campaign.status()).counts
        assert (counts[State.SENT], counts[State.PENDING]) == (30, 20)
        assert (await campaign.run()).sent == 20
    assert (sandbox.delivered, sandbox.duplicates) == (50, 0)


async def test_the_limiter_paces_the_run() -> None:
    """Ten messages at two a second take four and a half seconds, and the wait is in the report."""
    began = anyio.current_time()
    limiter = TokenBucket(2, initial=1)
    report, _ = await run_all(messages(10), client={"limiter": limiter})
    assert anyio.current_time() - began == pytest.approx(4.5)
    assert "limiter" in {time.phase for time in report.phases}


async def test_a_run_can_be_stopped_while_it_waits() -> None:
    """A run that waits for a permit hears `stop()` at once."""
    _, client = sandbox_client(limiter=TokenBucket(0, initial=0))
    async with client, Campaign.open(MemoryLedger(), client) as campaign:
        await campaign.load(messages(2))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(campaign.run)
            await anyio.sleep(100)
            campaign.stop()
        assert anyio.current_time() < 101


@pytest.mark.traced
async def test_nothing_starts_outside_of_the_window() -> None:
    """A run that begins at night waits for the morning, and stops starting in the evening."""
    began = anyio.current_time()
    start = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)  # a Monday

    def clock() -> datetime:
        return start + timedelta(seconds=anyio.current_time() - began)

    client = {"limiter": TokenBucket(1 / 600, initial=0)}
    waits: Counter[str | None] = Counter()
    sandbox, connected = sandbox_client(**client)
    async with connected, Campaign.open(MemoryLedger(), connected, clock=clock) as campaign:
        await campaign.load(messages(9))

        async def watch() -> None:
            while True:
                await anyio.sleep(1800)
                if campaign.progress is not None:
                    waits[campaign.progress.waiting] += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            report = await campaign.run(window=WEEKDAYS)
            tasks.cancel_scope.cancel()
    assert left(report) == {"sent": 9}
    opened = [d.at for d in sandbox.deliveries]
    hours = [(start + timedelta(seconds=at - began)).strftime("%a %H") for at in opened]
    assert set(hours) == {"Mon 07", "Tue 07"}
    assert "the send window, until Tue 07:00" in waits


async def test_per_client_order() -> None:
    """In an ordered run each client's messages arrive one by one, in the order of the input."""
    rows = messages(300, clients=7)
    report, sandbox = await run_all(
        rows,
        Weather.random({Fault.RATE_LIMITED.with_(retry_after=3): 0.2}, seed=1),
        client={"retry": ONCE},
        ordered=True,
        concurrency=20,
    )
    assert left(report) == {"sent": 300}
    assert report.put_off > 0
    for client_id in {row.client_id for row in rows}:
        wanted = [row.text for row in rows if row.client_id == client_id]
        assert [d.text for d in sandbox.deliveries if d.client_id == client_id] == wanted


class Asked(MemoryLedger):
    """A ledger that counts how often it is asked for messages."""

    claims = 0

    async def claim(self, token: str, limit: int, chunk: int | None = None) -> Sequence[Job]:
        self.claims += 1
        return await super().claim(token, limit, chunk)


async def test_one_talkative_client_does_not_fill_the_memory() -> None:
    """An ordered run holds back only so many messages of a busy client, and does not ask the ledger
    after each of them whether there is more."""
    ledger = Asked()
    report, sandbox = await run_all(
        messages(2300, clients=1), ledger=ledger, ordered=True, concurrency=5
    )
    assert left(report) == {"sent": 2300}
    assert ledger.claims < 20
    assert [d.text for d in sandbox.deliveries] == [f"Hola {n}" for n in range(2300)]


async def test_what_is_loaded_meanwhile_is_found() -> None:
    """Though nothing was left in the ledger when it was last asked, and nothing has ended since."""
    slow = Fault.HANG_BEFORE_EFFECT.with_(seconds=20)
    sandbox, connected = sandbox_client(Weather.sequence([slow, None]))
    async with connected, Campaign.open(MemoryLedger(), connected) as campaign:
        await campaign.load(messages(1))

        async def load_more() -> None:
            await anyio.sleep(12)
            await campaign.load([Outgoing("sms", "573000000099", "Hola, tarde")])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load_more)
            report = await campaign.run()
    assert left(report) == {"sent": 2}
    assert [d.text for d in sandbox.deliveries] == ["Hola, tarde", "Hola 0"]


async def test_a_put_off_message_is_waited_for_while_others_fly() -> None:
    """The run ends only when what is in flight has had its say, also about coming up again."""
    slow = Fault.HANG_BEFORE_EFFECT.with_(seconds=20)
    late = Fault.RATE_LIMITED.with_(retry_after=2)
    report, sandbox = await run_all(
        messages(3), Weather.sequence([slow, late, None]), client={"retry": ONCE}, concurrency=3
    )
    assert left(report) == {"sent": 3}
    assert sandbox.duplicates == 0


class Failing(MemoryLedger):
    """A ledger whose chosen method fails after so many calls."""

    def __init__(self, method: str, after: int, error: Exception | None = None) -> None:
        super().__init__()
        self.method = method
        self.after = after
        self.error = error or CampaignError("the disk is full")

    def _count(self, method: str) -> None:
        if method == self.method:
            self.after -= 1
            if self.after < 0:
                raise self.error

    async def mark(self, token: str, message: int) -> bool:
        self._count("mark")
        return await super().mark(token, message)

    async def record(self, token: str, result: Result) -> None:
        self._count("record")
        await super().record(token, result)

    async def claim(self, token: str, limit: int, chunk: int | None = None) -> Any:
        self._count("claim")
        return await super().claim(token, limit, chunk)

    async def renew(self, token: str) -> bool:
        self._count("renew")
        return await super().renew(token)

    async def put_off(self, token: str, messages: Sequence[int], seconds: float) -> None:
        self._count("put_off")
        await super().put_off(token, messages, seconds)


@pytest.mark.parametrize("method", ["mark", "record", "claim"])
async def test_nothing_is_sent_without_its_mark(method: str) -> None:
    """When the ledger fails the run raises, and no more was sent than was marked."""
    ledger = Failing(method, 7 if method != "claim" else 0)
    sandbox, client = sandbox_client()
    async with client, Campaign.open(ledger, client) as campaign:
        await campaign.load(messages(40))
        with pytest.raises(CampaignError, match="disk is full"):
            await campaign.run(concurrency=4)
        marked = [line for line in await ledger.lines(0, 99) if line.attempts]
        assert sandbox.requests["send"] <= len(marked)
        ledger.method = "none"
        report = await campaign.run(concurrency=4)
        assert left(report) == {"sent": 40}  # results that could not be recorded were kept
    assert (sandbox.delivered, sandbox.duplicates) == (40, 0)


async def test_a_fault_of_ours_is_raised_after_all_others_finished() -> None:
    """An unforeseen error is not swallowed, and tears nothing apart."""
    ledger = Failing("mark", 3, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        await run_all(messages(40), ledger=ledger, concurrency=4)
    assert (await ledger.counts()).states[State.ATTEMPTING] == 0


async def test_a_ledger_that_fails_to_put_off_ends_an_ordered_run() -> None:
    """Also where messages are put off behind another one, an error of the ledger is raised."""
    ledger = Failing("put_off", 0)
    weather = Weather.sequence([Fault.RATE_LIMITED.with_(retry_after=3)])
    with pytest.raises(CampaignError):
        await run_all(
            messages(4, clients=1), weather, ledger=ledger, ordered=True, client={"retry": ONCE}
        )


async def test_a_lost_heartbeat_ends_the_run() -> None:
    """Without its leases a run starts nothing more."""

    class Forgetful(MemoryLedger):
        async def renew(self, token: str) -> bool:
            await super().release(token)
            return False

    report, _ = await run_all(
        messages(30), ledger=Forgetful(), client={"limiter": TokenBucket(1)}, concurrency=2
    )
    assert report.stopped == "its leases were lost to another run"
    assert set(left(report)) == {"sent", "pending"}


async def test_a_heartbeat_that_fails_ends_the_run() -> None:
    """A ledger that cannot renew the leases ends the run with its error."""
    with pytest.raises(CampaignError):
        await run_all(messages(30), ledger=Failing("renew", 1), client={"limiter": TokenBucket(1)})


async def test_a_long_run_keeps_its_leases() -> None:
    """Messages that wait longer than a lease are still this run's to send."""
    report, _ = await run_all(messages(30), client={"limiter": TokenBucket(1 / 4)})
    assert left(report) == {"sent": 30}


async def test_a_message_taken_over_is_not_sent() -> None:
    """Where the mark finds that the message is another's, nothing goes out."""

    class Taken(MemoryLedger):
        async def mark(self, token: str, message: int) -> bool:
            if message == 2:
                await super().release(token)
                await super().claim("other", 9)
            return await super().mark(token, message)

    ledger = Taken(lease=1e9)
    sandbox, client = sandbox_client()
    async with client, Campaign.open(ledger, client) as campaign:
        await campaign.load(messages(2))
        with anyio.move_on_after(5):
            await campaign.run(concurrency=1, ordered=True)
    assert sandbox.delivered == 1


@pytest.mark.real_clock
async def test_a_client_that_is_closed_meanwhile_ruins_nothing() -> None:
    """A run whose client is closed raises; no message is rejected for it."""
    ledger = MemoryLedger()
    sandbox = Sandbox()

    class Closing(MemoryLedger):
        async def mark(self, token: str, message: int) -> bool:
            if message == 3:
                await client.aclose()
            return await super().mark(token, message)

    ledger = Closing()
    async with serve(sandbox) as url:
        client = AsyncBotsClient("test-key", base_url=url)
        async with Campaign.open(ledger, client) as campaign:
            await campaign.load(messages(5))
            with pytest.raises(UsageError, match="closed"):
                await campaign.run(concurrency=1)
            counts = (await ledger.counts()).states
    assert (counts[State.SENT], counts[State.PENDING]) == (2, 3)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"concurrency": None}, "concurrency"),
        ({"max_rejected": 0}, "max_rejected"),
        ({"max_unknown": 1.5}, "max_unknown"),
        ({"max_attempts": -1}, "max_attempts"),
    ],
)
async def test_rules_that_cannot_work_are_refused(rules: dict[str, Any], said: str) -> None:
    """A rule is a whole number above 0."""
    with pytest.raises(UsageError, match=said):
        await run_all([], **rules)
