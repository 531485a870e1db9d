"""The campaign as its users meet it: opening, status, settling what is unknown."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import anyio
import pytest

from aldeamo_async import Dialect, UsageError
from aldeamo_async.campaigns import (
    Campaign,
    CampaignStatus,
    Line,
    MemoryLedger,
    Resolution,
    ResolveReport,
    SendWindow,
    SqliteLedger,
    State,
)
from aldeamo_async.campaigns._campaign import ledger_at
from aldeamo_async.sandbox import Fault, Weather
from support.campaigns import messages, sandbox_client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.real_clock


ALWAYS = SendWindow({"mon-sun": ("00:00", "23:59:59.999999")}, "UTC")


async def with_unknowns(ledger: MemoryLedger, count: int = 3) -> None:
    """Leave some messages of a campaign unknown."""
    _, client = sandbox_client(Weather.sequence([Fault.BAD_GATEWAY] * count))
    async with client, Campaign.open(ledger, client) as campaign:
        await campaign.load(messages(count + 1))
        await campaign.run(concurrency=1)


async def test_the_whole_life_of_a_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open by URL, load, run, look, and find all of it again in the file."""
    monkeypatch.chdir(tmp_path)
    sandbox, client = sandbox_client()
    async with client:
        campaign = Campaign.open("sqlite:///promo.db", client)
        assert repr(campaign) == "Campaign(SqliteLedger('promo.db', closed), closed)"
        async with campaign:
            assert repr(campaign) == "Campaign(SqliteLedger('promo.db', open), open)"
            await campaign.load(messages(30))
            assert (await campaign.status()).next_due == 0.0
            report = await campaign.run(concurrency=7)
        async with Campaign.open(f"sqlite:///{tmp_path}/promo.db", client) as campaign:
            status = await campaign.status()
    assert status == report.status
    assert status.as_dict() == {
        "counts": {"pending": 0, "attempting": 0, "sent": 30, "rejected": 0, "unknown": 0},
        "aside": {"invalid": 0, "duplicate": 0, "conflict": 0},
        "reasons": {},
        "total": 30,
        "done": True,
        "next_due": None,
        "rate": 0,
        "leases": {"runs": 0, "messages": 0},
        "workers": [],
    }
    assert sandbox.delivered == 30


async def test_reports_pickle(tmp_path: Path) -> None:
    """What a campaign hands out can go to another process."""
    _, client = sandbox_client()
    async with client, Campaign.open(MemoryLedger(), client) as campaign:
        loaded = await campaign.load(messages(2))
        report = await campaign.run()
    assert pickle.loads(pickle.dumps((loaded, report))) == (loaded, report)  # noqa: S301 - our own


@pytest.mark.parametrize(
    "url", ["promo.db", "sqlite://promo.db", "sqlite:///", "sqlite:///:memory:", "mysql://x/y"]
)
def test_a_url_that_names_no_ledger(url: str) -> None:
    """The error shows how to write one."""
    with pytest.raises(UsageError, match=r"sqlite:///promo\.db"):
        ledger_at(url)


def test_a_path_from_the_root() -> None:
    """Four slashes begin at the root."""
    assert (
        repr(ledger_at("sqlite:////var/lib/promo.db"))
        == "SqliteLedger('/var/lib/promo.db', closed)"
    )


async def test_a_campaign_is_opened_first() -> None:
    """Every method of a closed campaign says how to open it."""
    _, client = sandbox_client()
    async with client:
        campaign = Campaign.open(MemoryLedger(), client)
        for call in (campaign.run, campaign.status, campaign.resolve):
            with pytest.raises(UsageError, match="Open the campaign first"):
                await call()  # type: ignore[operator]
        with pytest.raises(UsageError, match="Open the campaign first"):
            await campaign.load([])
        with pytest.raises(UsageError, match="Open the campaign first"):
            await campaign.export("out.csv")


async def test_one_run_at_a_time() -> None:
    """A second run of the same campaign, and a decision during a run, are refused."""
    sandbox, client = sandbox_client()
    sandbox.latency = 0.2
    async with client, Campaign.open(MemoryLedger(), client) as campaign:
        await campaign.load(messages(1))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(campaign.run)
            await anyio.sleep(0.05)
            with pytest.raises(UsageError, match="running already"):
                await campaign.run()
            with pytest.raises(UsageError, match="settle what is unknown when"):
                await campaign.resolve("resend")
        assert (await campaign.status()).done


