"""A shared limit as its callers see it: several limiters, one account, on virtual clocks."""

from __future__ import annotations

import copy
import logging
import math
import os
import pickle
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aldeamo_async._errors import DeadlineExceeded, UsageError
from aldeamo_async.limits import LimitStore, MemoryStore, RateLimiter, SharedTokenBucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Settle = Callable[[], Awaitable[None]]

GRACE = 0.02  # seconds by which a slot may be used late


def make(store: LimitStore, rate: float = 100, burst: float | None = None, **more: Any) -> Any:
    return SharedTokenBucket(store, rate, burst, clock=anyio.current_time, **more)


class Crowd:
    """Tasks that take permits from several limiters for as long as they are let."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.by: dict[int, int] = {}

    async def loop(self, limiter: RateLimiter, n: float = 1) -> None:
        while True:
            await limiter.acquire(n)
            self.times.append(anyio.current_time())
            self.by[id(limiter)] = self.by.get(id(limiter), 0) + 1

    async def run(self, limiters: list[Any], seconds: float, tasks: int = 3) -> None:
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                for limiter in limiters:
                    for _ in range(tasks):
                        group.start_soon(self.loop, limiter)

    def between(self, start: float, end: float) -> int:
        return bisect_left(self.times, end) - bisect_left(self.times, start)


def test_it_keeps_the_promises_of_a_limiter() -> None:
    """It has every method of the port, needs no loop to be built, and says what it is."""
    limiter = SharedTokenBucket(MemoryStore(), 50, name="acme")
    assert isinstance(limiter, RateLimiter)
    assert repr(limiter) == "<SharedTokenBucket 'acme' in memory: 50/s, burst 1, 0 waiting>"
    stats = limiter.snapshot()
    assert (stats.rate, stats.workers, stats.round_trips, stats.trouble) == (50, 0, 0, "")
    assert pickle.loads(pickle.dumps(stats)) == stats  # noqa: S301


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy, pickle.dumps])
def test_it_is_neither_copied_nor_pickled(act: Callable[[Any], Any]) -> None:
    """Two copies would use the same slots twice; the error says what to do instead."""
    with pytest.raises(UsageError, match="Build one in every process"):
        act(SharedTokenBucket(MemoryStore(), 5))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"on_store_error": "open"}, "'degrade' or 'closed'"),
        ({"name": ""}, "give the limit a name"),
        ({"name": 5}, "give the limit a name"),
        ({"freeze_max": -1}, "freeze_max"),
    ],
)
def test_bad_options_are_refused(wrong: dict[str, Any], said: str) -> None:
    """A usage error names the option and what would do."""
    with pytest.raises(UsageError, match=said):
        SharedTokenBucket(MemoryStore(), 5, **wrong)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "workers"), [(3, 1), (3, 3), (20, 3), (500, 1), (500, 3), (2_000, 3)]
)
async def test_all_together_get_the_rate(rate: float, workers: int) -> None:
    """One limiter or three: exactly the rate, no second above it by more than the burst."""
    store, crowd = MemoryStore(), Crowd()
    limiters = [make(store, rate) for _ in range(workers)]
    await crowd.run(limiters, 6.0)
    burst = max(1.0, rate * 0.02)
    assert crowd.between(1.0, 6.0) == pytest.approx(5 * rate, rel=0.01, abs=1)
    worst = max(crowd.between(t, t + 1) for t in crowd.times[:: max(1, len(crowd.times) // 500)])
    assert worst <= 1.02 * rate + burst
    if rate >= 20:
        shares = sorted(crowd.by.values())
        assert shares[-1] <= 1.3 * shares[0] + 2
    assert sum(limiter.snapshot().forfeited for limiter in limiters) <= 2 * workers


async def test_a_busy_account_costs_few_round_trips() -> None:
    """At 5,000/s three limiters need at most 0.03 round trips for a permit."""
    store, crowd = MemoryStore(), Crowd()
    await crowd.run([make(store, 5_000) for _ in range(3)], 1.5)
    assert store.exchanges / len(crowd.times) <= 0.03


async def test_a_quiet_worker_takes_little_from_a_busy_one() -> None:
    """One message each half second beside a full load: it waits briefly, and wastes nothing."""
    store, crowd = MemoryStore(), Crowd()
    busy, quiet = make(store, 1_000), make(store, 1_000)
    waits: list[float] = []

    async def now_and_then() -> None:
        while True:
            await anyio.sleep(0.5)
            began = anyio.current_time()
            await quiet.acquire()
            waits.append(anyio.current_time() - began)

    async with anyio.create_task_group() as group:
        group.start_soon(now_and_then)
        await crowd.run([busy], 5.0)
        group.cancel_scope.cancel()
    assert len(waits) >= 7
    assert max(waits) <= 0.45
    assert quiet.snapshot().forfeited <= 1
    assert crowd.between(1.0, 5.0) >= 3_900


async def test_a_slow_account_serves_all_in_turn() -> None:
    """At 2/s four limiters get the same, though one is asked first every time."""
    store, crowd = MemoryStore(), Crowd()
    await crowd.run([make(store, 2) for _ in range(4)], 20.0, tasks=1)
    assert len(crowd.times) == pytest.approx(40, abs=2)
    assert min(crowd.by.values()) >= 8


async def test_calls_are_served_in_their_order(callers: Any, settle: Settle) -> None:
    """First come, first served; a cancelled call took nothing, and the next moves up."""
    async with anyio.create_task_group() as group:
        limiter = make(MemoryStore(), 10, 3)
        calls = callers(limiter, group)
        for n in (3, 1, 1, 2, 1):
            calls.start(n)
            await settle()
        assert limiter.snapshot().waiting == 4
        calls.cancel(2)
        await anyio.sleep(1.0)
        assert limiter.snapshot().granted == 7
    calls.assert_fifo()
    assert calls.served == [0, 1, 3, 4]
    assert calls.times == pytest.approx({0: 0, 1: 0.1, 3: 0.3, 4: 0.4}, abs=0.02)


@pytest.mark.parametrize("ticks", range(8))
async def test_a_call_cancelled_at_any_moment_took_nothing(ticks: int, callers: Any) -> None:
    """Whatever the tick, the permits of a cancelled call go to the next."""
    async with anyio.create_task_group() as group:
        limiter = make(MemoryStore(), 10, 1)
        calls = callers(limiter, group)
        first, second = calls.start(), calls.start()
        for _ in range(ticks):
            await anyio.lowlevel.checkpoint()
        calls.cancel(first)
        await anyio.sleep(0.5)
    assert second in calls.times
    assert limiter.snapshot().granted == len(calls.times)


async def test_a_deadline_that_cannot_be_met_is_refused_at_once(settle: Settle) -> None:
    """The wait is known to be too long: nothing is taken, and the error says why."""
    limiter = make(MemoryStore(), 10, 1)
    await limiter.acquire()
    start = anyio.current_time()
    with pytest.raises(DeadlineExceeded, match=r"about 0\.1 s"):
        await limiter.acquire(deadline=start + 0.05)
    with pytest.raises(UsageError, match="NaN"):
        await limiter.acquire(deadline=math.nan)
    assert anyio.current_time() == start
    await limiter.acquire(deadline=start + 0.2)
    assert limiter.snapshot().granted == 2


async def test_a_deadline_may_pass_because_others_came_first() -> None:
    """What looked possible ends at the deadline, with nothing taken."""
    store = MemoryStore()
    slow, quick = make(store, 1, 1), make(store, 1, 1)
    await quick.acquire()
    async with anyio.create_task_group() as group:
        group.start_soon(quick.acquire)
        await anyio.sleep(0.9)
        with pytest.raises(DeadlineExceeded):
            await slow.acquire(deadline=anyio.current_time() + 0.5)
    assert anyio.current_time() == pytest.approx(1.4)
    assert slow.snapshot().granted == 0


async def test_try_acquire_never_waits() -> None:
    """A permit that is there, or `None`; never ahead of those who wait."""
    limiter = make(MemoryStore(), 10, 2)
    assert limiter.try_acquire(2) is not None
    assert limiter.try_acquire() is None
    await anyio.sleep(0.1)
    assert limiter.try_acquire() is not None
    async with anyio.create_task_group() as group:
        group.start_soon(limiter.acquire)
        await anyio.lowlevel.checkpoint()
        assert limiter.try_acquire() is None
    for wrong in (0, 3, math.nan):
        with pytest.raises(UsageError, match="at most the burst of 2"):
            limiter.try_acquire(wrong)


async def test_a_permit_given_back_is_used_again_while_it_is_fresh() -> None:
    """It keeps its date: soon after it is worth a permit, later nothing, and twice is once."""
    limiter = make(MemoryStore(), 10, 2)
    first, second = await limiter.acquire(), await limiter.acquire()
    first.release()
    first.release()
    assert limiter.estimate() == 0
    assert limiter.try_acquire() is not None
    await anyio.sleep(0.3)
    second.release()
    assert limiter.snapshot().tokens == 0
    assert limiter.snapshot().refunded == 2


async def test_the_estimate_is_what_a_newcomer_waits() -> None:
    """Nothing at first, then one step for each that goes before."""
    limiter = make(MemoryStore(), 10, 1)
    assert limiter.estimate() == 0
    await limiter.acquire()
    assert limiter.estimate() == pytest.approx(0.1)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(limiter.acquire)
        await anyio.sleep(0.05)
        assert limiter.estimate() == pytest.approx(0.35)
        began = anyio.current_time()
        await limiter.acquire()
        assert anyio.current_time() - began == pytest.approx(0.35)


async def test_a_freeze_holds_for_all() -> None:
    """Here at once, elsewhere within 0.3 s; nothing until its end, and no burst after it."""
    store, crowd, other = MemoryStore(), Crowd(), Crowd()
    first, second = make(store, 200), make(store, 200)
    async with anyio.create_task_group() as group:
        group.start_soon(crowd.run, [first], 8.0)
        group.start_soon(other.run, [second], 8.0)
        await anyio.sleep(2.0)
        first.freeze(3.0)
        assert first.snapshot().frozen_for == 3.0
        first.freeze(1.0)
        await anyio.sleep(1.0)
        assert second.snapshot().frozen_for == pytest.approx(2.0, abs=0.01)
    assert crowd.between(2.0 + 1e-9, 5.0) == 0
    assert other.between(2.3, 5.0) == 0
    assert crowd.between(5.0, 5.1) + other.between(5.0, 5.1) <= 0.12 * 200 + 1
    assert crowd.between(6.0, 8.0) + other.between(6.0, 8.0) == pytest.approx(400, abs=8)


async def test_a_freeze_reaches_a_slot_that_was_promised_early() -> None:
    """At one message each two seconds, the holder of a distant slot still hears of the freeze."""
    store = MemoryStore()
    first, second = make(store, 0.5), make(store, 0.5)
    await first.acquire()
    done: list[float] = []

    async def take(limiter: RateLimiter) -> None:
        await limiter.acquire()
        done.append(anyio.current_time())

    async with anyio.create_task_group() as group:
        group.start_soon(take, second)
        await anyio.sleep(1.85)  # the slot at 2.0 is held by now
        first.freeze(10.0)
    assert done[0] >= 11.85


async def test_a_refusal_brakes_the_account_once() -> None:
    """Both report the same refusal; the rate of all is cut to 0.7 once and climbs back."""
    store = MemoryStore()
    first, second = make(store, 100), make(store, 100)
    await first.acquire()
    await second.acquire()
    for limiter in (first, second, first):
        limiter.throttled(2.0)
    await anyio.sleep(2.1)
    await second.acquire()
    assert second.snapshot().effective_rate == pytest.approx(70, abs=0.5)
    assert "braked to 70" in repr(second)
    assert (first.snapshot().throttled, second.snapshot().throttled) == (2, 1)
    await anyio.sleep(10.0)
    await first.acquire()
    assert first.snapshot().effective_rate == pytest.approx(80, abs=0.5)


@pytest.mark.parametrize("hint", [None, -1.0, math.nan])
async def test_a_refusal_without_a_sensible_number_freezes_for_a_second(hint: Any) -> None:
    """The server's number is tolerated, whatever it is."""
    limiter = make(MemoryStore(), 100)
    limiter.throttled(hint)
    assert limiter.snapshot().frozen_for == 1.0


