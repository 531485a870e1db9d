"""Unit tests of how a request is checked and written out."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from aldeamo_async import Dialect, Outgoing, ReadChannel, Secret, SendChannel, UsageError
from aldeamo_async._wire import (
    GET_MESSAGES,
    GET_USERS,
    POST_MESSAGES,
    endpoint,
    messages_request,
    send_request,
    users_request,
)

SECRET = Secret("test-key")
AWKWARD = "á ñ 👋 + & = % ? # \n \r\n \x00 \"'"
PLACES = ["params", "query", "header", "header+params"]
ENCODINGS = ["form", "json", "query"]


def sending(text: Any = "Hola", client_id: Any = "573000000001", **dialect: Any) -> Any:
    return send_request(Outgoing("sms", client_id, text), Dialect(**dialect), SECRET)


@pytest.mark.parametrize("post_encoding", ENCODINGS)
@pytest.mark.parametrize("auth_in", PLACES)
def test_the_key_stands_where_it_is_told(auth_in: str, post_encoding: str) -> None:
    """In each combination the key stands once in each of its places, and the text arrives whole."""
    rendered = sending(AWKWARD, auth_in=auth_in, post_encoding=post_encoding).render()
    query = dict(parse_qsl(urlsplit(rendered.url).query, strict_parsing=bool("?" in rendered.url)))
    body = rendered.body.decode()
    fields = json.loads(body) if post_encoding == "json" else dict(parse_qsl(body))
    in_header = auth_in.startswith("header")
    in_query = auth_in == "query" or (post_encoding == "query" and auth_in != "header")
    in_body = auth_in.endswith("params") and post_encoding != "query"
    assert (("auth", "test-key") in rendered.headers) is in_header
    assert (query.get("auth") == "test-key") is in_query
    assert (fields.get("auth") == "test-key") is in_body
    assert {**query, **fields}["msg"] == AWKWARD
    assert (rendered.url + body).count("test-key") == in_query + in_body


@pytest.mark.parametrize("auth_in", PLACES)
@pytest.mark.parametrize("call", [GET_USERS, GET_MESSAGES])
def test_a_get_has_no_body(auth_in: str, call: str) -> None:
    """A read asks in its query alone, wherever the key stands."""
    dialect = Dialect(auth_in=auth_in)  # type: ignore[arg-type]
    if call == GET_USERS:
        rendered = users_request("web", dialect, SECRET).render()
    else:
        rendered = messages_request("web", 507, dialect, SECRET).render()
    assert (rendered.method, rendered.body) == ("GET", b"")
    assert "channel=web" in rendered.url
    assert "content-type" not in dict(rendered.headers)


@pytest.mark.parametrize(
    ("base", "joined"),
    [
        ("https://tenant.example", "https://tenant.example/users"),
        ("https://tenant.example/", "https://tenant.example/users"),
        ("https://tenant.example/bots//", "https://tenant.example/bots/users"),
        (
            "https://tenant.example/api/admin/index.php/express",
            "https://tenant.example/api/admin/index.php/express/users",
        ),
        ("https://tenant.example:8443/a;b/%20", "https://tenant.example:8443/a;b/%20/users"),
        ("http://[::1]:80/x", "http://[::1]:80/x/users"),
    ],
)
def test_a_path_prefix_is_kept(base: str, joined: str) -> None:
    """A call's path goes behind the prefix, with one slash between them."""
    assert endpoint(GET_USERS, Dialect(base_url=base)).url == joined
    assert endpoint(POST_MESSAGES, Dialect(base_url=base)).method == "POST"


def test_nothing_of_a_request_shows() -> None:
    """The repr of a request, and of its rendered form, hold no key, number, text, URL or body."""
    request = sending("Hola Ana")
    shown = f"{request!r} {request.render()!r}"
    for private in ("test-key", "573000000001", "Hola"):
        assert private not in shown
    assert "<channel, client_id, msg>" in shown


class Theirs(str, Enum):  # noqa: UP042 - the kind of enum that this is about
    """A channel in a user's own enum, of the kind whose `str()` is its name."""

    SMS = "sms"


@pytest.mark.parametrize("channel", ["sms", SendChannel.SMS, Theirs.SMS])
def test_a_channel_is_a_member_or_its_text(channel: Any) -> None:
    """A channel may be text, a member, or a member of one's own enum."""
    request = send_request(Outgoing(channel, "573000000001", "Hola"), Dialect(), SECRET)
    assert dict(request.params)["channel"] == "sms"
    assert type(dict(request.params)["channel"]) is str


