"""The table of gaps, row by row: the default, and the switch.

Rule: a test is named after its row, stands on the client over a transport in this process, and says
with `row` which fields of `Dialect` it throws.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import attrs
import httpx
import pytest

from aldeamo_async import (
    ApiError,
    AsyncBotsClient,
    DeliveryUnknown,
    Dialect,
    Outgoing,
    Phase,
    RateLimited,
    Receipt,
    RetryPolicy,
    UnexpectedResponse,
    Unknown,
    UsageError,
)
from aldeamo_async.transports import ScriptedTransport, Unsent, WireResponse
from support.answers import KEY, MESSAGE, USER, Server, connect, envelope

TestT = TypeVar("TestT", bound=Callable[..., Any])
ROWS = range(1, 23)
BOGOTA = ZoneInfo("America/Bogota")
SWITCHES: dict[str, set[int]] = {}


def row(number: int, *switches: str) -> Callable[[TestT], TestT]:
    """Enter a test into the table: its row, and the fields of `Dialect` that it throws."""

    def enter(test: TestT) -> TestT:
        assert test.__name__.startswith(f"test_row_{number:02}_")
        for switch in switches:
            SWITCHES.setdefault(switch, set()).add(number)
        return test

    return enter


def test_every_row_has_a_test() -> None:
    """Each of the 22 rows of the contract has a test that is named after it."""
    named = {int(found[1]) for name in globals() if (found := re.match(r"test_row_(\d\d)_", name))}
    assert named == set(ROWS)


def test_every_switch_has_a_row() -> None:
    """Each field of `Dialect` is thrown by the test of a row, and no test throws another."""
    assert set(SWITCHES) == {field.name for field in attrs.fields(Dialect)}


async def sent(server: Server, client_id: str | int = "573000000001", **dialect: Any) -> Receipt:
    """Send "Hola" by sms."""
    async with server.client(dialect=Dialect(**dialect)) as client:
        return await client.send("sms", client_id, "Hola")


async def users_of(data: Any, **dialect: Any) -> list[Any]:
    """Read users from an answer with this `data`."""
    async with Server(envelope(data)).client(dialect=Dialect(**dialect)) as client:
        return await client.users("web")


async def times_of(time: Any) -> tuple[datetime | None, dict[str, int]]:
    """Read one message's time, and the drift that it made."""
    async with Server(envelope([MESSAGE | {"time": time}])).client() as client:
        [message] = await client.messages("web", 1)
        return message.time, dict(client.drift)


# ── the request ──────────────────────────────────────────────────────────────────────────────────


@row(1, "auth_in", "auth_name")
@pytest.mark.parametrize(
    ("switches", "on_get", "on_post"),
    [
        ({}, {"query"}, {"body"}),
        ({"auth_in": "params"}, {"query"}, {"body"}),
        ({"auth_in": "query"}, {"query"}, {"query"}),
        ({"auth_in": "header"}, {"header"}, {"header"}),
        ({"auth_in": "header+params"}, {"header", "query"}, {"header", "body"}),
        ({"auth_in": "header", "auth_name": "x-api-key"}, {"header"}, {"header"}),
        ({"auth_name": "apikey"}, {"query"}, {"body"}),
    ],
    ids=lambda value: str(sorted(value)),
)
async def test_row_01_where_the_key_goes(
    switches: dict[str, Any], on_get: set[str], on_post: set[str]
) -> None:
    """The key is in the query of a GET and the body of a POST, or where `auth_in` puts it."""
    name = switches.get("auth_name", "auth")
    reads, sends = Server(envelope([])), Server(envelope(1))

    def places(request: httpx.Request) -> set[str]:
        found = {
            "query": request.url.params.get(name),
            "header": request.headers.get(name),
            "body": httpx.QueryParams(request.content.decode()).get(name),
        }
        return {place for place, value in found.items() if value == KEY}

    async with reads.client(dialect=Dialect(**switches)) as client:
        await client.users("web")
    await sent(sends, **switches)
    assert places(reads.seen[0]) == on_get
    assert places(sends.seen[0]) == on_post


@row(2)
async def test_row_02_a_get_asks_in_its_query() -> None:
    """`channel` and `client_id` of a GET are in the query, and it has no body."""
    server = Server(envelope([]))
    async with server.client() as client:
        await client.messages("whatsapp", "50700000001")
    assert server.query == {"auth": KEY, "channel": "whatsapp", "client_id": "50700000001"}
    assert server.seen[0].content == b""