async def test_a_limiter_that_is_not_adaptive_only_freezes() -> None:
    """The rate stays; a refusal that asks for no wait changes nothing."""
    limiter = make(MemoryStore(), 100, adaptive=False)
    limiter.throttled(1.0)
    limiter.throttled(0.0)
    await anyio.sleep(1.0)
    await limiter.acquire()
    assert limiter.snapshot().effective_rate == 100


async def test_a_second_refusal_after_the_freeze_cuts_again() -> None:
    """A freeze that follows within the second after the cut postpones the next cut."""
    store = MemoryStore()
    limiter = make(store, 100)
    limiter.throttled(0.1)
    await anyio.sleep(0.2)
    limiter.freeze(2.0)
    await anyio.sleep(1.5)
    limiter.throttled(0.0)
    await anyio.sleep(0.6)
    limiter.throttled(0.0)
    await limiter.acquire()
    assert limiter.snapshot().effective_rate == pytest.approx(49, abs=1)


async def test_a_new_rate_counts_for_all() -> None:
    """Set in one place, it holds there at once and elsewhere with the next lease; 0 pauses."""
    store, crowd = MemoryStore(), Crowd()
    first, second = make(store, 100), make(store, 100)
    async with anyio.create_task_group() as group:
        group.start_soon(crowd.run, [first, second], 12.0)
        await anyio.sleep(2.0)
        first.set_rate(0)
        assert first.estimate() == math.inf
        with pytest.raises(DeadlineExceeded, match="paused"):
            await first.acquire(deadline=anyio.current_time() + 9)
        await anyio.sleep(2.0)
        second.set_rate(300, 30)
        await anyio.sleep(0.1)
    assert crowd.between(2.4, 4.0) == 0
    assert crowd.between(6.0, 12.0) == pytest.approx(1800, rel=0.02)
    stats = first.snapshot()
    assert (stats.rate, stats.burst) == (300, 30)
    assert first.try_acquire(25) is None  # a burst of that size is possible now