async def test_a_closed_client_is_refused() -> None:
    """A campaign needs a client that can send."""
    _, client = sandbox_client()
    async with client:
        pass
    async with Campaign.open(MemoryLedger(), client) as campaign:
        with pytest.raises(UsageError, match="closed"):
            await campaign.run()


@pytest.mark.parametrize(
    ("decision", "report", "state"),
    [
        ("hold", ResolveReport(held=3), State.UNKNOWN),
        ("assume_sent", ResolveReport(assumed_sent=3), State.SENT),
        (Resolution.RESEND, ResolveReport(resend=3), State.PENDING),
    ],
)
async def test_one_decision_for_all(decision: str, report: ResolveReport, state: State) -> None:
    """Unknown messages are held, counted as sent, or made pending again."""
    ledger = MemoryLedger()
    await with_unknowns(ledger)
    _, client = sandbox_client()
    async with client, Campaign.open(ledger, client) as campaign:
        assert await campaign.resolve(decision) == report
        assert (await campaign.status()).counts[state] >= 3


async def test_a_look_up_for_each(tmp_path: Path) -> None:
    """A function, plain or async, decides message by message, through any number of them."""

    class Small(MemoryLedger):
        """Hands unknown messages out two at a time."""

        async def unknowns(self, after: int, limit: int) -> Sequence[Line]:
            return await super().unknowns(after, min(limit, 2))

    ledger = Small()
    await with_unknowns(ledger, 5)
    _, client = sandbox_client()
    seen: list[str] = []

    def look_up(line: Line) -> str:
        seen.append(line.text)
        return {"Hola 0": "assume_sent", "Hola 1": "resend"}.get(line.text, "hold")

    async def look_up_later(line: Line) -> Resolution:
        await anyio.lowlevel.checkpoint()
        return Resolution.ASSUME_SENT

    async with client, Campaign.open(ledger, client) as campaign:
        assert await campaign.resolve(look_up) == ResolveReport(assumed_sent=1, resend=1, held=3)
        assert seen == [f"Hola {n}" for n in range(5)]
        assert await campaign.resolve(look_up_later) == ResolveReport(assumed_sent=3)
        report = await campaign.run()
    assert (report.sent, report.status.counts[State.UNKNOWN]) == (1, 0)


async def test_a_decision_that_is_none() -> None:
    """A word that names no decision is refused, also from a function."""
    ledger = MemoryLedger()
    await with_unknowns(ledger)
    _, client = sandbox_client()
    async with client, Campaign.open(ledger, client) as campaign:
        for decision in ("retry", lambda line: None):
            with pytest.raises(UsageError, match="'hold', 'assume_sent', 'resend'"):
                await campaign.resolve(decision)  # type: ignore[arg-type]


async def test_rules_that_changed_after_the_load() -> None:
    """A message that the running client itself refuses is rejected, with the reason counted."""
    sandbox, client = sandbox_client()
    ledger = MemoryLedger()
    async with client, Campaign.open(ledger, client) as campaign:
        await campaign.load(messages(11))
        stricter = client.with_options(dialect=Dialect(max_text_length=6))
        async with Campaign.open(ledger, stricter) as same:
            report = await same.run(window=ALWAYS)
    assert (report.sent, report.rejected) == (10, 1)
    assert report.reasons == {"UsageError": 1}
    assert sandbox.requests["send"] == 10


async def test_what_a_killed_run_left_is_unknown_on_opening(tmp_path: Path) -> None:
    """A message that was marked when its process died is unknown as soon as the file is opened."""
    ledger = SqliteLedger(tmp_path / "promo.db")
    _, client = sandbox_client()
    async with client:
        async with Campaign.open(ledger, client) as campaign:
            await campaign.load(messages(2))
            (job, _) = await ledger.claim("dead", 2)
            await ledger.mark("dead", job.id)
        async with Campaign.open(ledger, client) as campaign:
            status: CampaignStatus = await campaign.status()
            assert status.counts[State.UNKNOWN] == 1
            assert not status.done
            assert status.reasons == {State.UNKNOWN: {"interrupted": 1}}