@row(3, "post_encoding")
@pytest.mark.parametrize("encoding", [None, "form", "json", "query"])
async def test_row_03_how_a_post_is_written(encoding: str | None) -> None:
    """A POST is a form in UTF-8, or JSON, or a query, as `post_encoding` says."""
    server = Server(envelope(1))
    dialect = Dialect(post_encoding=encoding) if encoding else Dialect()  # type: ignore[arg-type]
    async with server.client(dialect=dialect) as client:
        await client.send("web", "507000", "ñ & 👋\n+")
    [request] = server.seen
    wanted = {"auth": KEY, "channel": "web", "client_id": "507000", "msg": "ñ & 👋\n+"}
    kind = request.headers.get("content-type")
    if encoding == "json":
        assert httpx.Response(200, content=request.content).json() == wanted
        assert kind == "application/json"
    elif encoding == "query":
        assert (server.query, request.content, kind) == (wanted, b"", None)
    else:
        assert (server.form, kind) == (wanted, "application/x-www-form-urlencoded")


@row(3)
@pytest.mark.parametrize("status", [400, 404, 405, 415, 422, 500])
async def test_row_03_a_send_never_tries_another_encoding(status: int) -> None:
    """A POST that the server does not like is not tried in another encoding."""
    server = Server(b"", status)
    async with server.client(retry=RetryPolicy()) as client:
        with pytest.raises((ApiError, DeliveryUnknown)):
            await client.send("web", "507000", "Hola")
    assert len(server.seen) == 1


@row(4, "base_url", "allow_insecure")
@pytest.mark.parametrize(
    ("base", "url"),
    [
        (None, "https://apibot.aldeamo.com/bots/messages"),
        (
            "https://tenant.example/api/admin/index.php/express",
            "https://tenant.example/api/admin/index.php/express/messages",
        ),
        (
            "https://tenant.example/api/admin/index.php/express/",
            "https://tenant.example/api/admin/index.php/express/messages",
        ),
        ("https://tenant.example:8443", "https://tenant.example:8443/messages"),
        ("http://127.0.0.1:8080/bots", "http://127.0.0.1:8080/bots/messages"),
    ],
)
async def test_row_04_the_base_url_keeps_its_prefix(base: str | None, url: str) -> None:
    """A call's path is put behind the base URL, whose path prefix stays."""
    server = Server(envelope(1))
    async with server.client(base_url=base) as client:
        await client.send("sms", "573000000001", "Hola")
    assert str(server.seen[0].url) == url


@row(4, "base_url", "allow_insecure")
async def test_row_04_plain_http_is_refused() -> None:
    """`http://` is refused, except for loopback, unless `allow_insecure` is set."""
    with pytest.raises(UsageError, match="in the clear"):
        Dialect(base_url="http://tenant.example/bots")
    server = Server(envelope(1))
    await sent(server, base_url="http://tenant.example/bots", allow_insecure=True)
    assert server.seen[0].url.scheme == "http"


# ── the envelope ─────────────────────────────────────────────────────────────────────────────────


@row(5)
@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        ({"status": False, "codigo": 7, "message": "no"}, 7, "no"),
        ({"status": False, "codigo": "7", "mensaje": "no"}, 7, "no"),
        ({"status": False, "code": 8, "error": "no"}, 8, "no"),
        ({"status": False, "codigo": None, "code": 8, "error": "no"}, 8, "no"),
        ({"status": False, "error": "no"}, None, "no"),
        ({"status": False, "codigo": "E-12", "message": "no"}, "E-12", "no"),
        ({"status": False, "error": f"bad key {KEY}"}, None, "bad key ***"),
    ],
    ids=str,
)
async def test_row_05_the_api_s_words(answer: dict[str, Any], code: Any, text: str) -> None:
    """Code and text are read under every name known, the raw answer is kept, the key is blanked."""
    async with Server(answer).client() as client:
        with pytest.raises(ApiError) as caught:
            await client.send("web", "507000", "Hola")
    error = caught.value
    assert (error.code, error.text) == (code, text)
    assert error.raw == {name: text if name == "error" else said for name, said in answer.items()}


