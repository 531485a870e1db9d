"""Campaigns of e-mails against mail servers on loopback: the server's own count is the judge."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio
import anyio.to_thread
import pytest

from aldeamo_async import RetryPolicy, TokenBucket, UsageError
from aldeamo_async.campaigns import Campaign, Line, MemoryLedger, Resolution, SendWindow, State
from aldeamo_async.email import OutgoingEmail
from support.smtp import Mailroom, MailServer, Talk, client_of, mailroom, proper
from support.socket_faults import authority_file
from support.wire import until

if TYPE_CHECKING:
    from pathlib import Path

    from aldeamo_async.campaigns import Ledger

pytestmark = pytest.mark.real_clock

ONCE = RetryPolicy(attempts=1)
WINDOW = SendWindow.ley_2300(holidays=set())
SUBJECT, TEXT, HTML = "Tu cita de mañana", "Hola Ana,\n.\nte esperamos", "<p>Hola ñ</p>"


def emails(count: int) -> list[OutgoingEmail]:
    """E-mails to an address each."""
    return [
        OutgoingEmail(f"ana{n}@mail.example", SUBJECT, TEXT, HTML, client_ref=f"row {n}")
        for n in range(count)
    ]


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> str | Ledger:
    """A ledger of its own, to be opened as often as one likes."""
    return MemoryLedger() if request.param == "memory" else f"sqlite:///{tmp_path / 'promo.db'}"


def arrived(room: Mailroom) -> Counter[str]:
    """How often each address got an e-mail."""
    return Counter(str(envelope.rcpt_tos[0]) for envelope in room.envelopes)


async def states(campaign: Campaign) -> dict[str, int]:
    """The states that have messages."""
    counts = (await campaign.status()).counts
    return {str(state): number for state, number in counts.items() if number}


async def lines_of(campaign: Campaign) -> list[Line]:
    return list(await campaign.ledger.lines(0, 1000))


async def test_a_campaign_of_emails(ledger: str | Ledger) -> None:
    """Each e-mail arrives once, whole, and the ledger has its Message-ID; a second run sends
    nothing."""
    with mailroom(login=False) as (port, room):
        client = client_of(port, max_connections=4)
        async with client, Campaign.open(ledger, client) as campaign:
            await campaign.load(emails(30))
            report = await campaign.run(ordered=True)
            again = await campaign.run()
            lines = await lines_of(campaign)
    assert (report.sent, report.attempts, again.sent) == (30, 30, 0)
    assert arrived(room) == {f"ana{n}@mail.example": 1 for n in range(30)}
    message = room.messages[0]
    assert message["subject"] == SUBJECT
    assert message.get_body(("plain",)).get_content().splitlines() == TEXT.splitlines()
    assert message.get_body(("html",)).get_content().strip() == HTML
    given = {line.client_id: line.message_id for line in lines}
    assert given == {mail["to"]: mail["message-id"] for mail in room.messages}


async def test_a_campaign_of_emails_in_postgres(
    shared_postgres_url: str, request: pytest.FixtureRequest
) -> None:
    """The same in PostgreSQL, cancelled in between, its rest worked off chunk by chunk."""
    url = f"{shared_postgres_url}&campaign={quote(request.node.name)}"
    with mailroom(login=False) as (port, room):
        client = client_of(port, max_connections=3)
        async with client, Campaign.open(url, client) as campaign:
            await campaign.load(emails(60))
            await cancelled(campaign, room)
            assert 10 <= len(room.envelopes) < 60
            reports = [await campaign.run_chunk(chunk) for chunk in await campaign.chunks()]
            assert await states(campaign) == {"sent": 60}
    assert sum(report.sent for report in reports) > 0
    assert set(arrived(room).values()) == {1}
    assert len(room.envelopes) == 60


async def cancelled(campaign: Campaign, room: Mailroom) -> None:
    """Run until ten e-mails arrived, then cancel the run from outside."""
    room.pause = 0.02
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(campaign.run)
        await until(lambda: len(room.envelopes) >= 10)
        tasks.cancel_scope.cancel()
    room.pause = 0.0


@pytest.mark.slow
async def test_a_cancelled_run_goes_on_without_a_double(ledger: str | Ledger) -> None:
    """A run cancelled in the middle finishes what is on the wire; the next one sends the rest, and
    the mail server has each e-mail once."""
    with mailroom(login=False) as (port, room):
        client = client_of(port, max_connections=4)
        async with client, Campaign.open(ledger, client) as campaign:
            await campaign.load(emails(50))
            await cancelled(campaign, room)
            found = await states(campaign)
            assert found == {"sent": len(room.envelopes), "pending": 50 - len(room.envelopes)}
            assert found["pending"] > 0
        client = client_of(port, max_connections=4)
        async with client, Campaign.open(ledger, client) as campaign:
            await campaign.load(emails(50))
            report = await campaign.run()
            assert await states(campaign) == {"sent": 50}
    assert (report.sent, report.unknown) == (found["pending"], 0)
    assert arrived(room) == {f"ana{n}@mail.example": 1 for n in range(50)}


CHILD = """
import sys, anyio
from aldeamo_async.campaigns import Campaign
from aldeamo_async.email import AsyncEmailClient
async def main(port, authority, url):
    client = AsyncEmailClient("127.0.0.1", int(port), sender="citas@tenant.example",
        tls="implicit", verify=authority, max_connections=4)
    async with client, Campaign.open(url, client) as campaign:
        await campaign.run()
