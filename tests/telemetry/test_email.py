"""What an observer is told of e-mails, and what OpenTelemetry makes of it."""

from __future__ import annotations

import gc
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from aldeamo_async import RetryPolicy, UsageError
from aldeamo_async.campaigns import Campaign, MemoryLedger
from aldeamo_async.email import AsyncEmailClient, EmailRefused, EmailUnknown, OutgoingEmail
from aldeamo_async.telemetry import OpenTelemetry
from support.notebook import Notebook
from support.smtp import SUBJECT, TEXT, TO, MailServer, Talk, client_of, proper

pytestmark = pytest.mark.real_clock

TWICE = RetryPolicy(attempts=2, wait=lambda _: 0.0)


def busy(talk: Talk) -> None:
    """Refuse one e-mail for now, quoting its recipient."""
    talk.greet()
    talk.hear("250 ok")
    talk.hear(f"450 4.2.0 {TO} come back later")
    while True:
        talk.hear("250 ok")
        talk.hear(f"450 4.2.0 {TO} come back later")


def hang_up(talk: Talk) -> None:
    """Take a message, and hang up instead of an answer."""
    talk.greet()
    talk.until_data("354 go on")
    talk.body()
    talk.reset()


def hang(talk: Talk) -> None:
    """Take a message, and never answer."""
    talk.greet()
    talk.until_data("354 go on")
    talk.body()
    talk.connection.hang()


async def test_an_observer_hears_of_emails() -> None:
    """Single e-mails and those of a campaign, each with its outcome and attempts, and the client's
    numbers until it is gone."""
    notebook = Notebook()
    with MailServer(proper) as server:
        client = client_of(server.port, observer=notebook)
        async with client:
            await client.send(TO, SUBJECT, TEXT)
            async with Campaign.open(MemoryLedger(), client) as campaign:
                await campaign.load([OutgoingEmail(TO, SUBJECT, TEXT)])
                await campaign.run()
            with pytest.raises(UsageError):
                await client.send("nobody", SUBJECT, TEXT)
            looked = notebook.looks[0]()
            assert looked == client.stats()
    assert looked is not None
    assert (looked.sent, looked.rejected, len(notebook.waits)) == (2, 1, 2)
    assert {(record.call, record.channel, record.outcome) for record in notebook.records} == {
        ("SMTP submission", "email", "sent")
    }
    record = notebook.records[0]
    assert record.base_url == f"smtps://127.0.0.1:{server.port}"
    assert record.seconds >= record.attempts[0].took
    assert len(notebook.records) == 2
    del client, campaign
    gc.collect()
    assert notebook.looks[0]() is None


async def test_an_email_that_is_cancelled_is_told() -> None:
    """A cancellation from outside ends the record as cancelled."""
    notebook = Notebook()
    with MailServer(hang) as server:
        async with client_of(server.port, observer=notebook) as client:
            with anyio.move_on_after(0.3):
                await client.send(TO, SUBJECT, TEXT)
    assert [record.outcome for record in notebook.records] == ["cancelled"]


def test_only_an_observer_can_observe() -> None:
    """Anything else is refused when the client is made."""
    wrong: Any = print
    with pytest.raises(UsageError, match="observer must be an Observer"):
        AsyncEmailClient("127.0.0.1", sender="citas@tenant.example", observer=wrong)


async def test_the_address_of_a_server_in_a_record() -> None:
    """A server by its IPv6 address, and one with STARTTLS, make URLs like any other."""
    notebook = Notebook()
    client = AsyncEmailClient(
        "::1",
        1,
        sender="citas@tenant.example",
        tls="starttls",
        observer=notebook,
        retry=RetryPolicy(attempts=1),
    )
    async with client, client.send_many([OutgoingEmail(TO, SUBJECT, TEXT)]) as outcomes:
        assert len([outcome async for outcome in outcomes]) == 1
    (record,) = notebook.records
    assert (record.base_url, record.outcome) == ("smtp://[::1]:1", "rejected")


async def test_spans_of_emails() -> None:
    """A span for each e-mail with an event for each attempt, in the words of SMTP, and nothing
    private in any of it; the HTTP metrics know nothing of it."""
    kept, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(kept))
    observer = OpenTelemetry(tracer_provider=tracers, meter_provider=MeterProvider([reader]))
    with MailServer(busy) as server, MailServer(hang_up) as lost:
        async with client_of(server.port, observer=observer, retry=TWICE) as client:
            with pytest.raises(EmailRefused):
                await client.send(TO, SUBJECT, TEXT)
        async with client_of(lost.port, observer=observer) as client:
            with pytest.raises(EmailUnknown):
                await client.send(TO, SUBJECT, TEXT)
    refused, unknown = kept.get_finished_spans()
    assert refused.name == unknown.name == "SMTP submission"
    assert dict(refused.attributes or {}) == {
        "network.protocol.name": "smtp",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "aldeamo.channel": "email",
        "aldeamo.outcome": "rejected",
        "aldeamo.smtp.resend_count": 1,
        "aldeamo.smtp.reply_code": 450,
        "error.type": "450",
    }
    codes = [(event.attributes or {})["aldeamo.smtp.reply_code"] for event in refused.events]
    assert codes == [450, 450]
    assert (unknown.attributes or {})["aldeamo.outcome"] == "unknown"
    data = reader.get_metrics_data()
    assert data is not None
    everything = refused.to_json() + unknown.to_json() + data.to_json()
    assert '"aldeamo.channel": "email"' in data.to_json()
    assert "http." not in everything
    for private in (TO, "mail.example", SUBJECT, TEXT, "citas", "Clínica"):
        assert private not in everything
