"""Freeze, set_rate and the adaptive brake, as callers see them."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aldeamo_async._errors import UsageError
from aldeamo_async.limits import TokenBucket
from aldeamo_async.limits._bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Settle = Callable[[], Awaitable[None]]


async def test_freeze_and_set_rate_per_tenth_of_a_second(callers: Any) -> None:
    """1,000/s, a freeze of 0.5 s at 0.2 s, then 200/s from 0.8 s: no refill, no burst after."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(1000, initial=0)
        calls = callers(bucket, group)
        for _ in range(600):
            calls.start()
        await anyio.sleep(0.2)
        bucket.freeze(0.5)
        await anyio.sleep(0.6)
        bucket.set_rate(200)
        await anyio.sleep(0.6)
        group.cancel_scope.cancel()
    tenths = Counter(math.floor(moment * 10 + 1e-6) for moment in calls.times.values())
    counts = [tenths[k] for k in range(14)]
    assert counts[2:7] == [0, 0, 0, 0, 0]
    assert counts[:2] == [pytest.approx(100, abs=5)] * 2
    assert counts[7] == pytest.approx(100, abs=5)
    assert counts[8] == pytest.approx(22, abs=3)  # up to 5 ms of the old rate were earned already
    assert counts[9:] == [pytest.approx(20, abs=1)] * 5
    calls.assert_fifo()


async def test_trap_11_a_freeze_is_not_lifted_by_a_success(callers: Any) -> None:
    """A shorter freeze, a released permit, a new rate: none ends the pause the server asked for."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(100, 5)
        permit = bucket.try_acquire()
        assert permit is not None
        bucket.freeze(10)
        calls = callers(bucket, group)
        calls.start()
        await anyio.sleep(1)
        bucket.freeze(1)
        bucket.freeze(0)
        permit.release()
        bucket.set_rate(1000)
        assert bucket.try_acquire() is None
        assert bucket.snapshot().frozen_for == 9
    assert calls.times == {0: pytest.approx(10.001, abs=1e-4)}


async def test_a_freeze_is_capped(callers: Any) -> None:
    """A server that asks for 49 days is believed for freeze_max seconds."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(100, freeze_max=30)
        bucket.throttled(49 * 86_400.0)
        callers(bucket, group).start()
    assert anyio.current_time() == pytest.approx(30 + 1 / 70, abs=1e-3)


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
async def test_a_freeze_wants_seconds(seconds: float) -> None:
    """A negative or undefined time is the caller's mistake."""
    with pytest.raises(UsageError, match="seconds is"):
        TokenBucket(1).freeze(seconds)


async def test_a_higher_rate_is_felt_by_those_who_wait(callers: Any, settle: Settle) -> None:
    """The head re-times its sleep when the rate changes under it."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(0.001, 1, initial=0)
        calls = callers(bucket, group)
        for _ in range(3):
            calls.start()
        await anyio.sleep(1)
        bucket.set_rate(10)
    assert sorted(calls.times.values()) == pytest.approx([1.1, 1.2, 1.3], abs=1e-3)


async def test_trap_14_rate_zero_pauses_until_set_rate(callers: Any) -> None:
    """Paused for an hour, with one waiter asleep without any timer; then on as before."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(0)
        calls = callers(bucket, group)
        calls.start()
        await anyio.sleep(3600)
        assert bucket.estimate() == math.inf
        assert bucket.try_acquire() is None
        assert not calls.times
        bucket.set_rate(1)
        calls.start()
    assert calls.times == {0: 3600, 1: pytest.approx(3601)}


async def test_lifting_the_limit_serves_everybody_at_once(callers: Any, settle: Settle) -> None:
    """set_rate(inf) grants the whole line in one go."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(1)
        calls = callers(bucket, group)
        for _ in range(100):
            calls.start()
        await settle()
        bucket.set_rate(math.inf)
    assert len(calls.times) == 100
    assert anyio.current_time() == 0


async def test_a_waiter_for_more_than_the_new_burst_is_still_served(
    callers: Any, settle: Settle
) -> None:
    """Nobody is stuck for ever behind a burst that was lowered under them."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(100, 50, initial=0)
        calls = callers(bucket, group)
        calls.start(50)
        await settle()
        calls.start(1)
        await settle()
        bucket.set_rate(100, 10)
        with pytest.raises(UsageError, match="burst of 10"):
            bucket.try_acquire(50)
    assert calls.times == {0: pytest.approx(0.1), 1: pytest.approx(0.51)}


async def test_the_default_limiter_brakes_from_what_it_measured(callers: Any) -> None:
    """Unlimited, 200 calls in a second, a 429: 140/s after the freeze, and no burst."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(math.inf)
        for _ in range(200):
            await bucket.acquire()
        assert anyio.current_time() == 0
        bucket.throttled(2)
        stats = bucket.snapshot()
        assert (stats.rate, stats.effective_rate) == (math.inf, 140)
        assert (stats.frozen_for, stats.throttled, stats.tokens) == (2, 1, 0)
        calls = callers(bucket, group)
        for _ in range(1000):
            calls.start()
        await anyio.sleep(3)
        assert len(calls.times) == pytest.approx(140, abs=4)
        group.cancel_scope.cancel()


async def test_the_brake_lets_go_by_itself(callers: Any) -> None:
    """Half a minute without a refusal brings the configured rate back, with no task at work."""
    bucket = TokenBucket(100)
    bucket.throttled(1)
    assert bucket.snapshot().effective_rate == pytest.approx(70)
    await anyio.sleep(16)
    assert bucket.snapshot().effective_rate == pytest.approx(85)
    await anyio.sleep(3600)
    assert bucket.snapshot().effective_rate == 100


class Server:
    """A server's own limit: a bucket that answers 429 with Retry-After: 1."""

    def __init__(self) -> None:
        self.limit = Bucket(50, 50)
        self.accepted = 0
        self.refused = 0

    def answer(self) -> bool:
        now = anyio.current_time()
        if now >= 60 and self.limit.rate == 50:
            self.limit.set_rate(now, 20, 20)
        if self.limit.take(now, 1):
            self.accepted += 1
            return True
        self.refused += 1
        return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("configured", "most_refused"), [(200, 0.05), (60, 0.02), (math.inf, 0.05)]
)
async def test_adaptive_simulation_against_a_server_that_halves_its_limit(
    configured: float, most_refused: float
) -> None:
    """Two minutes at 50/s, then 20/s, of which nobody told us: most of it used, few refusals."""
    server = Server()
    bucket = TokenBucket(configured)

    async def worker() -> None:
        while True:
            await bucket.acquire()
            await anyio.sleep(0.05)
            if not server.answer():
                bucket.throttled(1.0)

    with anyio.move_on_after(120):
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(worker)
    share = server.refused / (server.accepted + server.refused)
    print(f"{configured:g}/s: {server.accepted} accepted of 4250, {share:.1%} refused")
    assert server.accepted >= 0.85 * 4250
    assert share <= most_refused
