"""Rate limiters side by side: cost of a free permit, rate under load, worst second, long queues.

Run: `python tests/benchmarks/limiter.py [seconds]`. aiolimiter and pyrate-limiter are measured
where they are installed, each in its plainest use. Read the ratios; the times hold the machine's
speed. A share above 1 is the burst at the start; the worst second shows how large it was.
"""

from __future__ import annotations

import math
import sys
import time
from bisect import bisect_left
from importlib.util import find_spec
from statistics import median
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from aldeamo_async.limits import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Acquire = Callable[[], Awaitable[object]]
    Make = Callable[[float], Acquire]

CALLS = 5_000
ROUNDS = 5
RATES = ((20, 50), (1_000, 500), (10_000, 500))  # permits per second, looping tasks
# Tasks that want one permit each, at once, and permits a second: so few that nearly all stand in
# line. At 10,000 the burst of aiolimiter, full again when the tasks are made, serves half of them.
CROWD, CROWD_RATE = 20_000, 4_000
PLENTY = 1_000_000_000  # permits per second: nobody ever waits


def ours(rate: float) -> Acquire:
    return TokenBucket(rate).acquire


def aiolimiter(rate: float) -> Acquire:
    from aiolimiter import AsyncLimiter

    return AsyncLimiter(rate, 1).acquire


def pyrate_limiter(rate: float) -> Acquire:
    from pyrate_limiter import Duration, Limiter, Rate

    limiter = Limiter(Rate(int(rate), Duration.SECOND))
    return lambda: limiter.try_acquire_async("benchmark")


PEERS: dict[str, Make] = {
    "aiolimiter": aiolimiter,
    "pyrate_limiter": pyrate_limiter,
}


async def cost(call: Acquire) -> float:
    """Seconds for one call, in the least disturbed of several rounds."""
    best = math.inf
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            await call()
        best = min(best, time.perf_counter() - start)
    return best / CALLS


async def load(call: Acquire, tasks: int, seconds: float) -> tuple[float, int, float]:
    """Permits per second, the most in any one second, and CPU seconds per permit."""
    times: list[float] = []

    async def loop() -> None:
        while True:
            await call()
            times.append(time.perf_counter())

    start, cpu = time.perf_counter(), time.process_time()
    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(loop)
    cpu = time.process_time() - cpu
    worst = max(bisect_left(times, moment + 1.0, lo=i) - i for i, moment in enumerate(times))
    return len(times) / (times[-1] - start), worst, cpu / len(times)


async def crowd(call: Acquire) -> float:
    """CPU seconds for a permit where everybody stands in line from the start."""
    cpu = time.process_time()
    async with anyio.create_task_group() as group:
        for _ in range(CROWD):
            group.start_soon(call)
    return (time.process_time() - cpu) / CROWD


async def compare(limiters: dict[str, Make], seconds: float) -> None:
    bare = await cost(checkpoint)
    print(f"  a bare checkpoint: {bare * 1e6:.1f} us; a free permit, as a multiple of it:")
    for name, make in limiters.items():
        print(f"    {name:<15} {await cost(make(PLENTY)) / bare:5.2f} x")
    for rate, tasks in RATES:
        print(f"  nominal {rate}/s, {tasks} tasks: share of nominal, worst second, CPU per permit")
        for name, make in limiters.items():
            got, worst, cpu = await load(make(rate), tasks, seconds)
            print(f"    {name:<15} {got / rate:6.3f} {worst / rate:8.3f} {cpu * 1e6:8.0f} us")
    print(f"  {CROWD} in line at {CROWD_RATE}/s: CPU per permit, task included; to the first")
    spent: dict[str, list[float]] = {name: [] for name in limiters}
    for _ in range(ROUNDS):
        for name, make in limiters.items():
            spent[name].append(await crowd(make(CROWD_RATE)))
    first = next(iter(spent.values()))
    for name, each in spent.items():
        ratio = median(mine / base for mine, base in zip(each, first, strict=True))
        print(f"    {name:<15} {median(each) * 1e6:8.0f} us {ratio:6.2f} x")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    peers = {name: make for name, make in PEERS.items() if find_spec(name)}
    print("asyncio")
    anyio.run(compare, {"ours": ours, **peers}, seconds, backend="asyncio")
    print("trio (the peers work on asyncio only)")
    anyio.run(compare, {"ours": ours}, seconds, backend="trio")


if __name__ == "__main__":
    main()