anyio.run(main, *sys.argv[1:])
"""


def run_elsewhere(port: int, url: str) -> subprocess.Popen[bytes]:
    """Run a campaign in a process of its own."""
    command = [sys.executable, "-c", CHILD, str(port), str(authority_file()), url]
    return subprocess.Popen(command)


@pytest.mark.slow
async def test_a_killed_run_goes_on_without_a_double(tmp_path: Path) -> None:
    """After a kill -9 no e-mail is lost or doubled: what was on the wire is unknown, at most one
    for each connection, and is not sent again."""
    url = f"sqlite:///{tmp_path / 'promo.db'}"
    with mailroom(login=False) as (port, room):
        client = client_of(port, max_connections=4)
        async with client, Campaign.open(url, client) as campaign:
            await campaign.load(emails(150))
        room.pause = 0.05
        child = run_elsewhere(port, url)
        try:
            await until(lambda: len(room.envelopes) >= 20 or child.poll() is not None)
        finally:
            child.kill()
            await anyio.to_thread.run_sync(child.wait)
        room.pause = 0.0
        async with client_of(port) as client, Campaign.open(url, client) as campaign:
            report = await campaign.run()
            found = await states(campaign)
            unknown = {line.client_id for line in await campaign.ledger.unknowns(0, 1000)}
    assert child.returncode == -9
    assert report.taken_over == found.get("unknown", 0) <= 4
    assert found["sent"] == 150 - len(unknown)
    assert set(arrived(room).values()) == {1}
    assert set(arrived(room)) | unknown == {f"ana{n}@mail.example" for n in range(150)}


def lose_the_answer(talk: Talk) -> None:
    """Take a message, and hang up instead of an answer."""
    talk.greet()
    talk.until_data("354 go on")
    talk.body()
    talk.reset()


async def test_a_lost_answer_is_unknown_and_not_sent_again(ledger: str | Ledger) -> None:
    """Without an answer to its end an e-mail is unknown: no run sends it again, the ledger has its
    Message-ID for a look into the server's log, and only a decision sends it anew."""
    with MailServer(lose_the_answer, proper) as server:
        client = client_of(server.port)
        async with client, Campaign.open(ledger, client) as campaign:
            await campaign.load(emails(1))
            first = await campaign.run()
            second = await campaign.run()
            (line,) = await lines_of(campaign)
            assert len(server.delivered) == 1
            assert f"Message-ID: {line.message_id}" in server.delivered[0]
            seen: list[Line] = []

            def look_up(unknown: Line) -> Resolution:
                seen.append(unknown)
                return Resolution.RESEND

            resolved = await campaign.resolve(look_up)
            third = await campaign.run()
    assert (first.unknown, second.attempts, third.sent) == (1, 0, 1)
    assert dict(first.reasons) == {"EmailUnknown read": 1}
    assert (line.state, seen, resolved.resend) == (State.UNKNOWN, [line], 1)
    assert len(server.delivered) == 2


def puts_off(talk: Talk) -> None:
    """Put every recipient off, as greylisting does."""
    talk.greet()
    while True:
        talk.hear("250 ok")
        talk.hear("450 4.2.0 come back later")
        talk.hear("250 ok")


async def test_a_refusal_for_now_is_put_off_for_minutes() -> None:
    """A chunk tries once; a 4xx that names no time comes up again in five minutes."""
    with MailServer(puts_off) as server:
        client = client_of(server.port)
        async with client, Campaign.open(MemoryLedger(), client) as campaign:
            await campaign.load(emails(2))
            report = await campaign.run_chunk(1)
            reasons = (await campaign.status()).reasons
    assert (report.put_off, report.sent) == (2, 0)
    assert report.next_due is not None
    assert 290 < report.next_due <= 300
    assert reasons == {State.PENDING: {"EmailRefused SMTP 450": 2}}


