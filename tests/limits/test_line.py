"""Who waits, who is granted, and what a cancellation leaves behind."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aldeamo_async._errors import UsageError
from aldeamo_async.limits import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Settle = Callable[[], Awaitable[None]]


async def test_an_uncontended_acquire_yields_to_other_tasks() -> None:
    """A loop of granted acquires cannot starve the event loop."""
    bucket = TokenBucket(math.inf)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        for _ in range(100):
            await bucket.acquire()
        group.cancel_scope.cancel()
    assert turns >= 99


async def test_permits_come_at_the_rate(callers: Any) -> None:
    """At 10/s with a burst of 1, the k-th of 30 calls is granted k tenths of a second in."""
    async with anyio.create_task_group() as group:
        calls = callers(TokenBucket(10, 1), group)
        for _ in range(30):
            calls.start()
    assert [calls.times[number] for number in calls.arrivals] == pytest.approx(
        [k / 10 for k in range(30)], abs=1e-5
    )


async def test_first_come_first_served(callers: Any) -> None:
    """Two hundred calls of mixed sizes are granted in the order in which they were made."""
    async with anyio.create_task_group() as group:
        calls = callers(TokenBucket(100, 10, initial=0), group)
        for number in range(200):
            calls.start(1 + number % 7)
    assert len(calls.served) == 200
    calls.assert_fifo()
    total = sum(calls.amounts.values())
    assert anyio.current_time() == pytest.approx(total / 100, abs=1e-3)


async def test_a_call_made_first_is_granted_first_even_before_it_ran(
    callers: Any, settle: Settle
) -> None:
    """The last permit of an idle bucket goes to the first call, whatever order tasks run in."""
    for _ in range(20):
        async with anyio.create_task_group() as group:
            calls = callers(TokenBucket(10, 1), group)
            for _ in range(5):
                calls.start()
            await settle()
            assert calls.served == calls.arrivals[:1]
            group.cancel_scope.cancel()


async def test_trap_12_a_large_request_is_not_starved_by_small_ones(callers: Any) -> None:
    """acquire(50) among twenty loops of acquire(1): granted after 0.7 s, not after 2.8 s."""
    bucket = TokenBucket(100, 50, initial=0)

    async def loop() -> None:
        while True:
            await bucket.acquire()

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(loop)
        await anyio.sleep(1.0)
        before = anyio.current_time()
        await bucket.acquire(50)
        assert anyio.current_time() - before <= (50 + 20) / 100 + 0.01
        group.cancel_scope.cancel()


async def test_nobody_barges_past_the_line(callers: Any, settle: Settle) -> None:
    """While a large request waits, a small one queues behind it though its permit is there."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(10, 10, initial=5)
        calls = callers(bucket, group)
        calls.start(8)
        await settle()
        assert bucket.snapshot().tokens == 5
        assert bucket.try_acquire() is None
        calls.start(1)
        await settle()
        assert not calls.times
        await anyio.sleep(0.45)
        assert calls.times == {0: pytest.approx(0.3), 1: pytest.approx(0.4)}
        assert bucket.try_acquire(3) is None
        assert bucket.try_acquire(0.4) is not None


async def test_trap_04_a_cancelled_acquire_stays_cancelled(callers: Any, settle: Settle) -> None:
    """Cancellation comes out of acquire at once, is never retried, and took nothing."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(1, 1, initial=0)
        calls = callers(bucket, group)
        calls.start()
        await settle()
        calls.cancel(0)
        await settle()
        assert calls.cancelled == {0: anyio.current_time()}
        stats = bucket.snapshot()
        assert (stats.waiting, stats.granted, stats.refunded) == (0, 0, 0)


async def test_an_acquire_in_a_cancelled_scope_takes_nothing() -> None:
    """The uncontended way is a cancellation point too, and gives back what it had taken."""
    bucket = TokenBucket(10, 5)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await bucket.acquire(3)
    assert scope.cancelled_caught
    stats = bucket.snapshot()
    assert (stats.tokens, stats.granted, stats.refunded) == (5, 0, 0)


async def test_a_permit_given_back_by_a_cancelled_call_goes_to_the_next_in_line(
    callers: Any, settle: Settle
) -> None:
    """A call cancelled in its first moment hands its permit to whoever queued behind it."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(0.001, 1)
        calls = callers(bucket, group)

        async def first() -> None:
            with anyio.CancelScope() as scope:
                calls.start()
                await checkpoint()
                scope.cancel()
                await bucket.acquire()

        await first()
        await settle()
        assert bucket.snapshot().granted == 1
        calls.cancel(0)


