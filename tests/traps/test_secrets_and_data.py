"""Traps 25 to 32: what leaks, what crashes, and what is taken for something it is not."""

from __future__ import annotations

import copy
import logging
import math
import pickle
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aldeamo_async import (
    AldeamoError,
    ApiError,
    AsyncBotsClient,
    DeliveryUnknown,
    Dialect,
    Outcome,
    Rejected,
    RetryPolicy,
    TokenBucket,
    UnexpectedResponse,
    UsageError,
)
from aldeamo_async.sandbox import Sandbox, SandboxTransport
from support import guards
from support.clients import (
    KEY,
    MAYBE,
    PHONE,
    TEXT,
    UNSENT,
    Carrier,
    answer,
    drain,
    later,
    make,
    messages,
    no,
    opened,
    scripted,
    taking,
)
from support.rawserver import Connection, RawServer, serve_all
from support.rawserver import answer as raw_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable

ONCE = RetryPolicy(attempts=1)
PRIVATE = (KEY, PHONE, TEXT, "Hola+Ana")
YES = {"status": True, "codigo": 0, "message": "Users", "data": []}


def redirect(connection: Connection) -> None:
    """Answer with a redirect that repeats the whole URL, key and all."""
    while seen := connection.read_request():
        connection.send(raw_answer(b"", f"location: {seen.target}", status="302 Found"))


async def said_by(call: Awaitable[object]) -> str:
    """What a call brings, or what its error says."""
    try:
        return repr(await call)
    except AldeamoError as error:
        return f"{error} {error!r}"


@pytest.mark.real_clock
async def test_trap_25_no_log_line_holds_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """All loggers at DEBUG, reads with the key in the query, sends, redirects: nothing private."""
    caplog.set_level(logging.DEBUG)
    for script in (serve_all, redirect):
        with RawServer(script) as server:
            async with AsyncBotsClient(
                KEY, base_url=server.base_url, retry=ONCE, dialect=Dialect(auth_in="query")
            ) as client:
                for call in (client.messages("whatsapp", PHONE), client.send("sms", PHONE, TEXT)):
                    shown = await said_by(call)
                    assert not [piece for piece in PRIVATE if piece in shown]
            assert any(KEY in seen.target for seen in server.requests)
    assert any(record.name.startswith("httpcore") for record in caplog.records)
    for record in caplog.records:
        line = f"{record.getMessage()} {record.args!r}"
        assert not [piece for piece in PRIVATE if piece in line]


async def every_error() -> list[AldeamoError]:
    """One error of each kind, as calls raise them."""
    script = [
        UNSENT,
        MAYBE,
        no(),
        later("999"),
        answer(403, {"status": False, "error": "Invalid API key test-key"}),
        answer(502, b"<h1>test-key 573000000001 Hola Ana</h1>"),
        answer(200, b"<html>test-key</html>"),
        answer(200, YES | {"data": [{"id": 5}]}),
    ]
    errors: list[AldeamoError] = []
    free = TokenBucket(math.inf, adaptive=False, freeze_max=0)
    async with opened(scripted(*script), retry=ONCE, limiter=free) as client:
        calls = [lambda: client.send("sms", PHONE, TEXT)] * 7
        for call in (
            *calls,
            lambda: client.users("web"),
            lambda: client.send("pigeon", PHONE, TEXT),
        ):
            with pytest.raises(AldeamoError) as caught:
                await call()
            errors.append(caught.value)
    limiter = TokenBucket(0.001, 1, initial=0)
    for carrier, options in ((taking(99), {}), (scripted(), {"limiter": limiter})):
        async with opened(carrier, deadline=5, **options) as client:
            with pytest.raises(AldeamoError) as caught:
                await client.users("web")
            errors.append(caught.value)
    return errors


async def test_trap_26_errors_cross_to_another_process() -> None:
    """Each pickles and copies with its values and its attempts."""
    errors = await every_error()
    assert len({type(error) for error in errors}) >= 8
    for error in errors:
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301
            assert type(twin) is type(error)
            assert str(twin) == str(error)
            assert twin.attempts == error.attempts
            assert vars(twin).keys() == vars(error).keys()


async def test_trap_27_nothing_printable_holds_the_key() -> None:
    """Not the client or its settings; not an error, its causes, or the frames it came by."""
    client = make(scripted(UNSENT), retry=ONCE)
    for thing in (client, client._settings, client._terms, client._engine, client.stats()):
        assert KEY not in f"{thing!r} {thing}"
    await client.aclose()
    for error in await every_error():
        assert KEY not in f"{error!r} {error} {vars(error)!r}"
        assert not hasattr(error, "request")
        assert error.__cause__ is None
        assert error.__context__ is None
        frame = error.__traceback__
        while frame is not None:
            if "/aldeamo_async/" in frame.tb_frame.f_code.co_filename:
                assert KEY not in repr(frame.tb_frame.f_locals)
            frame = frame.tb_next