def refuses_one(talk: Talk) -> None:
    """Know the first recipient not."""
    talk.greet()
    talk.hear("250 ok")
    talk.hear("550 5.1.1 no such user")
    talk.hear("250 ok")
    talk.mail()


async def test_a_refusal_for_good_is_rejected() -> None:
    """A 5xx counts by its code and ruins no other; nothing is tried twice."""
    with MailServer(refuses_one) as server:
        client = client_of(server.port, max_connections=1)
        async with client, Campaign.open(MemoryLedger(), client) as campaign:
            await campaign.load(emails(2))
            report = await campaign.run()
    assert (report.sent, report.rejected, report.attempts) == (1, 1, 2)
    assert dict(report.reasons) == {"EmailRejected SMTP 550": 1}
    assert len(server.delivered) == 1


async def test_nobody_listens() -> None:
    """An e-mail that could not leave is pending again, not five minutes but 30 s away."""
    client = client_of(1, retry=ONCE)
    async with client, Campaign.open(MemoryLedger(), client) as campaign:
        await campaign.load(emails(1))
        report = await campaign.run_chunk(1)
    assert report.next_due is not None
    assert (report.put_off, report.next_due <= 30) == (1, True)


async def test_a_refused_login_stops_the_run() -> None:
    """A wrong password says nothing about an e-mail: it stays pending, and the run ends."""
    with mailroom() as (port, room):
        client = client_of(port, username="ana@tenant.example", password="wrong", retry=ONCE)
        async with client, Campaign.open(MemoryLedger(), client) as campaign:
            await campaign.load(emails(3))
            report = await campaign.run(concurrency=1)
            assert await states(campaign) == {"pending": 3}
    assert report.stopped is not None
    assert report.stopped.startswith("the mail server refuses the login: ")
    assert report.attempts == 1
    assert room.envelopes == []


async def test_no_more_are_marked_than_there_are_connections() -> None:
    """E-mails that would wait for a connection are not in flight yet, so a kill leaves no more
    unknowns than connections."""

    class Watched(MemoryLedger):
        most = 0

        async def mark(self, token: str, message: int) -> bool:
            marked = await super().mark(token, message)
            now = (await self.counts()).states[State.ATTEMPTING]
            self.most = max(self.most, now)
            return marked

    ledger = Watched()
    with mailroom(login=False) as (port, room):
        client = client_of(port, max_connections=3)
        async with client, Campaign.open(ledger, client) as campaign:
            await campaign.load(emails(20))
            await campaign.run(concurrency=200)
    assert ledger.most == 3
    assert len(room.envelopes) == 20


async def test_a_closed_client_sends_nothing_more() -> None:
    """A client that is closed in the middle ends the run; what was not sent stays pending, and is
    neither rejected nor sent over a connection of its own."""

    class Closing(MemoryLedger):
        async def mark(self, token: str, message: int) -> bool:
            if message == 3:
                await client.aclose()
            return await super().mark(token, message)

    with mailroom(login=False) as (port, room):
        client = client_of(port)
        async with Campaign.open(Closing(), client) as campaign:
            await campaign.load(emails(5))
            with pytest.raises(UsageError, match="closed"):
                await campaign.run(concurrency=1)
            assert await states(campaign) == {"sent": 2, "pending": 3}
            with pytest.raises(UsageError, match="closed"):
                await campaign.run()
    assert len(room.envelopes) == 2


async def test_window_and_limiter_hold_for_emails() -> None:
    """Outside of the window nothing is sent, and the client's limiter paces the run."""
    sunday, monday = (datetime(2026, 3, day, 17, tzinfo=UTC) for day in (1, 2))
    now = sunday
    with mailroom(login=False) as (port, room):
        bucket = TokenBucket(100, burst=1)
        client = client_of(port, limiter=bucket)
        opened: Any = Campaign.open(MemoryLedger(), client, clock=lambda: now)
        async with client, opened as campaign:
            await campaign.load(emails(5))
            shut = await campaign.run_chunk(1, window=WINDOW)
            assert (shut.stopped, shut.sent) == ("the send window is shut", 0)
            assert room.envelopes == []
            now = monday
            report = await campaign.run(window=WINDOW)
    assert report.sent == 5
    assert bucket.snapshot().granted == 5
