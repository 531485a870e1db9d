"""What is refused before any I/O, and what shows of a client and an e-mail."""

from __future__ import annotations

import copy
import pickle
import ssl
from datetime import UTC, datetime
from typing import Any

import pytest

from aldeamo_async import (
    AuthError,
    DeliveryUnknown,
    NotSent,
    Outgoing,
    Phase,
    RateLimited,
    Secret,
    TokenBucket,
    UsageError,
)
from aldeamo_async._errors import values_of
from aldeamo_async.email import (
    AsyncEmailClient,
    EmailAuthError,
    EmailNotSent,
    EmailRefused,
    EmailRejected,
    EmailUnknown,
    OutgoingEmail,
)
from aldeamo_async.email._errors import CALL
from aldeamo_async.email._judge import judge
from aldeamo_async.email._letter import Letter, letter_of, sender_of
from aldeamo_async.email._line import END_OF_DATA, Reply
from support.smtp import SENDER, SUBJECT, TEXT, TO, client_of

NOW = datetime(2026, 1, 5, 10, tzinfo=UTC)
EMAIL = OutgoingEmail(TO, SUBJECT, TEXT, "<p>Hola Ana</p>", client_ref="7")


def letter(*args: Any) -> Letter:
    return letter_of(OutgoingEmail(*args), sender_of(SENDER), NOW)


BAD_EMAILS: dict[str, tuple[Any, ...]] = {
    "no address": ("Ana", SUBJECT, TEXT),
    "no local part": ("@mail.example", SUBJECT, TEXT),
    "no domain": ("ana@", SUBJECT, TEXT),
    "a name beside it": ("Ana <ana@mail.example>", SUBJECT, TEXT),
    "two": ("ana@mail.example,eva@mail.example", SUBJECT, TEXT),
    "a quoted local part": ('"ana x"@mail.example', SUBJECT, TEXT),
    "two dots": ("ana..luisa@mail.example", SUBJECT, TEXT),
    "an argument of RCPT": ("ana@mail.example> NOTIFY=NEVER", SUBJECT, TEXT),
    "a line break": ("ana@mail.example\r\nRCPT TO:<eva@mail.example>", SUBJECT, TEXT),
    "no ASCII before the @": ("añá@mail.example", SUBJECT, TEXT),
    "a long local part": ("a" * 65 + "@mail.example", SUBJECT, TEXT),
    "a long address": ("a@" + "b" * 60 + ("." + "c" * 60) * 4, SUBJECT, TEXT),
    "a label that is too long": ("a@" + "ñ" * 80 + ".example", SUBJECT, TEXT),
    "a label that is empty": ("ana@mail..example", SUBJECT, TEXT),
    "not text": (5730, SUBJECT, TEXT),
    "a header in the subject": (TO, "Hola\nBcc: eva@mail.example", TEXT),
    "a line separator in the subject": (TO, "Hola\u2028x", TEXT),
    "a subject that is not text": (TO, None, TEXT),
    "nothing in it": (TO, SUBJECT, ""),
    "a text that is bytes": (TO, SUBJECT, b"Hola"),
    "half a character": (TO, SUBJECT, "Hola \ud83d"),
    "html that is not text": (TO, SUBJECT, TEXT, 7),
}


@pytest.mark.parametrize("name", BAD_EMAILS)
def test_a_bad_email_is_refused(name: str) -> None:
    """An address, header or text that cannot be sent as it is: a UsageError that shows none."""
    with pytest.raises(UsageError) as caught:
        letter(*BAD_EMAILS[name])
    assert "@mail.example" not in str(caught.value)


def test_only_an_email_is_an_email() -> None:
    """An Outgoing of the BOTS API is no e-mail."""
    with pytest.raises(UsageError, match="OutgoingEmail"):
        letter_of(Outgoing("sms", "573000000001", TEXT), sender_of(SENDER), NOW)


def test_a_domain_is_written_as_idna() -> None:
    """Letters outside of ASCII in a domain become its ASCII form; the name beside it stays."""
    made = letter_of(
        OutgoingEmail("ana@peñas.example", SUBJECT, TEXT), sender_of("a@b.example"), NOW
    )
    assert made.recipient == "ana@xn--peas-hqa.example"
    assert sender_of(SENDER).name == "Clínica"
    assert made.body.isascii()


