"""Any story of callers, freezes, rates and cancellations: the laws hold, and nobody is forgotten.

Hypothesis invents the story step by step; it is then played on asyncio and on trio, on virtual
clocks, and every law is checked after every step of it.
"""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import define, field, frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from aldeamo_async._errors import DeadlineExceeded
from aldeamo_async.limits import Permit, TokenBucket
from support.clocks import virtual_backend

ROUNDING = 1e-4  # permits; a microsecond of the least sleep, at 100 permits a second
BURST = 8.0
TICKS = 12


@define
class Call:
    """One call of acquire and its fate."""

    n: float
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    deadline: float | None = None
    permit: Permit | None = None
    state: str = "asked"


@frozen
class Taken:
    """What was net taken so far, when so much had been earned at most."""

    earned: float
    net: float
    n: float


class Story:
    """One run of the bucket: does what it is told, and checks the laws."""

    def __init__(self, bucket: TokenBucket) -> None:
        self.bucket = bucket
        self.calls: list[Call] = []
        self.arrivals: list[Call] = []
        self.taken: list[Taken] = []
        self.free: list[Permit] = []
        self.earned = 0.0
        self.net = 0.0
        self.rate = bucket.snapshot().rate
        self.at = anyio.current_time()
        self.frozen_until = -math.inf

    async def play(self, steps: list[tuple[str, tuple[Any, ...]]]) -> None:
        async with anyio.create_task_group() as group:
            self.group = group
            for name, arguments in steps:
                await getattr(self, name)(*arguments)
                await self.settle()
            await self.end()
        self.check_everybody_was_served()

    async def settle(self) -> None:
        """Run every task until it waits, then check the laws."""
        for _ in range(TICKS):
            await checkpoint()
        self.check()

    async def acquire(self, n: float, patience: float | None) -> None:
        call = Call(n)
        if patience is not None:
            call.deadline = anyio.current_time() + patience
        self.calls.append(call)
        self.group.start_soon(self._acquire, call)

    async def _acquire(self, call: Call) -> None:
        with call.scope:
            self.arrivals.append(call)
            try:
                call.permit = await self.bucket.acquire(call.n, deadline=call.deadline)
                call.state = "granted"
                self._note(call.n)
            except DeadlineExceeded:
                call.state = "late"
        if call.scope.cancelled_caught:
            call.state = "cancelled"

    async def rush(self, count: int, n: float, cancelled: list[int]) -> None:
        """Many calls, of which some are cancelled before anybody could run."""
        first = len(self.calls)
        for _ in range(count):
            await self.acquire(n, None)
        for index in cancelled:
            self.calls[first + index % count].scope.cancel()

    async def try_acquire(self, n: float) -> None:
        waiting = self.bucket.snapshot().waiting
        permit = self.bucket.try_acquire(n)
        if permit is not None:
            assert not waiting
            self.free.append(permit)
            self._note(n)

    async def cancel(self, index: int) -> None:
        if self.calls:
            self.calls[index % len(self.calls)].scope.cancel()

    async def cancel_and_release(self, index: int) -> None:
        """A cancellation and a permit coming back in the same tick."""
        await self.cancel(index)
        await self.release(index)

    async def release(self, index: int) -> None:
        permits = self.free + [call.permit for call in self.calls if call.permit is not None]
        if permits:
            before = self.bucket.snapshot().refunded
            permits[index % len(permits)].release()
            self._note(before - self.bucket.snapshot().refunded)

    async def freeze(self, seconds: float) -> None:
        self._account()
        self.bucket.freeze(seconds)
        self._froze(seconds)

    async def throttled(self, retry_after: float) -> None:
        self._account()
        self.bucket.throttled(retry_after)
        self._froze(retry_after)

    def _froze(self, seconds: float) -> None:
        if seconds > 0:
            self.frozen_until = max(self.frozen_until, anyio.current_time() + seconds)

    async def set_rate(self, rate: float) -> None:
        self._account()
        self.bucket.set_rate(rate)
        self.rate = rate

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    def _account(self) -> None:
        """Bring up to now what the configured rate can have earned at most."""
        now = anyio.current_time()
        self.earned += self.rate * max(0.0, now - max(self.at, self.frozen_until))
        self.at = now

    def _note(self, n: float) -> None:
        self._account()
        assert n <= 0 or self.at >= self.frozen_until
        self.net += n
        self.taken.append(Taken(self.earned, self.net, n))

    def check(self) -> None:
        self.check_fifo()
        self.check_windows()
        stats = self.bucket.snapshot()
        assert stats.waiting == sum(call.state == "asked" for call in self.arrivals)
        assert stats.granted - stats.refunded == pytest.approx(self.net)

    def check_fifo(self) -> None:
        """Whoever still waits has nobody behind them who was served: the line has no gaps."""
        waiting_since = [i for i, call in enumerate(self.arrivals) if call.state == "asked"]
        if waiting_since:
            behind = self.arrivals[waiting_since[0] :]
            assert not any(call.state == "granted" for call in behind)

    def check_windows(self) -> None:
        """Over any stretch: taken less given back is at most what was earned, and one burst."""
        lowest = math.inf
        for taken in self.taken:
            lowest = min(lowest, taken.net - taken.n - taken.earned)
            assert taken.net - taken.earned - lowest <= BURST + ROUNDING

    async def end(self) -> None:
        """Give the line all the time it needs, and check that it needs no more than told."""
        await self.set_rate(50.0)
        needed = self.bucket.estimate()
        await self.settle()
        await self.sleep(needed + 0.01)
        await self.settle()
        assert self.bucket.snapshot().waiting == 0

    def check_everybody_was_served(self) -> None:
        assert {call.state for call in self.calls} <= {"granted", "late", "cancelled"}
        assert all(call.deadline is not None for call in self.calls if call.state == "late")


