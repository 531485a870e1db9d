"""The port of observers, and what the log lines carry for machines."""

from __future__ import annotations

import json
import logging
from typing import Any

import anyio
import pytest

from aldeamo_async import AldeamoError, AsyncBotsClient, TokenBucket, UsageError
from aldeamo_async.telemetry import CallRecord, Observer
from support.clients import KEY, PHONE, TEXT, UNSENT, later, make, opened, scripted, taking, yes
from support.notebook import Notebook

FIELDS = ["call", "attempt", "evidence", "phase", "verdict", "status", "retry_after"]


class Clumsy(Observer):
    """Fails at everything."""

    def joined(self, look: object) -> None:
        raise ValueError("joined")

    def waited(self, seconds: float) -> None:
        raise ValueError("waited")

    def ended(self, record: CallRecord) -> None:
        raise ValueError("ended")


@pytest.mark.traced
async def test_an_observer_hears_everything() -> None:
    """The client, each wait for the limiter and each call reach an observer of your own."""
    notebook = Notebook()
    limiter = TokenBucket(10, burst=1)
    async with opened(scripted(later("1")), observer=notebook, limiter=limiter) as client:
        await client.send("sms", PHONE, TEXT)
        looked = notebook.looks[0]()
        assert looked == client.stats()
    assert looked is not None
    assert looked.sent == 1
    (record,) = notebook.records
    assert (record.call, record.channel, record.verdict, record.outcome) == (
        "POST /messages",
        "sms",
        "ok",
        "sent",
    )
    assert [attempt.status for attempt in record.attempts] == [429, 200]
    parts = sum(attempt.waited + attempt.took for attempt in record.attempts)
    assert record.seconds == pytest.approx(parts)
    assert len(notebook.waits) == 2
    assert PHONE not in repr(record)


async def test_calls_that_are_no_calls_are_not_told() -> None:
    """Bad input, which ends before any I/O, is an error and no record."""
    notebook = Notebook()
    async with opened(scripted(), observer=notebook) as client:
        with pytest.raises(UsageError):
            await client.send("sms", "", TEXT)
    assert notebook.records == []


async def test_an_observer_cannot_spoil_a_call(caplog: pytest.LogCaptureFixture) -> None:
    """What an observer raises is logged; the receipt of a message that is out is not lost."""
    async with opened(scripted(yes("7")), observer=Clumsy()) as client:
        assert (await client.send("sms", PHONE, TEXT)).message_id == "7"
    said = [record for record in caplog.records if "observer failed" in record.message]
    assert [str(record.exc_info and record.exc_info[1]) for record in said] == [
        "joined",
        "waited",
        "ended",
    ]


async def test_an_observer_need_not_listen() -> None:
    """The methods of the base class do nothing."""
    async with opened(scripted(), observer=Observer()) as client:
        await client.send("sms", PHONE, TEXT)


@pytest.mark.parametrize("wrong", ["otel", Notebook])
def test_what_is_no_observer_is_refused(wrong: Any) -> None:
    """Text, or a class in place of its instance, is refused when the client is made."""
    with pytest.raises(UsageError, match="observer must be"):
        AsyncBotsClient(KEY, observer=wrong)


def test_the_limiter_behind_an_observer_is_the_same() -> None:
    """Everything else of the limiter is reached through the wrapper."""
    bucket = TokenBucket(7)
    client = make(scripted(), observer=Observer(), limiter=bucket)
    assert client.stats().limiter == bucket.snapshot()


async def test_log_lines_carry_their_facts(caplog: pytest.LogCaptureFixture) -> None:
    """Each attempt that failed is one record with fields, none of them private."""
    caplog.set_level(logging.INFO, "aldeamo_async")
    async with opened(scripted(later("1"), UNSENT)) as client:
        await client.send("sms", PHONE, TEXT)
    refused, unsent = caplog.records
    facts = {name: getattr(refused, name) for name in FIELDS}
    assert facts == {
        "call": "POST /messages",
        "attempt": 1,
        "evidence": "answered",
        "phase": "done",
        "verdict": "refused",
        "status": 429,
        "retry_after": 1,
    }
    assert (unsent.attempt, unsent.verdict, unsent.waited >= 1) == (2, "unsent", True)  # type: ignore[attr-defined]
    text = json.dumps([vars(record) for record in caplog.records], default=str)
    assert not any(private in text for private in (KEY, PHONE, TEXT))


async def test_a_send_that_is_cut_off_is_a_warning_with_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The call, the attempt and the verdict `cancelled` can be filtered by machines."""
    async with opened(taking(60)) as client:
        with anyio.move_on_after(1):
            await client.send("sms", PHONE, TEXT)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    fields = (record.call, record.attempt, record.verdict)  # type: ignore[attr-defined]
    assert fields == ("POST /messages", 1, "cancelled")


async def test_a_read_that_fails_is_told_with_its_outcome() -> None:
    """The outcome of a read that brought nothing is `failed`."""
    notebook = Notebook()
    async with opened(scripted(yes([]), later("999")), observer=notebook) as client:
        await client.users("web")
        with pytest.raises(AldeamoError):
            await client.users("web")
    assert [record.outcome for record in notebook.records] == ["read", "failed"]
