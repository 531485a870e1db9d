"""The taskiq example, with the broker that runs tasks in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import taskiq_engine
from aldeamo_async.sandbox import Fault, Weather
from support.postgres import (  # type: ignore[import-not-found]
    _postgres,
    postgres_server,
    postgres_url,
)
from taskiq_engine import broker, hand_out, run_chunk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from aldeamo_async import Campaign
    from aldeamo_async.sandbox import Sandbox

__all__ = ["_postgres", "postgres_server", "postgres_url"]  # fixtures, by their import

CUSTOMERS = "channel,client_id,text\n" + "".join(
    f"sms,5730000000{n % 100:02},Hola {n}\n" for n in range(1100)
)


@pytest.fixture
async def campaign(
    anyio_backend: str, aldeamo_env: None, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Campaign]:
    """The campaign of a worker that has started."""
    monkeypatch.setenv("CAMPAIGN", postgres_url)
    broker.is_worker_process = True
    await broker.startup()
    yield broker.state.campaign
    await broker.shutdown()
    broker.is_worker_process = False


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    """A file of 1,100 customers."""
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS, encoding="utf-8")
    return path


@pytest.mark.slow
async def test_a_broker_that_delivers_everything_twice_doubles_nothing(
    campaign: Campaign,
    customers: Path,
    aldeamo_sandbox: Sandbox,
    assert_no_duplicates: Callable[[], None],
) -> None:
    """Every chunk delivered twice at once, and again: each message goes out once."""
    refused = Fault.RATE_LIMITED.with_(retry_after=0)
    aldeamo_sandbox.weather = Weather.sequence([*[None] * 700, refused])
    await campaign.load(customers)
    while await hand_out(campaign):
        await hand_out(campaign)
        await broker.wait_all()
    assert (await campaign.status()).done
    assert aldeamo_sandbox.delivered == 1100
    assert_no_duplicates()


async def test_a_task_says_what_it_did(campaign: Campaign, customers: Path) -> None:
    """The result of a task is the report of its chunk, in plain values."""
    await campaign.load(customers)
    task = await run_chunk.kiq(3)
    result = await task.wait_result(timeout=20)
    assert result.return_value["sent"] == 100
    assert result.return_value["next_due"] is None


@pytest.mark.usefixtures("campaign")
async def test_the_program_ends_when_all_is_sent(
    customers: Path, aldeamo_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading and handing out, in one program: it ends when nothing is left to send."""
    monkeypatch.setattr(taskiq_engine, "HAND_OUT_SECONDS", 0.05)
    await taskiq_engine.main(str(customers))
    assert aldeamo_sandbox.delivered == 1100