amounts = st.sampled_from([1.0, 1.0, 1.0, 0.5, 2.5, BURST])
indices = st.integers(0, 1000)
seconds = st.sampled_from([0.0, 0.001, 0.02, 0.1]) | st.floats(0, 3)


class TokenBucketMachine(RuleBasedStateMachine):
    """Writes the story; `teardown` plays it."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[str, tuple[Any, ...]]] = []
        self.config: dict[str, Any] = {"rate": 1.0, "burst": BURST}

    @initialize(rate=st.sampled_from([0.0, 1.0, 20.0, 100.0]), initial=st.floats(0, BURST))
    def build(self, rate: float, initial: float) -> None:
        self.config = {"rate": rate, "burst": BURST, "initial": initial}

    @rule(n=amounts, patience=st.none() | seconds)
    def acquire(self, n: float, patience: float | None) -> None:
        self.steps.append(("acquire", (n, patience)))

    @rule(count=st.integers(2, 12), n=amounts, cancelled=st.lists(indices, max_size=6))
    def rush(self, count: int, n: float, cancelled: list[int]) -> None:
        self.steps.append(("rush", (count, n, cancelled)))

    @rule(n=amounts)
    def try_acquire(self, n: float) -> None:
        self.steps.append(("try_acquire", (n,)))

    @rule(index=indices, how=st.sampled_from(["cancel", "release", "cancel_and_release"]))
    def give_up(self, index: int, how: str) -> None:
        self.steps.append((how, (index,)))

    @rule(pause=seconds, how=st.sampled_from(["freeze", "throttled", "sleep", "sleep", "sleep"]))
    def let_time_matter(self, pause: float, how: str) -> None:
        self.steps.append((how, (pause,)))

    @rule(rate=st.sampled_from([0.0, 0.5, 5.0, 100.0]))
    def set_rate(self, rate: float) -> None:
        self.steps.append(("set_rate", (rate,)))

    def teardown(self) -> None:
        for backend in ("asyncio", "trio"):
            name, options = virtual_backend(backend)
            anyio.run(self._play, backend=name, backend_options=options)

    async def _play(self) -> None:
        await Story(TokenBucket(**self.config)).play(self.steps)


TestTokenBucketMachine = pytest.mark.slow(TokenBucketMachine.TestCase)
TestTokenBucketMachine.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
