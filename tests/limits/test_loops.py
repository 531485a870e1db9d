"""Event loops: built without one, used on any, never by two at once."""

from __future__ import annotations

import copy
import math
import pickle
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import aldeamo_async.limits
from aldeamo_async._errors import UsageError
from aldeamo_async.limits import LimiterStats, RateLimiter, TokenBucket
from support.clocks import virtual_backend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Settle = Callable[[], Awaitable[None]]

BUILT_AT_IMPORT = TokenBucket(10, 2)


def run(function: Callable[..., Awaitable[Any]], *args: Any, backend: str = "asyncio") -> Any:
    name, options = virtual_backend(backend)
    return anyio.run(function, *args, backend=name, backend_options=options)


async def test_a_limiter_built_at_import_works_on_any_loop(callers: Any) -> None:
    """Nothing binds to a loop before the first use; nor after the last waiter is gone."""
    async with anyio.create_task_group() as group:
        calls = callers(BUILT_AT_IMPORT, group)
        for _ in range(10):
            calls.start()
    assert len(calls.times) == 10
    assert anyio.current_time() <= 1.0


@pytest.mark.parametrize("order", [("asyncio", "trio"), ("trio", "asyncio"), ("asyncio",) * 2])
def test_trap_16_one_loop_after_another(order: tuple[str, str]) -> None:
    """The same bucket serves asyncio, then trio, then asyncio; each run queues and is granted."""
    bucket = TokenBucket(10, 1)

    async def use() -> float:
        start = anyio.current_time()
        for _ in range(5):
            await bucket.acquire()
        return anyio.current_time() - start

    for backend in order:
        assert 0.4 <= run(use, backend=backend) <= 0.51


def test_outside_of_a_loop_time_stands_still() -> None:
    """Looking at a limiter, or changing its rate, needs no loop; numbers are of the last use."""
    bucket = TokenBucket(10, 5, initial=1)
    assert bucket.snapshot().tokens == 1
    assert bucket.estimate(3) == pytest.approx(0.2)
    bucket.set_rate(20)
    assert bucket.estimate(3) == pytest.approx(0.1)
    permit = bucket.try_acquire()
    assert permit is not None
    assert bucket.try_acquire() is None
    permit.release()
    run(bucket.acquire)
    assert bucket.snapshot().tokens == 0


def test_what_counts_from_now_says_that_there_is_no_now_outside_of_a_loop() -> None:
    """freeze and throttled need a clock: the error says which two ways there are."""
    bucket = TokenBucket(10)
    with pytest.raises(UsageError, match=r"^freeze\(\) counts .*clock=time\.monotonic"):
        bucket.freeze(1)
    with pytest.raises(UsageError, match=r"^throttled\(\)"):
        bucket.throttled(1)
    assert bucket.snapshot().throttled == 0


def test_with_its_own_clock_everything_but_waiting_works_without_a_loop() -> None:
    """clock= takes any function of seconds."""
    now = 100.0
    bucket = TokenBucket(10, 5, clock=lambda: now)
    assert bucket.try_acquire(5)
    now = 100.3
    assert bucket.snapshot().tokens == pytest.approx(3)
    bucket.throttled(4)
    assert bucket.snapshot().frozen_for == 4


async def test_trap_19_a_second_event_loop_is_refused_while_calls_wait(
    callers: Any, settle: Settle
) -> None:
    """From another loop, or from none: a usage error where it would wake them, a look where not."""
    async with anyio.create_task_group() as group:
        bucket = TokenBucket(0.1, 1)
        permit = await bucket.acquire()
        calls = callers(bucket, group)
        calls.start()
        await settle()
        seen: list[str] = []

        async def from_another_loop() -> None:
            with pytest.raises(UsageError, match=r"calls of another event loop \(1\)"):
                await bucket.acquire()
            intrude()

        def intrude() -> None:
            for act in (
                lambda: bucket.freeze(1),
                lambda: bucket.throttled(1),
                lambda: bucket.set_rate(5),
                permit.release,
            ):
                with pytest.raises(UsageError, match="use one limiter per event loop"):
                    act()
            assert bucket.try_acquire() is None
            assert bucket.snapshot().waiting == 1
            assert bucket.estimate() == pytest.approx(20)
            seen.append(threading.current_thread().name)

        for target in (lambda: run(from_another_loop, backend="trio"), intrude):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
        assert len(seen) == 2
        assert bucket.snapshot().waiting == 1
        permit.release()
    assert calls.times == {0: 0}


def test_a_token_bucket_is_neither_copied_nor_pickled() -> None:
    """A copy would grant the same permits twice: the error says what to do instead."""
    bucket = TokenBucket(10)
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(UsageError, match="neither copied nor pickled"):
            duplicate(bucket)


def test_its_numbers_pickle_and_compare() -> None:
    """LimiterStats is a plain frozen value."""
    stats = TokenBucket(10).snapshot()
    assert pickle.loads(pickle.dumps(stats)) == copy.deepcopy(stats) == stats  # noqa: S301
    assert stats == LimiterStats(
        rate=10,
        effective_rate=10,
        burst=1,
        tokens=1,
        waiting=0,
        oldest_wait=0,
        frozen_for=0,
        granted=0,
        refunded=0,
        throttled=0,
    )


def test_a_token_bucket_is_a_rate_limiter() -> None:
    """The port is checked at run time, and by the type checker."""
    limiter: RateLimiter = TokenBucket(math.inf)
    assert isinstance(limiter, RateLimiter)
    assert not isinstance(object(), RateLimiter)


def test_the_door_is_sorted() -> None:
    """Its public names read like an index."""
    names = aldeamo_async.limits.__all__
    assert names == sorted(names)
    assert {"LimiterStats", "Permit", "RateLimiter", "TokenBucket"} < set(names)
