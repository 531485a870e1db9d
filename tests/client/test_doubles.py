"""The doubles that users' own suites stand on: MockTransport, respx, ASGI, the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx

from aldeamo_async import (
    ApiError,
    AsyncBotsClient,
    DeliveryUnknown,
    Dialect,
    NotSent,
    Outcome,
    Outgoing,
    RateLimited,
    RetryPolicy,
    Sent,
    UsageError,
)
from aldeamo_async.sandbox import Fault, Sandbox, SandboxTransport, Weather
from support.clients import BASE_URL, KEY, PHONE, TEXT, drain, make, messages, opened

if TYPE_CHECKING:
    from collections.abc import MutableMapping

YES = {"status": True, "codigo": 0, "message": "Message sent", "data": 32}
SEND_URL = f"{BASE_URL}/messages"
QUICK = RetryPolicy(wait=lambda _: 0.0)


# ── httpx.MockTransport ──


async def test_a_mock_transport_sees_the_request_as_it_goes_out() -> None:
    """Its handler reads method, URL and body, and its answer is the API's."""
    seen: list[tuple[str, str, bytes]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, str(request.url), request.content))
        return httpx.Response(200, json=YES)

    async with opened(httpx.MockTransport(handler)) as client:
        receipt = await client.send("sms", PHONE, TEXT)
    assert receipt.message_id == "32"
    assert seen == [
        ("POST", SEND_URL, b"auth=test-key&channel=sms&client_id=573000000001&msg=Hola+Ana")
    ]


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.WriteError])
async def test_a_mock_s_error_proves_nothing(error: type[httpx.TransportError]) -> None:
    """Without a trace even a ConnectError may have come after the message: unknown, sent once."""
    calls = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise error("no", request=request)

    async with opened(httpx.MockTransport(handler), retry=QUICK) as client:
        with pytest.raises(DeliveryUnknown):
            await client.send("sms", PHONE, TEXT)
    assert calls == 1


async def test_a_mock_with_a_bug_says_so() -> None:
    """A handler's own exception is the test's, not a network failure."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise KeyError("msg")

    async with opened(httpx.MockTransport(handler), retry=QUICK) as client:
        with pytest.raises(KeyError):
            await client.send("sms", PHONE, TEXT)


# ── respx ──


@respx.mock
async def test_respx_catches_the_default_transport() -> None:
    """`respx.mock` stands in front of the lanes without any option."""
    route = respx.post(SEND_URL).mock(return_value=httpx.Response(200, json=YES))
    async with AsyncBotsClient(KEY, base_url=BASE_URL) as client:
        receipt = await client.send("sms", PHONE, TEXT)
        assert client.stats().lanes is not None
    assert receipt.message_id == "32"
    assert route.call_count == 1
    assert b"msg=Hola+Ana" in route.calls.last.request.content


@respx.mock
async def test_respx_plays_a_sequence() -> None:
    """A refusal and then a yes are two calls of the route and one receipt."""
    route = respx.post(SEND_URL)
    route.side_effect = [
        httpx.Response(429, headers={"retry-after": "0"}),
        httpx.Response(200, json=YES),
    ]
    async with AsyncBotsClient(KEY, base_url=BASE_URL, retry=QUICK) as client:
        receipt = await client.send("sms", PHONE, TEXT)
    assert [attempt.status for attempt in receipt.attempts] == [429, 200]


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout])
@respx.mock
async def test_respx_errors_count_as_maybe_sent(error: type[httpx.TransportError]) -> None:
    """A side effect leaves no trace: the message is unknown, and was sent once."""
    route = respx.post(SEND_URL).mock(side_effect=error)
    async with AsyncBotsClient(KEY, base_url=BASE_URL, retry=QUICK) as client:
        with pytest.raises(DeliveryUnknown):
            await client.send("sms", PHONE, TEXT)
    assert route.call_count == 1


@respx.mock
async def test_respx_serves_a_bulk_run() -> None:
    """Every message of a run passes the route."""
    route = respx.post(SEND_URL).mock(return_value=httpx.Response(200, json=YES))
    found: list[Outcome] = []
    async with (
        AsyncBotsClient(KEY, base_url=BASE_URL) as client,
        client.send_many(messages(30), concurrency=5) as outcomes,
    ):
        await drain(outcomes, found)
    assert route.call_count == len(found) == 30


@respx.mock
async def test_respx_reads_what_the_route_returns() -> None:
    """Reads carry their parameters in the query, where a route can match them."""
    rows = [{"id": "1", "user_id": "507000000001"}]
    respx.get(f"{BASE_URL}/users", params={"auth": KEY, "channel": "whatsapp"}).mock(
        return_value=httpx.Response(200, json=YES | {"data": rows})
    )
    async with AsyncBotsClient(KEY, base_url=BASE_URL) as client:
        (user,) = await client.users("whatsapp")
    assert user.user_id == "507000000001"


# ── ASGI ──


async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """The smallest application that says yes."""
    body = b""
    more = True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    assert b"msg=Hola" in body
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": httpx.Response(200, json=YES).content})


async def test_an_asgi_application_serves() -> None:
    """A user's own fake of the API in ASGI needs no socket."""
    async with opened(httpx.ASGITransport(app)) as client:
        assert (await client.send("sms", PHONE, TEXT)).message_id == "32"