YES = [True, 1, "1", "true", "True"]
NO = [False, 0, "0", "false"]
NEITHER = [..., None, "", "yes", 2, 1.0, [], {}]


@row(6)
@pytest.mark.parametrize("codigo", [..., None, 0, "0", " 0 "])
@pytest.mark.parametrize("status", YES, ids=repr)
async def test_row_06_a_yes(status: Any, codigo: Any) -> None:
    """2xx, an object, a `status` that means yes, and a `codigo` absent or 0: a success."""
    assert (await sent(Server(envelope(32, status=status, codigo=codigo)))).message_id == "32"


@row(6)
@pytest.mark.parametrize(
    ("status", "codigo"),
    [*((no, code) for no in NO for code in (0, 5, ..., [])), (True, 5), (..., 5), (True, "-1")],
    ids=repr,
)
async def test_row_06_a_no(status: Any, codigo: Any) -> None:
    """A `status` that means no, or a `codigo` other than 0, is the API's no."""
    with pytest.raises(ApiError):
        await sent(Server(envelope(32, status=status, codigo=codigo)))


@row(6)
@pytest.mark.parametrize(
    ("status", "codigo"),
    [*((neither, 0) for neither in NEITHER), (True, ""), (True, []), (True, 0.5), (True, False)],
    ids=repr,
)
async def test_row_06_neither_yes_nor_no(status: Any, codigo: Any) -> None:
    """What says neither yes nor no leaves a send unknown and fails a read."""
    server = Server(envelope([], status=status, codigo=codigo))
    with pytest.raises(DeliveryUnknown):
        await sent(server)
    async with server.client() as client:
        with pytest.raises(UnexpectedResponse):
            await client.users("web")


@row(6, "strict_envelope")
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"status": 1}, "status: must be boolean, not number"),
        ({"codigo": "0"}, "codigo: must be number, not text"),
        ({"codigo": ...}, "codigo: missing"),
        ({"message": ..., "mensaje": "Enviado"}, "message: missing"),
        ({"data": ...}, "data: missing"),
    ],
    ids=str,
)
async def test_row_06_strict_envelope(changes: dict[str, Any], problem: str) -> None:
    """`strict_envelope` believes a yes only as the document writes it; a no stays a no."""
    answer = envelope(32, **changes)
    assert (await sent(Server(answer))).message_id in {"32", None}
    with pytest.raises(DeliveryUnknown, match="unknown") as caught:
        await sent(Server(answer), strict_envelope=True)
    assert isinstance(caught.value.answer, UnexpectedResponse)
    assert caught.value.answer.problems == (problem,)
    assert (await sent(Server(envelope(32)), strict_envelope=True)).message_id == "32"
    with pytest.raises(ApiError):
        await sent(Server({"status": 0, "error": "no"}), strict_envelope=True)


# ── ids, channels ────────────────────────────────────────────────────────────────────────────────


@row(7)
async def test_row_07_ids_are_text() -> None:
    """An id is text wherever it stands; a number becomes its digits, and leading zeros stay."""
    [user] = await users_of([USER | {"id": 12345678901234567, "user_id": "007"}])
    assert (user.id, user.user_id) == ("12345678901234567", "007")
    assert (await sent(Server(envelope(12345678901234567)))).message_id == "12345678901234567"
    assert (await sent(Server(envelope("007")))).message_id == "007"


@row(8)
@pytest.mark.parametrize("client_id", [90071992547409931, "90071992547409931"])
async def test_row_08_a_client_id_of_17_digits(client_id: str | int) -> None:
    """A client id above 2^53 leaves with every digit, whether given as text or number."""
    server = Server(envelope(1))
    await sent(server, client_id)
    assert server.form["client_id"] == "90071992547409931"


@row(8)
@pytest.mark.parametrize("client_id", [True, 5.73e11, "", "  ", None, -5, "5.73E+11", "57300.0"])
async def test_row_08_what_is_no_client_id(client_id: Any) -> None:
    """`bool`, `float`, empty, and what a float left behind are refused before any I/O."""
    server = Server(envelope(1))
    async with server.client() as client:
        with pytest.raises(UsageError):
            await client.send("web", client_id, "Hola")
        with pytest.raises(UsageError):
            await client.messages("web", client_id)
    assert server.seen == []


