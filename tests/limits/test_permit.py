"""Permits that were never used come back, once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aldeamo_async.limits import Permit, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Settle = Callable[[], Awaitable[None]]


async def test_a_released_permit_comes_back_once() -> None:
    """release() returns the permits; a second call does nothing."""
    bucket = TokenBucket(10, 5)
    permit = await bucket.acquire(3)
    assert isinstance(permit, Permit)
    assert repr(permit) == "<Permit 3>"
    for _ in range(3):
        permit.release()
        stats = bucket.snapshot()
        assert (stats.tokens, stats.granted, stats.refunded) == (5, 3, 3)
    assert repr(permit) == "<Permit 3 released>"


async def test_a_released_permit_goes_to_the_next_in_line_at_once(
    callers: Any, settle: Settle
) -> None:
    """Whoever waits for it does not sleep out the timer."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(0.001, 2)
        permit = await bucket.acquire(2)
        calls = callers(bucket, group)
        for _ in range(2):
            calls.start()
        await settle()
        permit.release()
    assert len(calls.times) == 2
    assert anyio.current_time() == 0


async def test_a_partial_refund_shortens_the_wait_of_the_head(callers: Any, settle: Settle) -> None:
    """Half of what the head needs comes back: it is granted after the other half's time."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(1, 4)
        first, _second = await bucket.acquire(2), await bucket.acquire(2)
        calls = callers(bucket, group)
        calls.start(4)
        await settle()
        first.release()
    assert calls.times == {0: pytest.approx(2)}


async def test_a_permit_from_before_a_freeze_is_worth_nothing_after_it() -> None:
    """Two hundred permits given back in a freeze cannot become a burst after it."""
    bucket = TokenBucket(1000, 200)
    permits = [await bucket.acquire() for _ in range(200)]
    bucket.freeze(1)
    for permit in permits[:100]:
        permit.release()
    await anyio.sleep(1)
    for permit in permits[100:]:
        permit.release()
    stats = bucket.snapshot()
    assert (stats.tokens, stats.granted, stats.refunded) == (0, 200, 200)


async def test_a_refund_does_not_overfill() -> None:
    """A permit released after the bucket filled up again adds nothing."""
    bucket = TokenBucket(10, 5)
    permit = await bucket.acquire(5)
    await anyio.sleep(10)
    permit.release()
    assert bucket.snapshot().tokens == 5


async def test_permits_of_an_unlimited_bucket_can_be_released() -> None:
    """There is nothing to fill, and nothing breaks."""
    bucket = TokenBucket(math.inf)
    (await bucket.acquire(7)).release()
    stats = bucket.snapshot()
    assert (stats.tokens, stats.granted, stats.refunded) == (math.inf, 7, 7)