async def test_trap_10_a_cancelled_waiter_does_not_block_those_behind_it(
    callers: Any, settle: Settle
) -> None:
    """The head is cancelled: the next takes over the timer and is granted at the head's time."""
    async with anyio.create_task_group() as group:
        calls = callers(TokenBucket(1, 1, initial=0), group)
        calls.start()
        await settle()
        calls.start()
        await anyio.sleep(0.5)
        calls.cancel(0)
    assert calls.times == {1: pytest.approx(1.0, abs=1e-5)}


async def test_a_large_head_that_is_cancelled_frees_what_was_saved_for_it(
    callers: Any, settle: Settle
) -> None:
    """Permits that were piling up for acquire(10) go at once to the small calls behind it."""
    async with anyio.create_task_group() as group:
        calls = callers(TokenBucket(10, 10, initial=0), group)
        calls.start(10)
        await settle()
        for _ in range(4):
            calls.start(1)
        await anyio.sleep(0.45)
        calls.cancel(0)
        await settle()
        assert sorted(calls.times.values()) == [0.45] * 4


async def test_a_permit_granted_to_a_call_that_is_being_cancelled_goes_on(
    callers: Any, settle: Settle
) -> None:
    """Cancelled, then granted before the task runs: nothing is lost, the next in line has it."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(0, 2)
        calls = callers(bucket, group)
        for _ in range(3):
            calls.start()
            await settle()
        calls.cancel(0)
        bucket.set_rate(1e-6, 2)  # pays out the two permits of the bucket, synchronously
        assert bucket.snapshot().granted == 2
        await settle()
        assert calls.served == [1, 2]
        assert calls.cancelled.keys() == {0}
        assert (bucket.snapshot().granted, bucket.snapshot().waiting) == (2, 0)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_granted_call_that_asyncio_cancels_before_it_runs_gives_its_permit_on() -> None:
    """A native `Task.cancel()` hits even a task whose permit is already granted: it is refunded."""
    bucket = TokenBucket(0, 2)
    tasks = [asyncio.create_task(bucket.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    bucket.set_rate(1e-6, 2)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert [type(result).__name__ for result in results[1:]] == ["Granted", "Granted"]
    assert (bucket.snapshot().granted, bucket.snapshot().refunded) == (2, 0)


async def test_half_of_a_thousand_waiters_cancelled_leaves_no_gap(callers: Any) -> None:
    """500 of 1,000 give up at 1,000/s; the others finish when 500 alone would have."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(1000, initial=0)
        calls = callers(bucket, group)
        for _ in range(1000):
            calls.start()
        await anyio.sleep(0.05)
        served = set(calls.times)
        assert 45 <= len(served) <= 50
        gone = [number for number in calls.arrivals if number not in served][::2]
        for number in gone:
            calls.cancel(number)
    assert len(calls.times) == 1000 - len(gone)
    assert anyio.current_time() == pytest.approx((1000 - len(gone)) / 1000, abs=0.002)
    calls.assert_fifo()
    assert bucket.snapshot().granted == len(calls.times)