@row(9)
async def test_row_09_the_client_id_is_the_user_id() -> None:
    """`User.user_id`, not `User.id`, is what the other calls take as `client_id`."""
    server = Server(envelope([USER | {"id": "1", "user_id": "50700000002"}]))
    async with server.client() as client:
        [user] = await client.users("web")
    assert user.user_id == "50700000002"
    await sent(server := Server(envelope(1)), user.user_id)
    assert server.form["client_id"] == "50700000002"


@row(10, "allow_undocumented_channels")
async def test_row_10_channels_for_reading_and_for_sending() -> None:
    """A channel of the other set is refused before any I/O, and the error names those allowed."""
    server = Server(envelope([]))
    async with server.client() as client:
        with pytest.raises(UsageError, match="facebook, twitter, web, whatsapp"):
            await client.users("sms")
        with pytest.raises(UsageError, match="facebook, sms, web"):
            await client.send("whatsapp", "573000000001", "Hola")
        assert server.seen == []
        view = client.with_options(dialect=Dialect(allow_undocumented_channels=True))
        await view.users("telegram")
        await view.send("whatsapp", "573000000001", "Hola")
    assert [httpx.QueryParams(r.url.query or r.content)["channel"] for r in server.seen] == [
        "telegram",
        "whatsapp",
    ]


# ── the rows of a list ───────────────────────────────────────────────────────────────────────────


@row(11)
async def test_row_11_nulls_empties_and_unknown_fields() -> None:
    """`None` stays `None`, `""` stays `""`, and a field that nobody documented is kept."""
    [user] = await users_of([USER | {"name": None, "email": "", "tags": ["vip"]}])
    assert (user.name, user.email, user.extra) == (None, "", {"tags": ["vip"]})


@row(12, "server_tz")
async def test_row_12_dates_without_a_zone() -> None:
    """A date is naive, unless `server_tz` says where the server's clock stands."""
    [user] = await users_of([USER])
    assert user.date_created == datetime(2019, 5, 2, 19, 4, 49)
    [user] = await users_of([USER], server_tz=BOGOTA)
    assert user.date_created == datetime(2019, 5, 2, 19, 4, 49, tzinfo=BOGOTA)


@row(13)
@pytest.mark.parametrize("date", ["0000-00-00 00:00:00", "0000-00-00", "", None, "ayer", 7])
async def test_row_13_dates_that_are_none(date: Any) -> None:
    """A zero, empty, null or unreadable date is `None` and spoils no page."""
    [user] = await users_of([USER | {"last_active": date}])
    assert user.last_active is None


@row(14)
@pytest.mark.parametrize(
    ("time", "second"),
    [
        ("1556826151", 1556826151),
        (1556826151, 1556826151),
        (1556826151.0, 1556826151),
        ("1556826151.0", 1556826151),
        ("1556826151000", 1556826151),
        (1556826151000, 1556826151),
        (100_000_000_000, 100_000_000_000),
        (100_000_000_001, 100_000_000.001),
        ("0", 0),
        ("-1", -1),
    ],
    ids=repr,
)
async def test_row_14_a_time_since_1970(time: Any, second: float) -> None:
    """Seconds or milliseconds, as text or number, are an aware time in UTC."""
    found, drift = await times_of(time)
    assert found == datetime.fromtimestamp(second, UTC)
    assert found is not None
    assert found.tzinfo is UTC
    assert drift == {}


@row(14)
@pytest.mark.parametrize("time", [None, ""])
async def test_row_14_no_time(time: str | None) -> None:
    """A null or empty time is `None`, and no drift."""
    assert await times_of(time) == (None, {})


@row(14)
@pytest.mark.parametrize(
    "time",
    ["ayer", "nan", "1e9", "1_5", "9" * 40, 10**30, float("nan"), float("inf"), True, [], {}],
    ids=repr,
)
async def test_row_14_a_time_that_cannot_be_read(time: Any) -> None:
    """Garbage is `None`, counted as drift."""
    assert await times_of(time) == (None, {"GET /messages: a time cannot be read": 1})


