"""Traps 1 to 9: retry and delivery. Each fell on others; each test fails without its guard."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from aldeamo_async import (
    AsyncBotsClient,
    DeliveryUnknown,
    RateLimited,
    Receipt,
    RetryPolicy,
    Timeouts,
)
from support.clients import (
    KEY,
    PHONE,
    TEXT,
    UNSENT,
    Carrier,
    answer,
    later,
    opened,
    scripted,
    taking,
    unbraked,
    yes,
)
from support.rawserver import Connection, RawServer

if TYPE_CHECKING:
    from aldeamo_async.transports import Exchange

QUICK = RetryPolicy(wait=lambda _: 0.0)


def hang_after_the_effect(connection: Connection) -> None:
    connection.read_request()
    connection.hang()


def drop_after_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.reset()


def drip(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
    while not connection.hang(0.1):
        connection.send(b" ")


@pytest.mark.real_clock
async def test_trap_01_a_send_is_not_replayed_after_a_read_timeout() -> None:
    """The answer never comes: the outcome is unknown, and the server saw one message."""
    with RawServer(hang_after_the_effect) as server:
        async with AsyncBotsClient(
            KEY, base_url=server.base_url, timeout=1.0, retry=QUICK
        ) as client:
            with pytest.raises(DeliveryUnknown):
                await client.send("sms", PHONE, TEXT)
        server.stop()
        assert server.deliveries() == 1


@pytest.mark.real_clock
@pytest.mark.parametrize("own", [False, True], ids=["lanes", "httpx"])
async def test_trap_02_a_drop_after_the_body_is_no_connect_error(*, own: bool) -> None:
    """Whatever carries it, a message whose body was sent is never called unsent."""
    options: dict[str, Any] = {"transport": httpx.AsyncHTTPTransport()} if own else {}
    with RawServer(drop_after_the_body) as server:
        async with AsyncBotsClient(KEY, base_url=server.base_url, retry=QUICK, **options) as client:
            with pytest.raises(DeliveryUnknown):
                await client.send("sms", PHONE, TEXT)
        server.stop()
        assert server.deliveries() == 1


async def test_trap_03_concurrent_retries_do_not_mix() -> None:
    """Fifty calls that fail, by two policies: each has its own number of attempts and waits."""
    seen: dict[str, int] = {}

    def act(_: int, request: Any) -> Exchange:
        text = dict(request.params)["msg"]
        seen[text] = seen.get(text, 0) + 1
        return UNSENT if seen[text] < (5 if text.startswith("patient") else 3) else yes()

    receipts: dict[str, Receipt] = {}
    policy = RetryPolicy(attempts=3, budget=10_000, wait=lambda state: 0.1 * state.attempt_number)
    patient = RetryPolicy(attempts=5, budget=10_000, wait=lambda state: 0.3 * state.attempt_number)
    async with opened(Carrier(act), retry=policy) as client:
        view = client.with_options(retry=patient)

        async def one(number: int) -> None:
            text = f"{'patient' if number % 2 else 'quick'} {number}"
            caller = view if number % 2 else client
            receipts[text] = await caller.send("sms", PHONE, text)

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(one, number)
    assert len(receipts) == 50
    for text, receipt in receipts.items():
        step, tries = (0.3, 5) if text.startswith("patient") else (0.1, 3)
        waits = [attempt.waited for attempt in receipt.attempts]
        assert waits == pytest.approx([step * number for number in range(tries)])


async def test_trap_04_a_cancellation_is_not_retried() -> None:
    """A cancelled call ends at once, on the wire and between attempts; nothing more is sent."""
    for carrier in (taking(100), scripted(*[UNSENT] * 9)):
        policy = RetryPolicy(wait=lambda _: 50.0)
        async with opened(carrier, retry=policy, deadline=1000) as client:
            began = anyio.current_time()
            with anyio.move_on_after(5) as scope:
                await client.send("sms", PHONE, TEXT)
            assert scope.cancelled_caught
            assert anyio.current_time() - began == pytest.approx(5)
        assert len(carrier.requests) == 1


def test_trap_04_a_native_cancellation_of_asyncio_is_not_retried() -> None:
    """`task.cancel()` comes only once: who swallows it has lost it, and goes on sending."""
    carrier = taking(100)

    async def main() -> None:
        async with opened(carrier, retry=QUICK) as client:
            task = asyncio.create_task(client.send("sms", PHONE, TEXT))
            for _ in range(20):
                await asyncio.sleep(0)
            assert carrier.in_flight == 1
            task.cancel()
            await asyncio.wait([task], timeout=5)
            assert task.cancelled()

    asyncio.run(main())
    assert len(carrier.requests) == 1


@pytest.mark.parametrize("form", ["20", "20.0", "date"])
async def test_trap_05_retry_after_is_read_in_every_form(form: str) -> None:
    """Seconds, decimals and dates are waited for; 49 days are not."""
    now = datetime.now(UTC).replace(microsecond=0)
    if form == "date":
        form = format_datetime(now + timedelta(seconds=20), usegmt=True)
    refusal = answer(429, b"", ("Retry-After", form), ("Date", format_datetime(now, usegmt=True)))
    carrier = scripted(refusal, yes(), later("4233600"))
    async with opened(carrier, retry=QUICK, limiter=unbraked()) as client:
        await client.send("sms", PHONE, TEXT)
        assert carrier.times == [0.0, 20.0]
        with pytest.raises(RateLimited) as caught:
            await client.send("sms", PHONE, TEXT)
        assert anyio.current_time() == 20.0
    assert caught.value.retry_after == 4233600


async def test_trap_06_a_wait_above_the_cap_is_not_replaced_by_a_short_one() -> None:
    """The server said an hour: one request, the hour in the error, no second try in a second."""
    carrier = scripted(later("3600"))
    async with opened(carrier, retry=QUICK, deadline=10_000, limiter=unbraked()) as client:
        with pytest.raises(RateLimited) as caught:
            await client.send("sms", PHONE, TEXT)
    assert caught.value.retry_after == 3600
    assert len(carrier.requests) == 1
    assert "3600 s" in str(caught.value)


@pytest.mark.real_clock
async def test_trap_07_a_dripping_answer_does_not_beat_the_deadline() -> None:
    """Each drip restarts the read time-out; the call ends at its deadline all the same."""
    with RawServer(drip) as server:
        async with AsyncBotsClient(
            KEY, base_url=server.base_url, timeout=0.5, deadline=1, retry=QUICK
        ) as client:
            began = anyio.current_time()
            with pytest.raises(DeliveryUnknown):
                await client.send("sms", PHONE, TEXT)
            assert anyio.current_time() - began < 20  # drip by drip it would take 1,000 s


@pytest.mark.parametrize(
    "error",
    [
        ssl.SSLError(1, "bad record"),
        anyio.EndOfStream(),
        anyio.BrokenResourceError(),
        OSError(5, "x"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_trap_08_what_slips_through_httpx_is_the_network_s(error: Exception) -> None:
    """These escape httpx as they are; a send is unknown, and no strange exception comes out."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    async with opened(httpx.MockTransport(handler), retry=QUICK) as client:
        with pytest.raises(DeliveryUnknown):
            await client.send("sms", PHONE, TEXT)


async def test_trap_09_a_programming_error_is_no_network_error() -> None:
    """A TypeError is raised as a TypeError, once, and is not retried into something else."""
    calls = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise TypeError("a bug")

    async with opened(httpx.MockTransport(handler), retry=QUICK) as client:
        with pytest.raises(TypeError, match="a bug"):
            await client.users("whatsapp")
    assert calls == 1


def test_trap_07_the_phases_have_timeouts_of_their_own() -> None:
    """The deadline does not replace the time-outs of connect, write and read."""
    assert Timeouts() == Timeouts(connect=5.0, read=30.0, write=10.0, total=None)
