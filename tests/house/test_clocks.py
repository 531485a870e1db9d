"""The test base itself: what the clocks promise."""

from __future__ import annotations

import time

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st


async def test_an_hour_of_sleep_takes_no_time() -> None:
    """`anyio.sleep(3600)` moves the virtual clock by exactly 3600 seconds, at once."""
    wall, start = time.monotonic(), anyio.current_time()
    await anyio.sleep(3600)
    assert anyio.current_time() - start == 3600
    assert time.monotonic() - wall < 5


async def test_virtual_time_starts_at_zero_and_stands_still_while_code_runs() -> None:
    """A fresh clock for each test: time is zero until somebody sleeps."""
    assert anyio.current_time() == 0
    await anyio.lowlevel.checkpoint()
    assert anyio.current_time() == 0


async def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    """Concurrent sleeps end in order, each at its own virtual time."""
    woken: list[tuple[int, float]] = []

    async def sleeper(seconds: int) -> None:
        await anyio.sleep(seconds)
        woken.append((seconds, anyio.current_time()))

    async with anyio.create_task_group() as group:
        for seconds in (30, 10, 20):
            group.start_soon(sleeper, seconds)
    assert woken == [(10, 10), (20, 20), (30, 30)]


async def test_a_deadline_fires_on_the_virtual_clock() -> None:
    """`fail_after` raises once virtual time has passed, not real time."""
    with pytest.raises(TimeoutError), anyio.fail_after(60):
        await anyio.sleep_forever()
    assert anyio.current_time() == 60


@given(st.integers(1, 10_000))
async def test_hypothesis_examples_run_on_the_virtual_clock(seconds: int) -> None:
    """Every example of a property runs on both backends, and sleeps for free."""
    start = anyio.current_time()
    await anyio.sleep(seconds)
    assert anyio.current_time() - start == seconds


@pytest.mark.real_clock
async def test_the_real_clock_is_there_for_those_who_ask() -> None:
    """The marker `real_clock` gives a clock that moves by itself."""
    wall, start = time.monotonic(), anyio.current_time()
    await anyio.sleep(0.01)
    assert time.monotonic() - wall >= 0.009
    assert anyio.current_time() - start >= 0.009
