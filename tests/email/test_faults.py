"""What breaks, where, and what is then known: the mail server's own count is the judge."""

from __future__ import annotations

import logging
import math
import socket
import ssl
import warnings
from typing import TYPE_CHECKING, NamedTuple

import anyio
import pytest
import trustme
from attrs import evolve

from aldeamo_async import (
    DeadlineExceeded,
    Evidence,
    Phase,
    Rejected,
    RetryPolicy,
    Timeouts,
    TokenBucket,
    UsageError,
)
from aldeamo_async.email import (
    EmailAuthError,
    EmailNotSent,
    EmailRefused,
    EmailRejected,
    EmailUnknown,
    OutgoingEmail,
)
from aldeamo_async.email._connect import _reach
from aldeamo_async.email._submission import send
from support.rawserver import black_hole, free_port
from support.smtp import (
    PASSWORD,
    SUBJECT,
    TEXT,
    TO,
    USER,
    MailServer,
    Talk,
    client_of,
    proper,
    unlocked,
)
from support.socket_faults import server_context
from support.wire import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.real_clock, pytest.mark.traced]

ONCE = RetryPolicy(attempts=1)
TWICE = RetryPolicy(attempts=2, wait=lambda _: 0.0)
LOGIN = {"username": USER, "password": PASSWORD}
QUICK = Timeouts(connect=0.3, read=0.3, write=0.3)
SOON = TokenBucket(math.inf, freeze_max=0.05)
UNSENT, MAYBE, ANSWERED = Evidence.UNSENT, Evidence.MAYBE_SENT, Evidence.ANSWERED


def old_tls() -> ssl.SSLContext:
    context = server_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


# ── scripts ──


def hang_at_once(talk: Talk) -> None:
    talk.connection.hang()


def hang_after_greeting(talk: Talk) -> None:
    talk.say("220 mail.example ESMTP")
    talk.server.commands.append(talk.line())
    talk.connection.hang()


def hang_before_data(talk: Talk) -> None:
    talk.greet()
    talk.hear("250 ok")
    talk.line()
    talk.connection.hang()


def hang_after_dot(talk: Talk) -> None:
    talk.greet()
    talk.until_data("354 go on")
    talk.body()
    talk.connection.hang()


def drop_in_greeting(talk: Talk) -> None:
    talk.reset()


def drop_after_354(talk: Talk) -> None:
    talk.small_buffer()
    talk.greet()
    talk.until_data("354 go on")
    talk.reset()


def drop_before_dot(talk: Talk) -> None:
    talk.small_buffer()
    talk.greet()
    talk.until_data("354 go on")
    talk.line()
    talk.reset()


def drop_after_dot(talk: Talk) -> None:
    talk.greet()
    talk.until_data("354 go on")
    talk.body()
    talk.reset()


def close_after_dot(talk: Talk) -> None:
    talk.greet()
    talk.until_data("354 go on")
    talk.body()


def half_an_answer(talk: Talk) -> None:
    talk.greet()
    talk.until_data("354 go on")
    talk.body()
    talk.connection.send(b"250-2.0.0 OK que")


def noise_after_dot(talk: Talk) -> None:
    talk.greet()
    talk.mail("<html>")


def endless_line_after_dot(talk: Talk) -> None:
    talk.greet()
    talk.mail("250 " + "x" * 9000)


def strange_after_dot(talk: Talk) -> None:
    talk.greet()
    talk.mail("354 go on")


def noise_in_greeting(talk: Talk) -> None:
    talk.say("HTTP/1.1 400 Bad Request")


def data_without_go(talk: Talk) -> None:
    talk.greet()
    talk.until_data("250 ok")


def ending(answer: str) -> Callable[[Talk], None]:
    def script(talk: Talk) -> None:
        talk.greet()
        talk.mail(answer)
        talk.line()  # RSET, where the same connection is used again
        talk.reset()

    return script