BAD_CLIENTS: dict[str, dict[str, Any]] = {
    "host": {"host": ""},
    "host with a port": {"host": "mail.example:465"},
    "host that is no text": {"host": None},
    "port": {"port": 70000},
    "port that is no number": {"port": True},
    "no TLS": {"tls": "none"},
    "unverified": {"verify": False},
    "blind context": {"verify": ssl._create_unverified_context()},  # noqa: S323
    "password alone": {"password": "x"},
    "user alone": {"username": "x"},
    "user with a line break": {"username": "a\r\nb", "password": "x"},
    "password outside of ASCII": {"username": "a", "password": Secret("ñ")},
    "greeting": {"local_hostname": "a b\r\n"},
    "sender": {"sender": "nobody"},
    "sender with two addresses": {"sender": "Ana <a@b.example> <c@d.example>"},
    "deadline": {"deadline": 0},
    "retry": {"retry": 3},
    "limiter": {"limiter": 20},
    "limiter that is a class": {"limiter": TokenBucket},
    "connections": {"max_connections": 0},
}


@pytest.mark.parametrize("name", BAD_CLIENTS)
def test_a_bad_setting_is_refused_at_once(name: str) -> None:
    """Making a client checks every setting, before any I/O."""
    given = {"host": "mail.example", "sender": SENDER} | BAD_CLIENTS[name]
    with pytest.raises(UsageError):
        AsyncEmailClient(**given)


@pytest.mark.parametrize(
    ("port", "tls", "expected"),
    [
        (None, None, (465, "implicit")),
        (587, None, (587, "starttls")),
        (25, None, (25, "starttls")),
        (None, "starttls", (587, "starttls")),
        (2465, None, (2465, "implicit")),
        (587, "implicit", (587, "implicit")),
    ],
)
def test_the_port_tells_how_tls_begins(
    port: int | None, tls: str | None, expected: tuple[int, str]
) -> None:
    """465 and what is unknown is TLS from the first byte; 587 and 25 are STARTTLS."""
    client = AsyncEmailClient("mail.example", port, sender=SENDER, tls=tls)
    assert (client._server.port, client._server.tls) == expected


def test_a_client_shows_no_secret_and_stays_where_it_is() -> None:
    """Its repr has neither user, password nor sender, and it cannot be copied or pickled."""
    client = client_of(465, username="ana.luisa", password="test-password")
    assert repr(client) == "AsyncEmailClient('127.0.0.1:465', implicit, new)"
    shown = f"{client._server!r} {client._post!r}"
    assert not any(private in shown for private in ("ana.luisa", "test-password", "citas@"))
    for road in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(UsageError, match="copied"):
            road(client)


ERRORS = [
    EmailAuthError(CALL, "no", 0, 535, step="AUTH"),
    EmailNotSent(CALL, Phase.CONNECT, "refused"),
    EmailRefused(CALL, "", 0, 450, step="RCPT"),
    EmailRejected(CALL, "no such user.", 0, 550, step="RCPT"),
    EmailUnknown(CALL, Phase.READ, "the connection broke", message_id="<1@tenant.example>"),
]


@pytest.mark.parametrize("value", [EMAIL, *ERRORS], ids=lambda value: type(value).__name__)
def test_values_travel_whole_and_show_nothing(value: Any) -> None:
    """An e-mail and every error of this room pickle, copy and hide what is private."""
    for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):  # noqa: S301
        assert values_of(again) == values_of(value)
        assert (repr(again), str(again)) == (repr(value), str(value))
    assert not any(private in repr(value) for private in (TO, SUBJECT, TEXT))


def test_an_error_of_mail_is_one_of_the_tree() -> None:
    """Who catches the errors of the BOTS client catches these."""
    kinds = (AuthError, NotSent, RateLimited, object, DeliveryUnknown)
    assert all(isinstance(error, kind) for error, kind in zip(ERRORS, kinds, strict=True))
    assert "gave no reason. Nothing was delivered; try again later" in str(ERRORS[2])
    assert (EMAIL.to, EMAIL.channel, EMAIL.client_ref) == (TO, "email", "7")


def test_words_that_quote_the_message_are_hidden() -> None:
    """A server's answer that quotes subject, address or text shows none of them."""
    made, server = letter(TO, SUBJECT, TEXT), client_of(465)._server
    for words in (f"spam: {TEXT[:14]}", f"bad subject {SUBJECT}", f"no user {TO}"):
        finding = judge(Reply(END_OF_DATA, 554, words), made, server)
        assert not any(private in str(finding) for private in (TEXT[:14], SUBJECT, TO))
