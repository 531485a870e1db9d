"""Deadlines: what cannot be in time is refused at once, and takes nothing."""

from __future__ import annotations

import math
import pickle
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aldeamo_async._errors import DeadlineExceeded, UsageError
from aldeamo_async._evidence import Phase
from aldeamo_async.limits import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Settle = Callable[[], Awaitable[None]]

pytestmark = pytest.mark.traced


async def test_a_wait_that_cannot_fit_fails_at_once_and_takes_nothing() -> None:
    """The error names the phase, the wait and what is left; no virtual time passes."""
    bucket = TokenBucket(0.1, 5, initial=1)
    with pytest.raises(DeadlineExceeded) as caught:
        await bucket.acquire(2.23, deadline=anyio.current_time() + 4)
    error = caught.value
    assert (error.call, error.phase) == ("rate limiter", Phase.LIMITER)
    assert error.reason == (
        "the wait for 2.23 of its permits, with 0 calls ahead, needs about 12.3 s; 4 s are left"
    )
    assert anyio.current_time() == 0
    assert bucket.snapshot().tokens == 1
    assert pickle.loads(pickle.dumps(error)).reason == error.reason  # noqa: S301


async def test_the_line_ahead_counts(callers: Any, settle: Settle) -> None:
    """A newcomer whose own permit would be quick still fails at once behind a long line."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(10, 1, initial=0)
        calls = callers(bucket, group)
        for _ in range(20):
            calls.start()
        await settle()
        with pytest.raises(
            DeadlineExceeded, match=r"20 calls ahead, needs about 2\.1 s; 2 s are left"
        ):
            await bucket.acquire(deadline=2.0)
        fits = calls.start(deadline=2.1)
        await settle()
    assert calls.times[fits] == pytest.approx(2.1)
    assert not calls.late


async def test_a_deadline_that_has_passed_fails_even_with_permits_there() -> None:
    """Yesterday's deadline takes no permit today."""
    bucket = TokenBucket(10, 5)
    await anyio.sleep(1)
    with pytest.raises(DeadlineExceeded, match=r"needs about 0 s; 0 s are left"):
        await bucket.acquire(deadline=0.5)
    assert bucket.snapshot().tokens == 5


async def test_a_deadline_that_is_not_a_number_is_refused() -> None:
    """NaN compares as neither early nor late, so it is a usage error."""
    with pytest.raises(UsageError, match="deadline is NaN"):
        await TokenBucket(10).acquire(deadline=math.nan)


async def test_a_generous_deadline_changes_nothing() -> None:
    """With time to spare, or all the time there is, acquire waits and returns."""
    bucket = TokenBucket(10, 1)
    for deadline in (100.0, math.inf, None):
        await bucket.acquire(deadline=deadline)
    assert anyio.current_time() == pytest.approx(0.2)


async def test_a_freeze_that_makes_the_wait_too_long_fails_at_the_deadline(
    callers: Any, settle: Settle
) -> None:
    """The wait fitted when it began; the freeze came later: the error comes at the deadline."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(1, 1, initial=0)
        calls = callers(bucket, group)
        late = calls.start(deadline=2)
        await settle()
        patient = calls.start()
        await anyio.sleep(0.5)
        bucket.freeze(10)
        await anyio.sleep(1.6)
        assert "needs about 10.5 s, 8.5 s of it a freeze; 0 s are left" in calls.late[late].reason
        assert bucket.snapshot().waiting == 1
    assert calls.times == {patient: pytest.approx(11.5)}


async def test_a_lower_rate_that_makes_the_wait_too_long_fails_at_the_deadline(
    callers: Any, settle: Settle
) -> None:
    """The same for set_rate, down to a pause, which has no wait to name."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(1, 1, initial=0)
        calls = callers(bucket, group)
        late = calls.start(deadline=2)
        await settle()
        bucket.set_rate(0)
    assert calls.late[late].reason == (
        "the wait for 1 of its permits, with 0 calls ahead, has no end: it is paused (rate 0); "
        "0 s are left"
    )
    assert anyio.current_time() == 2


async def test_a_paused_limiter_fails_a_deadline_at_once() -> None:
    """A pause has no known end, so no deadline fits into it."""
    with pytest.raises(DeadlineExceeded, match="paused"):
        await TokenBucket(0).acquire(deadline=1e9)
    assert anyio.current_time() == 0


async def test_a_permit_that_is_there_at_the_deadline_is_granted(
    callers: Any, settle: Settle
) -> None:
    """The head sleeps for a whole batch; a deadline in the middle of it takes what is due."""
    async with anyio.create_task_group() as group:
        calls = callers(TokenBucket(1000, initial=0), group)
        await anyio.sleep(1)
        first = calls.start()
        await settle()
        urgent = calls.start(deadline=1.003)
        await settle()
        for _ in range(50):
            calls.start()
    assert calls.times[first] == pytest.approx(1.001)
    assert calls.times[urgent] == pytest.approx(1.003)
    assert not calls.late


async def test_a_permit_that_comes_back_serves_a_deadline(callers: Any, settle: Settle) -> None:
    """The wait fitted; a released permit ends it early, and its deadline with it."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(1, 1)
        permit = await bucket.acquire()
        calls = callers(bucket, group)
        calls.start(deadline=2)
        await settle()
        permit.release()
    assert calls.times == {0: 0}


async def test_a_cancellation_beats_a_deadline(callers: Any, settle: Settle) -> None:
    """A caller with a deadline is cancelled like any other, and moves the line up."""
    async with anyio.create_task_group() as group:
        calls = callers(TokenBucket(1, 1, initial=0), group)
        calls.start(deadline=5)
        await settle()
        calls.start()
        await anyio.sleep(0.25)
        calls.cancel(0)
    assert calls.cancelled == {0: 0.25}
    assert calls.times == {1: pytest.approx(1)}


async def test_the_deadline_is_on_the_clock_that_was_given(callers: Any) -> None:
    """With a clock of its own the limiter compares the deadline with that clock."""
    bucket = TokenBucket(1, 1, initial=0, clock=lambda: anyio.current_time() + 1e6)
    with pytest.raises(DeadlineExceeded):
        await bucket.acquire(deadline=1e6 + 0.9)
    await bucket.acquire(deadline=1e6 + 1)
    assert anyio.current_time() == pytest.approx(1)