async def test_cancelling_every_waiter_leaves_nothing_behind(callers: Any, settle: Settle) -> None:
    """During a long freeze 2,000 calls come and are cancelled: the line is empty at once."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(1000)
        bucket.freeze(60)
        calls = callers(bucket, group)
        for _ in range(2000):
            calls.start()
        await settle()
        assert bucket.snapshot().waiting == 2000
        for number in range(2000):
            calls.cancel(number)
        await settle()
        stats = bucket.snapshot()
        assert (stats.waiting, stats.oldest_wait, stats.granted) == (0, 0, 0)
        assert bucket.estimate() == pytest.approx(60.001)
    assert anyio.current_time() == 0


async def test_trap_15_one_timer_and_no_thundering_wake_ups(callers: Any, settle: Settle) -> None:
    """A thousand waiters, frozen for a minute: nobody wakes; then three clock readings a grant."""
    readings = 0

    def clock() -> float:
        nonlocal readings
        readings += 1
        return anyio.current_time()

    async with anyio.create_task_group() as group:
        bucket = TokenBucket(100, 1, initial=0, clock=clock)
        calls = callers(bucket, group)
        bucket.freeze(60)
        for _ in range(1000):
            calls.start()
        await settle()
        asleep = readings
        await anyio.sleep(59.9)
        assert readings == asleep
        await anyio.sleep(10.2)
        assert len(calls.times) == 1000
        assert readings - asleep <= 3 * 1000


async def test_at_a_high_rate_one_timer_serves_a_batch(callers: Any, settle: Settle) -> None:
    """10,000/s to a thousand waiters: fifty per wake-up, and done in a tenth of a second."""
    async with anyio.create_task_group() as group:
        calls = callers(TokenBucket(10_000, initial=0), group)
        for _ in range(1000):
            calls.start()
    assert anyio.current_time() == pytest.approx(0.1, abs=1e-4)
    assert len(set(calls.times.values())) == 1 + 20  # the first was alone when it began to wait
    calls.assert_fifo()


async def test_a_lone_waiter_does_not_wait_for_a_batch(callers: Any) -> None:
    """Batches are for long lines: a single call is granted when its permit is there."""
    async with anyio.create_task_group() as group:
        calls = callers(TokenBucket(1000, initial=0), group)
        calls.start()
    assert calls.times == {0: pytest.approx(0.001, abs=1e-5)}


async def test_trap_13_the_first_second_gets_the_rate_and_hardly_more(callers: Any) -> None:
    """Smooth by default: at 50/s a full bucket lets 51 through in the first second, not 100."""
    async with anyio.create_task_group() as group:
        calls = callers(TokenBucket(50), group)
        for _ in range(200):
            calls.start()
        await anyio.sleep(0.999)
        assert len(calls.times) == 50
        group.cancel_scope.cancel()
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(50, 50)
        assert sum(bucket.try_acquire() is not None for _ in range(200)) == 50
        group.cancel_scope.cancel()


@pytest.mark.parametrize("n", [0, -1, math.nan, math.inf, 5.5, 1e9])
async def test_trap_14_more_than_the_burst_or_not_a_number_is_refused(n: float) -> None:
    """What could never be granted is a usage error at once, instead of a wait without end."""
    bucket = TokenBucket(10, 5)
    with pytest.raises(UsageError, match="at most the burst of 5"):
        await bucket.acquire(n)
    for ask in (bucket.try_acquire, bucket.estimate):
        with pytest.raises(UsageError, match="larger burst"):
            ask(n)
    assert bucket.snapshot().tokens == 5


async def test_trap_14_an_infinite_burst_still_wants_a_finite_number() -> None:
    """Unlimited grants any number of permits, and infinity is not a number of permits."""
    bucket = TokenBucket(math.inf)
    await bucket.acquire(1e300)
    with pytest.raises(UsageError):
        await bucket.acquire(math.inf)


async def test_trap_14_a_clock_that_goes_backwards_hurts_nobody(callers: Any) -> None:
    """With a clock that jumps back while calls wait, all are served, no number is negative."""
    offset = 0.0

    def clock() -> float:
        return anyio.current_time() + offset

    async with anyio.create_task_group() as group:
        bucket = TokenBucket(10, 1, clock=clock)
        calls = callers(bucket, group)
        for _ in range(20):
            calls.start()
        await anyio.sleep(0.55)
        offset = -1000.0
        assert bucket.snapshot().oldest_wait == 0
        await anyio.sleep(0.1)
        assert bucket.snapshot().tokens >= 0
    assert len(calls.times) == 20
    assert anyio.current_time() <= 2.2


async def test_estimate_counts_those_who_wait(callers: Any, settle: Settle) -> None:
    """A newcomer is told the whole wait: the line ahead, its own permits, and the freeze."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(10, 5)
        assert bucket.estimate(5) == 0
        calls = callers(bucket, group)
        for _ in range(25):
            calls.start()
        await settle()
        assert bucket.estimate() == pytest.approx(2.1)
        bucket.freeze(3)
        assert bucket.estimate() == pytest.approx(5.1)
        told = bucket.estimate()
        newcomer = calls.start()
    assert calls.times[newcomer] == pytest.approx(told, abs=1e-4)


async def test_snapshot_tells_who_waits_and_for_how_long(callers: Any, settle: Settle) -> None:
    """The numbers of a limiter in use, all of them."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(10, 5)
        calls = callers(bucket, group)
        for _ in range(7):
            calls.start()
        await settle()
        bucket.freeze(30)
        await anyio.sleep(2)
        stats = bucket.snapshot()
        assert (stats.rate, stats.effective_rate, stats.burst, stats.tokens) == (10, 10, 5, 0)
        assert (stats.waiting, stats.oldest_wait, stats.frozen_for) == (2, 2, 28)
        assert (stats.granted, stats.refunded, stats.throttled) == (5, 0, 0)
        assert repr(bucket) == "<TokenBucket 10/s, burst 5, 2 waiting>"
        bucket.throttled(1)
        assert repr(bucket) == "<TokenBucket 10/s (braked to 7/s), burst 5, 2 waiting>"
        group.cancel_scope.cancel()
