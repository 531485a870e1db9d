"""Traps 10 to 16: the limiter, as a client's callers meet it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aldeamo_async import (
    DeadlineExceeded,
    Outcome,
    Phase,
    RetryPolicy,
    Sent,
    TokenBucket,
    UsageError,
)
from support.clients import (
    PHONE,
    TEXT,
    UNSENT,
    Carrier,
    drain,
    later,
    messages,
    opened,
    scripted,
    taking,
    unbraked,
    yes,
)

if TYPE_CHECKING:
    from aldeamo_async.transports import Exchange


async def test_trap_10_a_cancelled_waiter_does_not_block_the_rest() -> None:
    """The first in line is cancelled; the second goes when the first would have gone."""
    carrier = scripted()
    async with opened(carrier, limiter=TokenBucket(1, 1)) as client:
        await client.send("sms", PHONE, TEXT)
        async with anyio.create_task_group() as group:
            impatient = anyio.CancelScope()

            async def first() -> None:
                with impatient:
                    await client.send("sms", PHONE, "impatient")

            group.start_soon(first)
            await anyio.sleep(0.1)
            group.start_soon(client.send, "sms", PHONE, "patient")
            await anyio.sleep(0.1)
            impatient.cancel()
        assert client.stats().limiter.waiting == 0
    assert carrier.texts == [TEXT, "patient"]
    assert carrier.times[1] == pytest.approx(1.0, abs=0.01)


async def test_trap_11_a_pause_is_not_lifted_by_another_s_success() -> None:
    """A 429 for thirty seconds holds that long, though an older call succeeds meanwhile."""

    async def act(number: int) -> Exchange:
        await anyio.sleep(5 if number == 0 else 1)
        return later("30") if number == 1 else yes()

    carrier = Carrier(lambda number, _: act(number))
    async with (
        opened(carrier, limiter=unbraked()) as client,
        anyio.create_task_group() as group,
    ):
        for text in ("slow", "refused"):
            group.start_soon(client.send, "sms", PHONE, text)
            await anyio.sleep(0.5)
        await anyio.sleep(6)
        assert client.stats().sent == 1
        assert client.stats().limiter.frozen_for > 20
        await client.send("sms", PHONE, "after")
    assert min(carrier.times[2:]) >= 31.5


async def test_trap_12_a_large_request_is_not_starved_by_small_ones() -> None:
    """Fifty permits at once come in their turn, though single ones are asked for all the time."""
    limiter = TokenBucket(100, 50)
    async with opened(scripted(), limiter=limiter) as client, anyio.create_task_group() as group:

        async def newcomers() -> None:
            for number in range(1000):
                group.start_soon(client.send, "sms", PHONE, f"Hola {number}")
                await anyio.sleep(0.005)

        group.start_soon(newcomers)
        await anyio.sleep(1)
        began = anyio.current_time()
        await limiter.acquire(50)
        assert anyio.current_time() - began < 3


async def test_trap_13_the_first_second_is_no_burst() -> None:
    """Twenty a second from a cold start: no second, the first included, sees thirty or forty."""
    carrier = scripted()
    async with (
        opened(carrier, limiter=TokenBucket(20)) as client,
        client.send_many(messages(100), concurrency=50) as outcomes,
    ):
        await drain(outcomes)
    seconds = Counter(int(at) for at in carrier.times)
    assert max(seconds.values()) <= 21


async def test_trap_14_odd_rates_and_clocks() -> None:
    """Rate 0 waits for `set_rate`, more than the burst is refused, a clock may go backwards."""
    limiter = TokenBucket(0, 1, initial=0)
    async with opened(scripted(), limiter=limiter, deadline=5) as client:
        with pytest.raises(DeadlineExceeded) as caught:
            await client.send("sms", PHONE, TEXT)
        assert caught.value.phase is Phase.LIMITER
        async with client.send_many(messages(3)) as outcomes:
            await anyio.sleep(100)
            assert client.stats().sent == 0
            limiter.set_rate(1000)
            await drain(outcomes)
    with pytest.raises(UsageError, match="burst"):
        await TokenBucket(10, 5).acquire(6)

    now = 1000.0
    backwards = TokenBucket(10, 1, clock=lambda: now)
    assert backwards.try_acquire()
    now = 0.0
    assert backwards.try_acquire() is None
    now = 0.2
    assert backwards.try_acquire()


async def test_trap_15_waiters_do_not_all_wake_for_one_permit() -> None:
    """Five hundred in line: the clock is read a few times for each, not for each pair of them."""
    reads = 0

    def clock() -> float:
        nonlocal reads
        reads += 1
        return anyio.current_time()

    async with opened(scripted(), limiter=TokenBucket(1000, 1, clock=clock)) as client:
        async with anyio.create_task_group() as group:
            for number in range(500):
                group.start_soon(client.send, "sms", PHONE, f"Hola {number}")
        assert client.stats().sent == 500
    assert reads < 500 * 12


async def test_trap_16_everything_works_on_both_loops(anyio_backend_name: str) -> None:
    """Limiter, retries and bulk on asyncio and on trio, with the same timing."""
    carrier = Carrier(lambda number, _: UNSENT if number % 4 == 0 else yes())
    policy = RetryPolicy(attempts=20, wait=lambda _: 0.25, budget=10_000)
    found: list[Outcome] = []
    async with (
        opened(carrier, limiter=TokenBucket(4, 1), retry=policy) as client,
        client.send_many(messages(9), concurrency=3) as outcomes,
    ):
        await drain(outcomes, found)
    assert [type(outcome) for outcome in found] == [Sent] * 9
    assert anyio_backend_name in ("asyncio", "trio")
    assert anyio.current_time() >= (9 - 1) / 4


async def test_trap_10_a_cancelled_crowd_leaves_no_gap() -> None:
    """Half of a line leaves; the other half goes at the full rate."""
    carrier = taking(0)
    async with (
        opened(carrier, limiter=TokenBucket(100, 1)) as client,
        anyio.create_task_group() as staying,
        anyio.create_task_group() as leaving,
    ):
        for _ in range(100):
            leaving.start_soon(client.send, "sms", PHONE, "leaves")
            staying.start_soon(client.send, "sms", PHONE, "stays")
        for _ in range(3):
            await checkpoint()
        leaving.cancel_scope.cancel()
    assert carrier.texts.count("stays") == 100
    assert carrier.times[-1] <= len(carrier.times) / 100 + 0.05