@pytest.mark.parametrize(
    ("status", "body"), [(502, b"<html>Bad Gateway</html>"), (200, b"<html>OK</html>"), (200, b"")]
)
async def test_trap_28_html_is_neither_a_crash_nor_a_success(status: int, body: bytes) -> None:
    """A send is unknown, a read is an `UnexpectedResponse` with a snippet; never `None`."""
    async with opened(Carrier(lambda *_: answer(status, body)), retry=ONCE) as client:
        with pytest.raises(DeliveryUnknown) as unknown:
            await client.send("sms", PHONE, TEXT)
        with pytest.raises(UnexpectedResponse):
            await client.users("whatsapp")
    assert isinstance(unknown.value.answer, UnexpectedResponse)


@pytest.mark.parametrize(
    "body",
    [
        {"status": False, "codigo": 7, "message": "Not sent"},
        {"status": True, "codigo": 7, "message": "Not sent"},
        {"status": False, "error": "Invalid channel"},
        {"status": 0, "codigo": 0, "message": "No"},
    ],
)
async def test_trap_29_a_200_that_says_no_is_no_success(body: dict[str, Any]) -> None:
    """The envelope decides, not the status line; a contradiction is a no."""
    async with opened(Carrier(lambda *_: answer(200, body)), retry=ONCE) as client:
        with pytest.raises(ApiError):
            await client.send("sms", PHONE, TEXT)
        with pytest.raises(ApiError):
            await client.users("whatsapp")


async def test_trap_30_an_id_is_text_wherever_it_comes_from() -> None:
    """Created as a number and listed as text, or the other way round: the same `str`."""
    rows = [{"id": 7, "user_id": 573000000001}, {"id": "7", "user_id": "573000000001"}]
    script = (
        answer(200, YES | {"data": 32}),
        answer(200, YES | {"data": "32"}),
        answer(200, YES | {"data": rows}),
    )
    carrier = scripted(*script)
    async with opened(carrier) as client:
        receipts = [await client.send("sms", client_id, TEXT) for client_id in (PHONE, int(PHONE))]
        first, second = await client.users("whatsapp")
    assert {receipt.message_id for receipt in receipts} == {"32"}
    assert (first.id, first.user_id) == (second.id, second.user_id) == ("7", PHONE)
    assert {dict(r.params)["client_id"] for r in carrier.requests[:2]} == {PHONE}


async def test_trap_31_new_values_of_the_api_break_nobody() -> None:
    """Unknown fields are kept, an unknown code is an error with that code, both are counted."""
    rows = [{"id": "1", "user_id": "2", "tags": ["new"], "name": None}]
    script = (
        answer(200, YES | {"data": rows, "page": 1}),
        answer(200, {"status": False, "codigo": 9001, "message": "New reason", "data": None}),
    )
    async with opened(scripted(*script)) as client:
        (user,) = await client.users("whatsapp")
        with pytest.raises(ApiError) as caught:
            await client.send("sms", PHONE, TEXT)
        assert client.drift["GET /users: unknown field tags"] == 1
        open_minded = client.with_options(dialect=Dialect(allow_undocumented_channels=True))
        await open_minded.send("telegram", PHONE, TEXT)
    assert user.extra == {"tags": ["new"]}
    assert caught.value.code == 9001


async def test_trap_32_a_missing_double_cannot_reach_the_network() -> None:
    """The suite's guard refuses any address but loopback, and the refusal is no network error."""
    with guards.guarded_sockets() as guard:
        async with AsyncBotsClient(KEY, base_url="https://192.0.2.1/bots") as client:
            with pytest.raises(BaseException) as caught:  # noqa: PT011 - trio wraps it in a group
                await client.send("sms", PHONE, TEXT)
    assert not isinstance(caught.value, AldeamoError)
    assert guard.refused


async def test_trap_32_doubles_are_used_where_they_are_given() -> None:
    """The sandbox and a MockTransport carry everything; nothing is opened beside them."""
    sandbox = Sandbox()
    found: list[Outcome] = []
    async with (
        opened(SandboxTransport(sandbox)) as client,
        client.send_many(messages(5)) as outcomes,
    ):
        await drain(outcomes, found)
    mock = httpx.MockTransport(lambda _: httpx.Response(400))
    async with opened(mock) as client, client.send_many(messages(5)) as outcomes:
        await drain(outcomes, found)
    assert sandbox.delivered == 5
    assert [type(outcome) for outcome in found[5:]] == [Rejected] * 5


def test_trap_27_a_setting_s_error_does_not_quote_the_key() -> None:
    """Not even the one about the key itself."""
    with pytest.raises(UsageError) as caught:
        AsyncBotsClient("test-key\n")
    assert "test-key" not in f"{caught.value!r} {caught.value}"