@row(15, "strict_data")
@pytest.mark.parametrize(
    ("data", "count"),
    [
        ('[{"id": "1", "user_id": "2"}]', 1),
        ("[]", 0),
        ({"0": {"id": "1", "user_id": "2"}, "7": {"id": "3", "user_id": "4"}}, 2),
        ({}, 0),
        (False, 0),
        (None, 0),
        ("", 0),
        (" ", 0),
        ("null", 0),
    ],
    ids=repr,
)
async def test_row_15_what_stands_for_a_list(data: Any, count: int) -> None:
    """A list may stand in a text or under numbered keys, or be nothing where it is empty."""
    assert len(await users_of(data)) == count
    with pytest.raises(UnexpectedResponse, match="data: must be a list"):
        await users_of(data, strict_data=True)


@row(15, "strict_data")
@pytest.mark.parametrize("data", [True, 7, "Ana", '"[]"', {"id": "1"}, "[" * 100_000], ids=type)
async def test_row_15_what_does_not_stand_for_a_list(data: Any) -> None:
    """Any other `data` is an answer outside the contract."""
    with pytest.raises(UnexpectedResponse, match="data: must be a list"):
        await users_of(data)


@row(15, "strict_data")
@pytest.mark.parametrize(
    ("data", "message_id"),
    [
        (32, "32"),
        ("32", "32"),
        ("007", "007"),
        (0, "0"),
        *((other, None) for other in (None, False, True, "", "ok", "٣", 32.0, [], {"id": 32}, ...)),
    ],
    ids=repr,
)
async def test_row_15_the_id_of_a_sent_message(data: Any, message_id: str | None) -> None:
    """A send is a success whether or not its id can be read; `strict_data` takes a number alone."""
    assert (await sent(Server(envelope(data)))).message_id == message_id
    if type(data) is int:
        assert (await sent(Server(envelope(data)), strict_data=True)).message_id == message_id
    else:
        with pytest.raises(DeliveryUnknown) as caught:
            await sent(Server(envelope(data)), strict_data=True)
        assert isinstance(caught.value.answer, UnexpectedResponse)


@row(16, "max_response_bytes")
async def test_row_16_one_whole_list_up_to_a_cap() -> None:
    """A list comes whole, in one request; a body past `max_response_bytes` is refused."""
    server = Server(envelope([USER] * 500))
    async with server.client() as client:
        assert len(await client.users("web")) == 500
        assert len([user async for user in client.iter_users("web")]) == 500
        assert len(server.seen) == 2
        small = client.with_options(dialect=Dialect(max_response_bytes=1000))
        with pytest.raises(UnexpectedResponse, match="max_response_bytes"):
            await small.users("web")


@row(17)
async def test_row_17_no_direction_and_no_delivery() -> None:
    """A message has no direction, and a receipt promises no delivery: the API tells neither."""
    async with Server(envelope([MESSAGE])).client() as client:
        [message] = await client.messages("web", 1)
    assert not hasattr(message, "direction")
    assert not hasattr(await sent(Server(envelope(1))), "delivered")


@row(18)
async def test_row_18_one_name_for_the_text() -> None:
    """What the wire calls `msg` on a send and `message` on a read is `text` in both."""
    server = Server(envelope([MESSAGE]))
    async with server.client() as client:
        [message] = await client.messages("web", 1)
        await client.send("web", "507000", text="Hola")
    assert message.text == "Hola bot"
    assert server.form["msg"] == "Hola"


@row(19, "max_text_length")
async def test_row_19_texts_go_as_given() -> None:
    """A text is sent as it is, an empty one refused, and nothing is ever cut."""
    server = Server(envelope(1))
    long = " \x00ñ👋\r\n" * 2000
    async with server.client() as client:
        await client.send("web", "507000", long)
        assert server.form["msg"] == long
        for empty in ("", " \n"):
            with pytest.raises(UsageError, match="empty"):
                await client.send("web", "507000", empty)
        short = client.with_options(dialect=Dialect(max_text_length=4))
        await short.send("web", "507000", "Hola")
        with pytest.raises(UsageError, match="has 5 characters"):
            await short.send("web", "507000", "Hola!")
    assert len(server.seen) == 2


@row(20, "normalize_phone")
async def test_row_20_phone_numbers_on_sms() -> None:
    """`+`, spaces and dashes are taken out of a number on sms; letters are refused."""
    server = Server(envelope(1))
    await sent(server, "+57 300-000 0001")
    assert server.form["client_id"] == "573000000001"
    with pytest.raises(UsageError, match="phone number"):
        await sent(server, "57300000000A")
    await sent(server, "+57 300-000 0001", normalize_phone=False)
    assert server.form["client_id"] == "+57 300-000 0001"
    async with server.client() as client:
        await client.send("facebook", "ab-12", "Hola")
    assert server.form["client_id"] == "ab-12"


