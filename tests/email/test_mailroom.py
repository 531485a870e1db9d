"""E-mails that arrive, in a mail server that is not ours (aiosmtpd, with TLS)."""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from aldeamo_async import Rejected, Sent, TokenBucket, UsageError
from aldeamo_async.email import OutgoingEmail
from support.smtp import PASSWORD, SUBJECT, TEXT, TO, USER, client_of, mailroom
from support.socket_faults import authority_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.real_clock


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
async def test_an_email_arrives(mode: str) -> None:
    """Logged in over TLS, an e-mail arrives once, whole, with its headers and its Message-ID."""
    with mailroom(implicit=mode == "implicit") as (port, room):
        async with client_of(port, tls=mode, username=USER, password=PASSWORD) as client:
            receipt = await client.send(TO, SUBJECT, TEXT, "<p>Hola ñ</p>")
    (message,) = room.messages
    assert room.logins == [USER.encode()]
    assert (message["to"], message["subject"]) == (TO, SUBJECT)
    assert message["from"] == "Clínica <citas@tenant.example>"
    assert message["message-id"] == receipt.message_id
    assert message["date"].datetime.tzinfo is not None
    assert message.get_body(("plain",)).get_content().strip() == TEXT
    assert message.get_body(("html",)).get_content().strip() == "<p>Hola ñ</p>"
    assert room.envelopes[0].rcpt_tos == [TO]
    assert receipt.text == "2.0.0 OK queued"


@pytest.mark.parametrize(
    "text",
    [".", "a\n.\nRCPT TO:<x@y.example>\n", "..\n.dot\n", "ñ\n.\n", "a\r.\rb", "x" * 3000, "\n\nb"],
)
async def test_no_text_can_end_its_message_early(text: str) -> None:
    """Lines of dots, lone carriage returns and long lines arrive as the text that they are."""
    with mailroom(login=False) as (port, room):
        async with client_of(port) as client:
            await client.send(TO, SUBJECT, text)
    (message,) = room.messages
    assert message.get_content().splitlines() == text.splitlines()


async def test_html_alone_arrives() -> None:
    """An e-mail may have no plain version."""
    with mailroom(login=False) as (port, room):
        async with client_of(port, verify=authority_file()) as client:
            await client.send(TO, SUBJECT, "", "<p>Hola</p>")
            with pytest.raises(UsageError, match="empty"):
                await client.send(TO, SUBJECT, "")
    assert [message.get_content_type() for message in room.messages] == ["text/html"]


async def rows() -> AsyncIterator[OutgoingEmail]:
    for number in range(60):
        to = "no address" if number == 7 else f"ana{number}@mail.example"
        yield OutgoingEmail(to, SUBJECT, f"Hola {number}", client_ref=str(number))


@pytest.mark.parametrize("ordered", [False, True])
async def test_many_emails_go_over_a_few_connections(ordered: bool) -> None:
    """Sixty rows over four connections: each delivered once, and a bad one rejected, not raised."""
    with mailroom(login=False) as (port, room):
        bucket = TokenBucket(math.inf)
        async with client_of(port, max_connections=4, limiter=bucket) as client:
            async with client.send_many(rows(), concurrency=20, ordered=ordered) as outcomes:
                found = [outcome async for outcome in outcomes]
            stats = client.stats()
    kinds = Counter(type(outcome) for outcome in found)
    assert kinds == {Sent: 59, Rejected: 1}
    (bad,) = (outcome for outcome in found if isinstance(outcome, Rejected))
    assert bad.outgoing.client_ref == "7"
    assert isinstance(bad.error, UsageError)
    assert len({m["to"] for m in room.messages}) == len(room.messages) == 59
    assert (stats.sent, stats.rejected, stats.lanes.open) == (59, 1, 4)  # type: ignore[union-attr]
    assert bucket.snapshot().granted - bucket.snapshot().refunded == 59


async def test_a_client_left_open_is_told_so() -> None:
    """A client that was used and dropped is a ResourceWarning by its own name."""
    with mailroom(login=False) as (port, _):
        client = client_of(port)
        await client.send(TO, SUBJECT, TEXT)
        with pytest.warns(ResourceWarning, match="AsyncEmailClient was not closed"):
            client._home.__del__()
        await client.aclose()


def test_nothing_of_it_is_loaded_by_the_package() -> None:
    """The room is reached by its own name alone."""
    assert "aldeamo_async.email" in sys.modules
    import aldeamo_async

    assert "AsyncEmailClient" not in vars(aldeamo_async)