def recipient(answer: str) -> Callable[[Talk], None]:
    def script(talk: Talk) -> None:
        talk.greet()
        talk.hear("250 ok")
        talk.hear(answer)
        talk.hear("250 ok")
        talk.mail()

    return script


def greeting(answer: str) -> Callable[[Talk], None]:
    def script(talk: Talk) -> None:
        talk.say(answer)
        talk.connection.hang(0.05)

    return script


def at_mail(answer: str) -> Callable[[Talk], None]:
    def script(talk: Talk) -> None:
        talk.greet()
        talk.hear(answer)
        talk.connection.hang(0.05)

    return script


class Case(NamedTuple):
    script: Callable[[Talk], None]
    error: type[Exception]
    evidence: Evidence
    phase: Phase
    delivered: int
    words: str


CASES = {
    "reset in the greeting": Case(
        drop_in_greeting, EmailNotSent, UNSENT, Phase.CONNECT, 0, "the connection broke"
    ),
    "no greeting": Case(
        hang_at_once, EmailNotSent, UNSENT, Phase.CONNECT, 0, "time-out \\(greeting\\)"
    ),
    "no answer to EHLO": Case(
        hang_after_greeting, EmailNotSent, UNSENT, Phase.CONNECT, 0, "time-out \\(EHLO\\)"
    ),
    "no answer to RCPT": Case(
        hang_before_data, EmailNotSent, UNSENT, Phase.WRITE, 0, "time-out \\(RCPT\\)"
    ),
    "not SMTP": Case(
        noise_in_greeting, EmailNotSent, UNSENT, Phase.WRITE, 0, "-1 is no answer to greeting"
    ),
    "no go-ahead": Case(
        data_without_go, EmailNotSent, UNSENT, Phase.WRITE, 0, "250 is no answer to DATA"
    ),
    "no answer after the dot": Case(hang_after_dot, EmailUnknown, MAYBE, Phase.READ, 1, "MAY have"),
    "reset after the dot": Case(drop_after_dot, EmailUnknown, MAYBE, Phase.READ, 1, "Message-ID <"),
    "closed after the dot": Case(close_after_dot, EmailUnknown, MAYBE, Phase.READ, 1, "MAY have"),
    "half an answer": Case(half_an_answer, EmailUnknown, MAYBE, Phase.READ, 1, "MAY have"),
    "an endless answer": Case(
        endless_line_after_dot, EmailUnknown, MAYBE, Phase.READ, 1, "no SMTP"
    ),
    "noise after the dot": Case(
        noise_after_dot, EmailUnknown, MAYBE, Phase.DONE, 1, "-1 is no answer"
    ),
    "a strange answer": Case(
        strange_after_dot, EmailUnknown, MAYBE, Phase.DONE, 1, "354 is no answer"
    ),
    "no after the dot": Case(
        ending("554 5.7.1 spam"), EmailRejected, ANSWERED, Phase.DONE, 1, "554 to the end"
    ),
    "not now after the dot": Case(
        ending("451 4.3.0 later"), EmailRefused, ANSWERED, Phase.DONE, 1, "451 to the end"
    ),
    "no such recipient": Case(
        recipient("550 5.1.1 no such user"), EmailRejected, ANSWERED, Phase.DONE, 0, "550 to RCPT"
    ),
    "recipient not now": Case(
        recipient("450 4.2.0 busy"), EmailRefused, ANSWERED, Phase.DONE, 0, "450 to RCPT"
    ),
    "no service": Case(
        greeting("421 too many"), EmailRefused, ANSWERED, Phase.DONE, 0, "421 to greeting"
    ),
    "no service for you": Case(
        greeting("554 go away"), EmailRejected, ANSWERED, Phase.DONE, 0, "554 to greeting"
    ),
    "login wanted": Case(
        at_mail("530 5.7.0 log in first"), EmailAuthError, ANSWERED, Phase.DONE, 0, "530 to MAIL"
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_fault_ends_as_its_evidence_says(name: str) -> None:
    """Each fault of one connection gives its error, its evidence and its phase, and one attempt."""
    case = CASES[name]
    with MailServer(case.script) as server:
        async with client_of(server.port, retry=ONCE, timeout=QUICK) as client:
            with pytest.raises(case.error, match=case.words) as caught:
                await client.send(TO, SUBJECT, TEXT)
    assert type(caught.value) is case.error
    attempts = caught.value.attempts  # type: ignore[attr-defined]
    assert [(a.evidence, a.phase) for a in attempts] == [(case.evidence, case.phase)]
    assert len(server.delivered) == case.delivered
    words = f"{caught.value} {caught.value!r}"
    assert not any(private in words for private in (TO, SUBJECT, TEXT, "citas@"))


@pytest.mark.parametrize("script", [drop_after_354, drop_before_dot])
async def test_a_body_that_broke_off_is_not_sent(script: Callable[[Talk], None]) -> None:
    """A connection lost inside the message: no server delivers it, and it is sent again."""
    text = "\n".join(f"Hola {number} " + "x" * 900 for number in range(8000))
    with MailServer(script, proper) as server:
        async with client_of(server.port, retry=TWICE) as client:
            receipt = await client.send(TO, SUBJECT, text)
    assert [a.evidence for a in receipt.attempts] == [UNSENT, ANSWERED]
    assert len(server.delivered) == 1


@pytest.mark.parametrize("script", [drop_after_dot, close_after_dot, noise_after_dot])
async def test_what_may_be_out_is_never_submitted_again(script: Callable[[Talk], None]) -> None:
    """With attempts to spare, a lost answer after the dot ends the call: one delivery, Unknown."""
    with MailServer(script, proper) as server:
        async with client_of(server.port, retry=TWICE) as client:
            with pytest.raises(EmailUnknown):
                await client.send(TO, SUBJECT, TEXT)
            assert (client.stats().unknown, client.stats().retries) == (1, 0)
    assert len(server.delivered) == 1
    assert server.connections == 1


@pytest.mark.parametrize(
    "script",
    [drop_in_greeting, hang_at_once, greeting("421 busy"), recipient("450 4.7.1 come back")],
)
async def test_what_did_not_go_out_is_tried_again(script: Callable[[Talk], None]) -> None:
    """Unsent and refused for now are repeated within the policy, and delivered once."""
    with MailServer(script, proper) as server:
        async with client_of(server.port, retry=TWICE, timeout=QUICK, limiter=SOON) as client:
            receipt = await client.send(TO, SUBJECT, TEXT)
    assert [a.number for a in receipt.attempts] == [1, 2]
    assert len(server.delivered) == 1


async def test_a_refusal_after_the_dot_is_tried_again() -> None:
    """A complete 4xx to the end of the message says that nothing was done: a second attempt."""
    with MailServer(ending("452 4.3.1 disk full"), proper) as server:
        async with client_of(server.port, retry=TWICE) as client:
            receipt = await client.send(TO, SUBJECT, TEXT)
    assert [a.status for a in receipt.attempts] == [452, 250]


async def test_only_a_refusal_of_everybody_slows_everybody() -> None:
    """A busy mailbox leaves the limiter alone; a server that turns all away freezes it."""
    for script, throttled in ((recipient("450 busy"), 0), (greeting("421 too many"), 1)):
        with MailServer(script) as server:
            async with client_of(server.port, retry=ONCE) as client:
                with pytest.raises(EmailRefused):
                    await client.send(TO, SUBJECT, TEXT)
                assert client.stats().limiter.throttled == throttled


# ── nobody listens ──


async def test_nobody_listens() -> None:
    """A refused connection is not sent, names host and port, and costs the budget a retry."""
    async with client_of(free_port(), retry=TWICE) as client:
        with pytest.raises(EmailNotSent, match=r"after 2 attempts.*no connection to 127") as caught:
            await client.send(TO, SUBJECT, TEXT)
    assert caught.value.phase is Phase.CONNECT


async def test_a_connection_that_fails_at_once(tmp_path: Path) -> None:
    """What the operating system refuses without waiting is told in its words."""
    with socket.socket(socket.AF_UNIX) as sock:
        assert await _reach(sock, str(tmp_path / "nobody"), 1.0) == "No such file or directory"


async def test_a_host_that_does_not_exist() -> None:
    """A name that does not resolve is not sent."""
    client = client_of(465, retry=ONCE)
    object.__setattr__(client._server, "host", "mail.invalid")
    async with client:
        with pytest.raises(EmailNotSent, match="does not resolve"):
            await client.send(TO, SUBJECT, TEXT)


# ── TLS ──


INSECURE: dict[str, tuple[Callable[[], ssl.SSLContext], str]] = {
    "a stranger's certificate": (
        lambda: server_context(trustme.CA()),
        "certificate is not valid here",
    ),
    "another name": (
        lambda: server_context(host="other.example"),
        "certificate is not valid here",
    ),
    "TLS 1.1": (old_tls, "no TLS of version 1.2 or above"),
}


@pytest.mark.parametrize("name", INSECURE)
@pytest.mark.parametrize("mode", ["implicit", "starttls"])
async def test_a_server_that_cannot_be_trusted_gets_nothing(name: str, mode: str) -> None:
    """A bad certificate or old TLS: neither login nor message, one attempt, a clear error."""
    make, words = INSECURE[name]

    def script(talk: Talk) -> None:
        if mode == "starttls":
            talk.greet("STARTTLS")
            talk.hear("220 go")
            talk.start_tls(make())
        proper(talk)

    with MailServer(script, tls=make(), plain=mode == "starttls") as server:
        async with client_of(server.port, tls=mode, retry=TWICE, **LOGIN) as client:
            with pytest.raises(EmailNotSent, match=words) as caught:
                await client.send(TO, SUBJECT, TEXT)
    assert len(caught.value.attempts) == 1
    assert server.commands == ([] if mode == "implicit" else ["ehlo [127.0.0.1]", "STARTTLS"])


async def test_no_starttls_no_mail() -> None:
    """A server without STARTTLS hears neither login nor message; there is no way down."""
    with MailServer(proper, plain=True) as server:
        async with client_of(server.port, tls="starttls", **LOGIN) as client:
            with pytest.raises(EmailNotSent, match="offers no STARTTLS"):
                await client.send(TO, SUBJECT, TEXT)
    assert server.commands == ["ehlo [127.0.0.1]"]


async def test_a_starttls_that_is_refused() -> None:
    """A server that offers STARTTLS and then says no gets nothing either."""

    def script(talk: Talk) -> None:
        talk.greet("STARTTLS")
        talk.hear("454 4.7.0 not now")
        talk.line()

    with MailServer(script, plain=True) as server:
        async with client_of(server.port, tls="starttls", retry=ONCE, **LOGIN) as client:
            with pytest.raises(EmailRefused, match="454 to STARTTLS"):
                await client.send(TO, SUBJECT, TEXT)
    assert server.commands == ["ehlo [127.0.0.1]", "STARTTLS"]


async def test_what_was_slipped_in_before_tls_does_not_count() -> None:
    """Answers that came in clear text behind STARTTLS are not taken for those of the server."""

    def script(talk: Talk) -> None:
        talk.greet("STARTTLS")
        talk.hear("220 go", "250-forged", "250 AUTH LOGIN")
        talk.start_tls()
        talk.hello("AUTH PLAIN")
        talk.hear("235 in")
        talk.mail()

    with MailServer(script, plain=True) as server:
        async with client_of(server.port, tls="starttls", **LOGIN) as client:
            await client.send(TO, SUBJECT, TEXT)
    assert server.commands[3].startswith("AUTH PLAIN")
    assert len(server.delivered) == 1


async def test_tls_that_breaks_off_is_the_network() -> None:
    """A connection lost in the handshake is tried again; a hang there ends in its time-out."""

    def no_tls(talk: Talk) -> None:
        talk.connection.hang(0.6)

    def leave(talk: Talk) -> None:
        talk.connection.sock.recv(65_536)  # the hello: unread, it would make a reset of the end

    def reset(talk: Talk) -> None:
        talk.connection.sock.recv(65_536)
        talk.reset()

    for drop, words in ((leave, "broke"), (reset, "broke"), (no_tls, "time-out")):
        with MailServer(drop, plain=True) as server:
            async with client_of(server.port, retry=ONCE, timeout=QUICK) as client:
                with pytest.raises(EmailNotSent, match=f"{words}.*TLS"):
                    await client.send(TO, SUBJECT, TEXT)


# ── login ──


async def test_the_login_is_made_once_by_the_first_mechanism() -> None:
    """A refused password is tried one time only, is an AuthError, and shows nowhere."""

    def script(talk: Talk) -> None:
        talk.greet("AUTH LOGIN PLAIN CRAM-MD5")
        talk.hear("535 5.7.8 bad credentials for ana@tenant.example")
        talk.line()

    with MailServer(script) as server:
        async with client_of(server.port, **LOGIN) as client:
            with pytest.raises(EmailAuthError, match="535 to AUTH") as caught:
                await client.send(TO, SUBJECT, TEXT)
            assert (
                PASSWORD not in f"{caught.value!r} {client!r} {client._server!r} {vars(client)!r}"
            )
    assert len(server.commands) == 2
    assert unlocked(server.commands[1]) == f"\0{USER}\0{PASSWORD}".encode()
    assert USER not in str(caught.value)


async def test_a_login_that_cannot_be_made_now() -> None:
    """454 to a login is not now; no mechanism that is spoken here is no login at all."""

    def later(talk: Talk) -> None:
        talk.greet("AUTH PLAIN")
        talk.hear("454 4.7.0 later")
        talk.line()

    def other(talk: Talk) -> None:
        talk.greet("AUTH GSSAPI")
        talk.line()

    for script, error, words in (
        (later, EmailRefused, "454 to AUTH"),
        (other, EmailNotSent, "no login by PLAIN"),
    ):
        with MailServer(script) as server:
            async with client_of(server.port, retry=ONCE, **LOGIN) as client:
                with pytest.raises(error, match=words):
                    await client.send(TO, SUBJECT, TEXT)


async def test_a_login_by_challenge_that_makes_no_sense() -> None:
    """A challenge that is no base64 is a server that speaks no SMTP: not sent."""

    def script(talk: Talk) -> None:
        talk.greet("AUTH CRAM-MD5")
        talk.hear("334 a")
        talk.line()

    with MailServer(script) as server:
        async with client_of(server.port, retry=ONCE, **LOGIN) as client:
            with pytest.raises(EmailNotSent, match="no SMTP \\(AUTH\\)"):
                await client.send(TO, SUBJECT, TEXT)


# ── lines that are kept ──


async def test_a_line_is_used_again_and_asked_first() -> None:
    """Two e-mails go over one connection, with a RSET between them."""
    with MailServer(proper) as server:
        async with client_of(server.port) as client:
            await client.send(TO, SUBJECT, TEXT)
            await client.send(TO, SUBJECT, TEXT)
        await until(lambda: server.ended == 1)
    assert server.connections == 1
    assert [c.partition(" ")[0].upper() for c in server.commands] == [
        *("EHLO", "MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA", "QUIT"),
    ]


@pytest.mark.parametrize("answer", [None, "421 idle for too long"])
async def test_a_line_that_was_lost_is_replaced_within_the_attempt(answer: str | None) -> None:
    """A kept line that the server closed costs no attempt: the same e-mail takes a new one."""

    def once(talk: Talk) -> None:
        talk.greet()
        talk.mail()
        if answer:
            talk.hear(answer)

    with MailServer(once, proper) as server:
        async with client_of(server.port, retry=ONCE) as client:
            await client.send(TO, SUBJECT, TEXT)
            receipt = await client.send(TO, SUBJECT, TEXT)
            assert client.stats().lanes.discarded == 1  # type: ignore[union-attr]
    assert len(receipt.attempts) == 1
    assert len(server.delivered) == 2


async def test_a_refused_recipient_leaves_the_line_fit() -> None:
    """After 550 to one recipient the next e-mail goes over the same connection."""
    with MailServer(recipient("550 5.1.1 unknown")) as server:
        async with client_of(server.port) as client:
            with pytest.raises(EmailRejected):
                await client.send(TO, SUBJECT, TEXT)
            await client.send(TO, SUBJECT, TEXT)
    assert server.connections == 1


async def test_a_line_of_yesterday_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that was idle past its time is dropped unasked."""
    monkeypatch.setattr("aldeamo_async.email._lines.KEPT_SECONDS", -1.0)
    with MailServer(proper) as server:
        async with client_of(server.port) as client:
            await client.send(TO, SUBJECT, TEXT)
            await client.send(TO, SUBJECT, TEXT)
    assert server.connections == 2


async def test_251_is_a_yes() -> None:
    """A recipient that will be forwarded is accepted."""

    def script(talk: Talk) -> None:
        talk.greet()
        talk.hear("250 ok")
        talk.hear("251 will forward")
        talk.hear("354 go on")
        talk.body()
        talk.say("250 ok")

    with MailServer(script) as server:
        async with client_of(server.port) as client:
            await client.send(TO, SUBJECT, TEXT)
    assert len(server.delivered) == 1


# ── deadline and cancellation ──


@pytest.mark.parametrize(
    ("script", "error", "phase"),
    [
        (hang_at_once, DeadlineExceeded, Phase.CONNECT),
        (hang_after_greeting, DeadlineExceeded, Phase.CONNECT),
        (hang_before_data, DeadlineExceeded, Phase.WRITE),
        (hang_after_dot, EmailUnknown, Phase.READ),
    ],
)
async def test_the_deadline_holds_in_every_phase(
    script: Callable[[Talk], None], error: type[Exception], phase: Phase
) -> None:
    """A server that hangs ends with the deadline, before the dot as not sent, after it unknown."""
    with MailServer(script) as server:
        async with client_of(server.port, deadline=0.3) as client:
            with pytest.raises(error, match="time of the call ran out") as caught:
                await client.send(TO, SUBJECT, TEXT)
            assert client.stats().lanes.busy == 0  # type: ignore[union-attr]
    assert caught.value.phase is phase  # type: ignore[attr-defined]


async def test_the_deadline_holds_against_a_drip() -> None:
    """A greeting of one letter at a time keeps no time-out, and yet ends with the deadline."""

    def drip(talk: Talk) -> None:
        while not talk.connection.hang(0.05):
            talk.connection.send(b"2")

    with MailServer(drip) as server:
        async with client_of(server.port, deadline=0.3) as client:
            with pytest.raises(DeadlineExceeded):
                await client.send(TO, SUBJECT, TEXT)


async def test_the_wait_for_a_connection_is_bounded_too() -> None:
    """With all connections busy, a call's time runs out in the phase LANE."""
    with MailServer(hang_after_greeting) as server:
        async with client_of(server.port, max_connections=1, deadline=0.4) as client:

            async def first() -> None:
                with pytest.raises(DeadlineExceeded, match="connect"):
                    await client.send(TO, SUBJECT, TEXT)

            async with anyio.create_task_group() as group:
                group.start_soon(first)
                await until(lambda: client.stats().lanes.busy == 1)  # type: ignore[union-attr]
                hasty = evolve(client._post, deadline=0.1)
                outcome = await send(hasty, OutgoingEmail(TO, SUBJECT, TEXT))
    assert isinstance(outcome, Rejected)
    assert "all 1 connections are busy" in str(outcome.error)


async def test_a_wait_that_does_not_fit_is_not_begun() -> None:
    """A back-off, or a limiter, that the deadline cannot hold fails now and names itself."""
    slow = RetryPolicy(attempts=2, wait=lambda _: 60.0)
    async with client_of(free_port(), retry=slow, deadline=1) as client:
        with pytest.raises(DeadlineExceeded, match="backoff"):
            await client.send(TO, SUBJECT, TEXT)
        client._post.limiter.freeze(60)
        with pytest.raises(DeadlineExceeded, match="limiter"):
            await client.send(TO, SUBJECT, TEXT)


async def cancelled_at(script: Callable[[Talk], None], ready: Callable[[MailServer], bool]) -> None:
    """Cancel a send once its server has come so far."""
    with MailServer(script) as server:
        async with client_of(server.port) as client:
            ended = False
            async with anyio.create_task_group() as group:

                async def one() -> None:
                    nonlocal ended
                    await client.send(TO, SUBJECT, TEXT)
                    ended = True

                group.start_soon(one)
                await until(lambda: ready(server))
                group.cancel_scope.cancel()
            assert not ended
            assert client.stats().cancelled == 1
            assert client.stats().lanes.open == 0  # type: ignore[union-attr]


async def test_a_cancellation_before_the_dot_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """Cancelled before the end of the message, a call ends at once, and nothing needs a warning."""
    await cancelled_at(hang_after_greeting, lambda server: len(server.commands) == 1)
    assert not caplog.records


async def test_a_cancellation_after_the_dot_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Cancelled after the end of the message, a call ends at once, and the log warns."""
    await cancelled_at(hang_after_dot, lambda server: len(server.delivered) == 1)
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert "may have been delivered" in caplog.text


async def test_a_cancellation_while_connecting_leaves_nothing() -> None:
    """Cancelled in the TCP connect, the socket is closed and the place is free."""
    with black_hole() as url:
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        async with client_of(port) as client:
            with anyio.move_on_after(0.1) as scope:
                await client.send(TO, SUBJECT, TEXT)
            assert scope.cancelled_caught
            assert client.stats().lanes.busy == 0  # type: ignore[union-attr]
        async with client_of(port, timeout=0.1, retry=ONCE) as client:
            with pytest.raises(EmailNotSent, match="did not answer within the time-out"):
                await client.send(TO, SUBJECT, TEXT)
        async with client_of(port, deadline=0.5) as client:
            with pytest.raises(DeadlineExceeded, match="connect"):
                await client.send(TO, SUBJECT, TEXT)


async def test_a_mistake_of_this_library_is_no_network_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is neither network nor server goes through as it is."""

    with MailServer(proper) as server:
        async with client_of(server.port) as client:
            monkeypatch.setattr("aldeamo_async.email._line.Line.send", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await client.send(TO, SUBJECT, TEXT)


async def test_nothing_private_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at DEBUG: no password, address, subject or text."""
    caplog.set_level(logging.DEBUG)

    def script(talk: Talk) -> None:
        talk.greet("AUTH LOGIN")
        talk.hear("334 VXNlcm5hbWU6")
        talk.hear("334 UGFzc3dvcmQ6")
        talk.hear("235 in")
        talk.hear("250 ok")
        talk.hear(f"550 {TO} is unknown, said {USER}")
        talk.line()

    with MailServer(script) as server:
        async with client_of(server.port, **LOGIN) as client:
            with pytest.raises(EmailRejected) as caught:
                await client.send(TO, SUBJECT, TEXT)
    for private in (PASSWORD, TO, SUBJECT, TEXT):
        assert private not in caplog.text
        assert private not in str(caught.value)
    assert "attempt 1 is rejected (550 to RCPT)" in caplog.text


async def test_a_closed_client_says_so() -> None:
    """After the close a send is a mistake, found before any I/O; busy lines end with their mail."""
    with MailServer(proper) as server:
        client = client_of(server.port)
        await client.send(TO, SUBJECT, TEXT)
        await client.aclose()
        await client.aclose()
        with pytest.raises(UsageError, match="closed"):
            await client.send(TO, SUBJECT, TEXT)