# ── noise and retries ────────────────────────────────────────────────────────────────────────────


@row(21)
async def test_row_21_noise_in_the_body() -> None:
    """HTML is `UnexpectedResponse` with status, type and a snippet without key, number or name."""
    page = (
        f"<h1>Error</h1> auth={KEY} 573000000001 " + '{"data":[{"name":"Ana Maria"}]}' + "x" * 500
    )
    async with Server(page.encode(), headers={"content-type": "text/html"}).client() as client:
        with pytest.raises(UnexpectedResponse) as caught:
            await client.users("web")
    error = caught.value
    assert (error.http_status, error.content_type) == (200, "text/html")
    assert error.problems == ("body: not JSON",)
    assert error.snippet.startswith("<h1>Error</h1> auth=*** 57********01 {")
    assert "Ana" not in error.snippet
    assert len(error.snippet) == 200


@row(21)
@pytest.mark.parametrize("marks", [1, 2])
async def test_row_21_a_byte_order_mark(marks: int) -> None:
    """Byte order marks before the JSON are tolerated and counted."""
    server = Server(b"\xef\xbb\xbf" * marks + b'\r\n{"status": true, "data": 32}')
    async with server.client() as client:
        assert (await client.send("web", "507000", "Hola")).message_id == "32"
        assert client.drift == {"POST /messages: the body begins with a byte order mark": 1}


REFUSALS = [(429, {}), (429, {"retry-after": "1"}), (503, {"retry-after": "1"})]
PROVES_NOTHING = [(200, {}), (301, {}), (500, {}), (502, {}), (503, {}), (504, {})]


@row(22)
@pytest.mark.parametrize(("status", "headers"), REFUSALS)
async def test_row_22_a_refused_send_is_tried_again(status: int, headers: dict[str, str]) -> None:
    """A send that was refused for now is tried again, as often as `RetryPolicy` allows."""
    server = Server(b"", status, headers)
    async with server.client(retry=RetryPolicy(attempts=3)) as client:
        with pytest.raises(RateLimited) as caught:
            await client.send("web", "507000", "Hola")
    assert len(server.seen) == len(caught.value.attempts) == 3


@row(22)
@pytest.mark.parametrize(("status", "headers"), PROVES_NOTHING)
async def test_row_22_an_unknown_send_is_not_tried_again(
    status: int, headers: dict[str, str]
) -> None:
    """A send whose answer proves nothing is unknown at once, in bulk too; a read is tried again."""
    server = Server(b"<html>", status, headers)
    async with server.client(retry=RetryPolicy(attempts=3)) as client:
        with pytest.raises(DeliveryUnknown):
            await client.send("web", "507000", "Hola")
        async with client.send_many([Outgoing("web", "507000", "Hola")]) as outcomes:
            assert [type(outcome) async for outcome in outcomes] == [Unknown]
        assert len(server.seen) == 2
        with pytest.raises(UnexpectedResponse):
            await client.users("web")
    assert len(server.seen) == 5


@row(22)
async def test_row_22_what_provably_did_not_leave_is_tried_again() -> None:
    """A send that provably did not leave is tried again, and its history tells."""
    connection_refused = Unsent(Phase.CONNECT, "connection refused")
    success = WireResponse(200, (), b'{"status": true, "data": 32}')
    transport = ScriptedTransport([connection_refused, connection_refused, success])
    async with AsyncBotsClient(KEY, transport=transport) as client:
        receipt = await client.send("web", "507000", "Hola")
    assert [attempt.evidence for attempt in receipt.attempts] == ["unsent", "unsent", "answered"]


@row(22)
async def test_row_22_a_transport_without_evidence() -> None:
    """A transport of one's own proves nothing, so its failures leave a send unknown at once."""
    seen: list[httpx.Request] = []

    def broken(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        raise httpx.ConnectError("refused")

    async with connect(broken, retry=RetryPolicy(attempts=3)) as client:
        with pytest.raises(DeliveryUnknown):
            await client.send("web", "507000", "Hola")
    assert len(seen) == 1
