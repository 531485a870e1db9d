"""What a permit costs, as a ratio, so that the machine's speed does not matter."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pytest
from anyio.lowlevel import checkpoint
from coverage import Coverage

from aldeamo_async.limits import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = [pytest.mark.alone, pytest.mark.real_clock, pytest.mark.slow]

CALLS = 2_000
ROUNDS = 15
ATTEMPTS = 5  # another process may take the processor in the middle of a measurement


async def fastest(call: Callable[[], Awaitable[object]]) -> float:
    """The seconds for so many calls in the least disturbed of several rounds."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            await call()
        rounds.append(time.perf_counter() - start)
    return min(rounds)


async def test_an_uncontended_permit_costs_little_more_than_a_yield() -> None:
    """acquire() without waiting costs at most twice the bare checkpoint that it contains."""
    # A tracer slows down every line of ours and none of the event loop's: then only a rough bound.
    most = 2.0 if Coverage.current() is None else 30.0
    bare = await fastest(checkpoint)
    for bucket in (TokenBucket(math.inf), TokenBucket(1e9)):
        ratios = []
        while not ratios or ratios[-1] > most:
            assert len(ratios) < ATTEMPTS, ratios
            ratios.append(await fastest(bucket.acquire) / bare)
            bare = await fastest(checkpoint)
        print(f"{bucket}: {ratios[-1]:.2f} x {bare / CALLS * 1e6:.2f} us")