async def test_a_smooth_burst_follows_the_rate_and_a_given_one_stays() -> None:
    """As with the bucket of one process."""
    smooth, given_ = make(MemoryStore(), 100), make(MemoryStore(), 100, 7)
    for limiter in (smooth, given_):
        limiter.set_rate(1_000)
    assert (smooth.snapshot().burst, given_.snapshot().burst) == (20, 7)


# ── the store is down ─────────────────────────────────────────────────────────────────────────────


async def test_without_its_store_each_takes_a_careful_share(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Four fifths of the rate in total, never above it, told once; all of it 2 s after the end."""
    store, crowd = MemoryStore(), Crowd()
    limiters = [make(store, 300) for _ in range(3)]
    async with anyio.create_task_group() as group:
        group.start_soon(crowd.run, limiters, 14.0)
        await anyio.sleep(3.0)
        store.fail(ConnectionError("no route"))
        await anyio.sleep(5.0)
        assert all("no route" in limiter.snapshot().trouble for limiter in limiters)
        store.fail(None)
        store._accounts.clear()  # as a server that keeps nothing
    assert crowd.between(4.0, 8.0) == pytest.approx(4 * 240, rel=0.02)
    assert crowd.between(10.0, 14.0) == pytest.approx(4 * 300, rel=0.02)
    assert max(crowd.between(t, t + 1) for t in crowd.times) <= 1.02 * 300 + 6
    said = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    down = (
        "The store of the shared limit 'default' in memory is down (ConnectionError: no route): "
        "this process sends 80/s at most until it answers."
    )
    assert (
        said
        == [down] * 3 + ["The store of the shared limit 'default' in memory answers again."] * 3
    )


async def test_a_closed_limiter_grants_nothing_without_its_store() -> None:
    """A call with a deadline fails at once and names the store; one without waits for it."""
    store = MemoryStore()
    limiter = make(store, 100, on_store_error="closed")
    await limiter.acquire()
    await anyio.sleep(1.0)
    store.fail(OSError("gone"))
    async with anyio.create_task_group() as group:
        group.start_soon(limiter.acquire)
        await anyio.sleep(0.1)
        start = anyio.current_time()
        with pytest.raises(DeadlineExceeded, match=r"its store memory is down \(OSError: gone\)"):
            await limiter.acquire(deadline=start + 30)
        assert anyio.current_time() == start
        assert limiter.estimate() == math.inf
        await anyio.sleep(5.0)
        assert limiter.snapshot().granted == 1
        store.fail(None)
    assert limiter.snapshot().granted == 2
    assert anyio.current_time() - start <= 7.0


async def test_a_store_that_was_never_reached_grants_nothing() -> None:
    """How many share the limit is not known yet, so there is no share to take."""
    store = MemoryStore()
    store.fail(OSError("gone"))
    limiter = make(store, 100)
    assert limiter.try_acquire() is None
    assert limiter.estimate() == math.inf
    with pytest.raises(DeadlineExceeded, match="is down"):
        await limiter.acquire(deadline=anyio.current_time() + 3)
    limiter.freeze(0.1)
    store.fail(None)
    await limiter.acquire()
    assert 0.4 <= anyio.current_time() <= 2.0


async def test_freezes_refusals_and_rates_hold_in_an_outage_and_are_told_after_it() -> None:
    """They bind this process at once, and all others as soon as the store answers."""
    store, crowd = MemoryStore(), Crowd()
    first, second = make(store, 100), make(store, 100)
    await second.acquire()
    async with anyio.create_task_group() as group:
        group.start_soon(crowd.run, [first], 9.0)
        await anyio.sleep(1.0)
        store.fail(OSError("gone"))
        await anyio.sleep(1.0)
        first.throttled(1.0)
        assert first.estimate() >= 1.0
        await anyio.sleep(2.0)
        first.set_rate(50)
        permit = first.try_acquire() or await first.acquire()
        permit.release()
        first.freeze(4.0)
        store.fail(None)
        await anyio.sleep(1.0)
        await second.acquire()
        assert second.snapshot().rate == 50
        assert anyio.current_time() >= 8.0
    assert crowd.between(2.0 + 1e-9, 3.0) == 0
    assert crowd.between(3.0, 4.0) == pytest.approx(28, abs=2)  # 0.8 / 2 of the rate, cut to 0.7
    assert crowd.between(4.2, 8.0) == 0


async def test_many_at_once_are_served_in_an_outage_too() -> None:
    """A request above the small burst of the own share is granted, and paid off afterwards."""
    store = MemoryStore()
    limiter = make(store, 10, 5)
    await limiter.acquire(5)
    store.fail(OSError("gone"))
    await limiter.acquire(5)
    assert 0.3 <= anyio.current_time() <= 1.0
    assert limiter.estimate() == pytest.approx(5 / 8)


# ── processes ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_forked_child_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the parent holds is the parent's: the child asks for itself, as another worker."""
    store = MemoryStore()
    limiter = make(store, 1_000)
    crowd = Crowd()
    await crowd.run([limiter], 0.5)
    assert limiter.snapshot().workers == 1
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    await limiter.acquire()
    assert limiter.snapshot().workers == 2


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from([8.0, 60.0, 900.0]),
    st.sampled_from([1.0, 3.0, None]),
    st.lists(
        st.tuples(
            st.integers(0, 2), st.floats(0, 0.5), st.sampled_from([1, 1, 1, 2]), st.integers(1, 12)
        ),
        min_size=1,
        max_size=10,
    ),
)
async def test_no_story_of_callers_breaks_the_limit(
    rate: float, burst: float | None, story: list[tuple[int, float, int, int]]
) -> None:
    """Whoever comes when: no second holds more than the rate, the burst and 20 ms of lateness."""
    store, crowd = MemoryStore(), Crowd()
    limiters = [make(store, rate, burst) for _ in range(3)]
    most = limiters[0].snapshot().burst

    async def take(limiter: Any, n: int) -> None:
        await limiter.acquire(min(n, most))
        crowd.times.extend([anyio.current_time()] * int(min(n, most)))

    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        for who, pause, n, times in story:
            await anyio.sleep(pause)
            for _ in range(times):
                group.start_soon(take, limiters[who], n)
    crowd.times.sort()
    for window in (0.1, 1.0):
        worst = max((crowd.between(t, t + window) for t in crowd.times), default=0)
        assert worst <= rate * (window + GRACE) + 2 * most + 1
    asked = sum(times * int(min(n, most)) for _, _, n, times in story)
    assert len(crowd.times) == asked
    assert anyio.current_time() - start <= sum(p for _, p, _, _ in story) + 2 * asked / rate + 2