# ── the sandbox in process ──


async def test_the_sandbox_in_process_answers_every_call() -> None:
    """Users, their messages, sends: on virtual clocks, without a server."""
    sandbox = Sandbox()
    async with opened(SandboxTransport(sandbox)) as client:
        users = await client.users("whatsapp")
        texts = [m.text async for m in client.iter_messages("whatsapp", users[0].user_id)]
        receipt = await client.send("web", users[0].user_id, TEXT)
    assert len(users) == 25
    assert isinstance(texts, list)
    assert receipt.message_id == "1"
    assert [delivery.text for delivery in sandbox.deliveries] == [TEXT]


async def test_the_sandbox_proves_what_never_left() -> None:
    """It traces as a socket would: a refused connection is unsent, and sent again."""
    sandbox = Sandbox(weather=Weather.sequence([Fault.CONNECTION_REFUSED] * 2))
    async with opened(SandboxTransport(sandbox), retry=QUICK) as client:
        receipt = await client.send("sms", PHONE, TEXT)
    assert len(receipt.attempts) == 3
    assert sandbox.delivered == 1


async def test_the_sandbox_s_own_limit_is_met_by_the_brake() -> None:
    """A limit that the client does not know of costs time, not messages."""
    sandbox = Sandbox(rate=50, burst=5)
    policy = RetryPolicy(attempts=50)
    async with (
        make(SandboxTransport(sandbox), retry=policy, deadline=10_000) as client,
        client.send_many(messages(300), concurrency=20) as outcomes,
    ):
        found = [outcome async for outcome in outcomes]
        stats = client.stats()
    assert {type(outcome) for outcome in found} == {Sent}
    assert (sandbox.delivered, sandbox.duplicates) == (300, 0)
    assert stats.limiter.throttled > 0


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.STATUS_FALSE, ApiError),
        (Fault.RATE_LIMITED.with_(retry_after=1000), RateLimited),
        (Fault.HANG_AFTER_EFFECT, DeliveryUnknown),
        (Fault.HANG_CONNECT, NotSent),
    ],
)
async def test_the_sandbox_gives_each_error(fault: Fault, error: type[Exception]) -> None:
    """What users must handle can be made to happen in their own suites."""
    sandbox = Sandbox(weather=Weather.sequence([fault], repeat=True))
    async with opened(SandboxTransport(sandbox), retry=QUICK) as client:
        with pytest.raises(error):
            await client.send("sms", PHONE, TEXT)


async def test_a_text_too_long_for_a_url_is_one_rejected_row() -> None:
    """Where the dialect puts texts into the query, a huge one cannot go, and the rest can."""
    dialect = Dialect(base_url=BASE_URL, post_encoding="query")
    source = [Outgoing("sms", PHONE, "x" * 70_000), Outgoing("sms", PHONE, TEXT)]
    sandbox = Sandbox()
    async with (
        AsyncBotsClient(KEY, transport=SandboxTransport(sandbox), dialect=dialect) as client,
        client.send_many(source, concurrency=1) as outcomes,
    ):
        rejected, sent = [outcome async for outcome in outcomes]
    assert isinstance(sent, Sent)
    assert not isinstance(rejected, Sent)
    assert isinstance(rejected.error, UsageError)
    assert sandbox.delivered == 1
