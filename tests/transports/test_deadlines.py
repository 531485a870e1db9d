"""The deadlines of exchanges, on virtual clocks."""

from __future__ import annotations

import asyncio
import math

import anyio
import pytest
from anyio.lowlevel import checkpoint, current_token

from aldeamo_async.transports._deadlines import Deadlines, deadlines_of


async def sleep_within(deadlines: Deadlines, deadline: float, seconds: float) -> float | None:
    """Sleep in a scope; return when that was cancelled, or `None` where it was not."""
    scope = deadlines.begin(deadline)
    try:
        with scope:
            await anyio.sleep(seconds)
    finally:
        deadlines.end(scope)
    return deadlines.now() if scope.cancelled_caught else None


@pytest.mark.parametrize("order", [(1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (2.0, 2.0, 1.0)])
async def test_each_scope_is_cancelled_at_its_own_deadline(order: tuple[float, ...]) -> None:
    """Whatever the order in which they began, each ends in its own time."""
    deadlines = deadlines_of(current_token())
    start = anyio.current_time()
    ended: dict[int, float | None] = {}

    async def one(number: int, seconds: float) -> None:
        ended[number] = await sleep_within(deadlines, start + seconds, 60.0)

    async with anyio.create_task_group() as tasks:
        for number, seconds in enumerate(order):
            tasks.start_soon(one, number, seconds)
    found = [(ended[number] or 0.0) - start for number in range(len(order))]
    assert found == pytest.approx(order, abs=1e-6)


async def test_what_ends_in_time_is_not_cancelled_and_the_next_has_its_own_deadline() -> None:
    """A scope that was left counts no more, and neither does one without a deadline."""
    deadlines = deadlines_of(current_token())
    now = deadlines.now()
    assert await sleep_within(deadlines, now + 2.0, 1.0) is None
    assert await sleep_within(deadlines, math.inf, 9.0) is None
    assert await sleep_within(deadlines, now + 11.0, 60.0) == pytest.approx(now + 11.0, abs=1e-6)


async def test_after_its_deadline_a_scope_lets_nobody_wait() -> None:
    """One that begins too late is cancelled at the first wait inside."""
    deadlines = deadlines_of(current_token())
    now = deadlines.now()
    assert await sleep_within(deadlines, now, 60.0) == pytest.approx(now, abs=1e-6)


@pytest.mark.asyncio_only
async def test_on_asyncio_one_timer_serves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand exchanges at a time take one timer, which goes with the last of them."""
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []
    call_at = loop.call_at

    def counting(*given: object) -> asyncio.TimerHandle:
        timers.append(call_at(*given))  # type: ignore[arg-type]
        return timers[-1]

    monkeypatch.setattr(loop, "call_at", counting)
    deadlines = deadlines_of(current_token())
    now = deadlines.now()
    scopes = [deadlines.begin(now + 60.0 + number) for number in range(1_000)]
    for scope in scopes:
        assert not timers[0].cancelled()
        deadlines.end(scope)
    await checkpoint()
    assert len(timers) == 1
    assert timers[0].cancelled()