@pytest.mark.parametrize(
    ("channel", "shown"),
    [
        ("SMS", "'SMS'"),
        ("573000000001", "<12 chars"),
        ("Hola Ana, tu cita es hoy", "<24 chars"),
        ("sms\n", "<4 chars"),
        (None, "not NoneType"),
        ("", "not str"),
    ],
)
def test_what_is_no_channel_is_refused(channel: Any, shown: str) -> None:
    """A wrong channel is named only where it can be one, and not a number or text gone astray."""
    with pytest.raises(UsageError) as caught:
        send_request(Outgoing(channel, "573000000001", "Hola"), Dialect(), SECRET)
    assert shown in str(caught.value)
    assert "5730" not in str(caught.value)
    assert "Ana" not in str(caught.value)


def test_undocumented_channels_are_let_through_on_demand() -> None:
    """With the switch any printable name goes, and a line break does not."""
    dialect = Dialect(allow_undocumented_channels=True)
    assert dict(users_request("telegram", dialect, SECRET).params) == {"channel": "telegram"}
    assert dict(users_request(ReadChannel.WEB, dialect, SECRET).params) == {"channel": "web"}
    with pytest.raises(UsageError):
        users_request("telegram\n", dialect, SECRET)


@pytest.mark.parametrize(
    ("client_id", "sent"),
    [
        (573000000001, "573000000001"),
        ("573000000001", "573000000001"),
        (" 573000000001\n", "573000000001"),
        ("573000000001\xa0", "573000000001"),
        ("007", "007"),
        (90071992547409931, "90071992547409931"),
        ("ab-12", "ab-12"),
        ("12e5", "12e5"),
        (10**400, "1" + "0" * 400),
    ],
)
def test_a_client_id_keeps_every_digit(client_id: Any, sent: str) -> None:
    """A client id goes as its text, without the white space around it."""
    assert dict(messages_request("web", client_id, Dialect(), SECRET).params)["client_id"] == sent


@pytest.mark.parametrize(
    ("client_id", "what"),
    [
        (True, "not bool"),
        (5.73e11, "not float"),
        (None, "not NoneType"),
        (b"573", "not bytes"),
        ("", "empty"),
        ("\t", "empty"),
        (-573, "negative"),
        ("57\x0030", "control"),
        ("\u202a573000000001\u202c", "invisible"),
        ("5.73E+11", "decimal number"),
        ("5e+11", "decimal number"),
        ("573000000001.0", "decimal number"),
        (10**5000, "thousands of digits"),
    ],
    ids=lambda value: "huge" if type(value) is int and value > 0 else repr(value),
)
def test_what_is_no_client_id_is_refused(client_id: Any, what: str) -> None:
    """An id that is none, or lost digits on its way, says so and is not quoted."""
    with pytest.raises(UsageError, match=what) as caught:
        messages_request("web", client_id, Dialect(), SECRET)
    assert "573" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "sent"),
    [
        ("573000000001", "573000000001"),
        ("+573000000001", "573000000001"),
        ("+57 300-000-0001", "573000000001"),
        ("57 300 000 0001", "573000000001"),
        (573000000001, "573000000001"),
    ],
)
def test_a_phone_number_becomes_digits(number: Any, sent: str) -> None:
    """On sms a leading `+`, spaces and dashes are taken out."""
    assert dict(sending(client_id=number).params)["client_id"] == sent


@pytest.mark.parametrize("number", ["57A", "+", "57+300", "(57)300", "٥٧٣", "57.300", "- 57"])
def test_what_is_no_phone_number_is_refused(number: str) -> None:
    """On sms anything but digits is refused rather than guessed at."""
    with pytest.raises(UsageError, match="client id"):
        sending(client_id=number)


@pytest.mark.parametrize(
    ("text", "what"),
    [("", "empty"), (" \n", "empty"), (None, "not NoneType"), (5, "not int"), ("\ud83d", "emoji")],
)
def test_what_is_no_text_is_refused(text: Any, what: str) -> None:
    """A text that is empty, none, or half of an emoji is refused."""
    with pytest.raises(UsageError, match=what):
        sending(text)


def test_a_text_is_counted_in_characters() -> None:
    """`max_text_length` counts characters, not bytes, and cuts nothing."""
    assert dict(sending("ñ👋", max_text_length=2).params)["msg"] == "ñ👋"
    with pytest.raises(UsageError, match=r"has 3 characters, and Dialect\.max_text_length is 2"):
        sending("ñ👋!", max_text_length=2)
