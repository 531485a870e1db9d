"""One limit over processes: what several real processes get together from a real store.

Run: `python tests/benchmarks/shared_limit.py [valkey|postgres] [story ...]`. The stories:
`rate` (three processes at 500/s and 5,000/s, one with its wall clock 30 s ahead), `crowd` (a fourth
process joins, one is killed), `outage` (the store is killed for 5 s), `cost` (beside the bucket of
one process). Every process writes down when it was granted; the parent reads all of them together.
"""

from __future__ import annotations

import array
import signal
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import anyio
from attrs import frozen

sys.path.insert(0, str(Path(__file__).parents[1]))

from aldeamo_async.limits import SharedTokenBucket, TokenBucket
from support import postgres, valkey

SECONDS = 4.0
WARM = 4.0  # to start processes on a busy machine
TASKS = 20


async def work(url: str, rate: float, until: float, file: BinaryIO) -> None:
    """Take permits as fast as they come; times are of the machine's monotonic clock."""
    limiter = SharedTokenBucket(url, rate, name="benchmark")
    times = array.array("d")

    async def loop() -> None:
        while True:
            await limiter.acquire()
            times.append(time.monotonic())

    cpu = time.process_time()
    with anyio.move_on_after(until - time.monotonic()):
        async with anyio.create_task_group() as group:
            for _ in range(TASKS):
                group.start_soon(loop)
            while True:
                await anyio.sleep(0.05)
                done, times = times, array.array("d")
                done.tofile(file)
                file.flush()
    stats = limiter.snapshot()
    cpu = time.process_time() - cpu
    print(stats.granted, stats.round_trips, stats.forfeited, cpu, stats.workers)


@frozen
class Worker:
    """A process and its diary."""

    process: subprocess.Popen[str]
    log: Path

    @classmethod
    def start(cls, folder: Path, url: str, rate: float, until: float, skew: float = 0) -> Worker:
        number = len(list(folder.iterdir()))
        log = folder / f"{number}.times"
        log.touch()
        backend = "trio" if number % 2 else "asyncio"
        command = [sys.executable, __file__, "work", url, str(rate), str(until), str(log), backend]
        process = subprocess.Popen([*command, str(skew)], stdout=subprocess.PIPE, text=True)
        return cls(process, log)

    def times(self) -> list[float]:
        held = array.array("d")
        data = self.log.read_bytes()
        held.frombytes(data[: len(data) // 8 * 8])
        return list(held)


def joined(workers: list[Worker]) -> tuple[list[float], list[list[float]]]:
    """Wait for all; return every grant in order, and what each said of itself."""
    said = [worker.process.communicate()[0] for worker in workers]
    numbers = [[float(part) for part in text.split()] for text in said if text]
    return sorted(t for worker in workers for t in worker.times()), numbers


def worst_second(times: list[float]) -> int:
    return max(bisect_left(times, moment + 1.0, lo=i) - i for i, moment in enumerate(times))


def per_second(times: list[float], start: float, seconds: int) -> list[int]:
    edges = [bisect_left(times, start + i) for i in range(seconds + 1)]
    return [b - a for a, b in pairwise(edges)]


def rate(url: str, folder: Path) -> None:
    for wanted in (500, 5_000):
        until = time.monotonic() + SECONDS + WARM
        skews = (0.0, 30.0, 0.0)
        workers = [Worker.start(folder, url, wanted, until, skew) for skew in skews]
        times, said = joined(workers)
        times = [t for t in times if t > until - SECONDS]
        granted, trips, lost, cpu = (sum(one[i] for one in said) for i in range(4))
        print(
            f"  {wanted}/s, 3 processes: {len(times) / SECONDS / wanted:.4f} of it, worst second "
            f"{worst_second(times) / wanted:.3f}, {trips / granted:.4f} round trips and "
            f"{cpu / granted * 1e6:.0f} us of CPU per permit, {lost:.0f} slots forfeited; "
            f"each: {', '.join(f'{one[0]:.0f}' for one in said)}"
        )


def crowd(url: str, folder: Path) -> None:
    until = time.monotonic() + WARM + 9.0
    workers = [Worker.start(folder, url, 2_000, until) for _ in range(3)]
    time.sleep(WARM + 2.0)
    workers.append(Worker.start(folder, url, 2_000, until))
    time.sleep(3.0)
    workers[0].process.send_signal(signal.SIGKILL)
    times, _ = joined(workers)
    print(f"  2,000/s, a 4th starts at 2 s, one is killed at 5 s: worst {worst_second(times)}")
    print(f"    per second: {per_second(times, until - 9.0, 9)}")


def outage(url: str, folder: Path, server: valkey.ValkeyServer | postgres.PostgresServer) -> None:
    until = time.monotonic() + WARM + 14.0
    workers = [Worker.start(folder, url, 2_000, until) for _ in range(3)]
    time.sleep(WARM + 2.0)
    server.kill()
    killed = time.monotonic()
    time.sleep(5.0)
    server.start()
    back = time.monotonic()
    times, _ = joined(workers)
    print(f"  2,000/s, the store killed for {back - killed:.1f} s: worst {worst_second(times)}")
    print(f"    per second, from 2 s before: {per_second(times, killed - 2, 13)}")
    half = [bisect_left(times, back + i / 2) for i in range(8)]
    print(f"    per half second, once back: {[b - a for a, b in pairwise(half)]}")


async def cost(url: str) -> None:
    plain = TokenBucket(5_000)
    shared = SharedTokenBucket(url, 5_000, name="cost")
    for name, limiter in (("TokenBucket", plain), ("SharedTokenBucket", shared)):
        until, cpu = anyio.current_time() + 2.0, time.process_time()

        async def loop(limiter: TokenBucket | SharedTokenBucket, until: float) -> None:
            while anyio.current_time() < until:
                await limiter.acquire()

        async with anyio.create_task_group() as group:
            for _ in range(TASKS):
                group.start_soon(loop, limiter, until)
        granted = limiter.snapshot().granted
        cpu = time.process_time() - cpu
        print(f"  {name:<18} {granted / 2:6.0f}/s, {cpu / granted * 1e6:5.1f} us of CPU per permit")


def main(kinds: list[str], stories: list[str]) -> None:
    for kind in kinds:
        print(kind)
        starting = valkey.running() if kind == "valkey" else postgres.running()
        with starting as server:
            url = server.url()
            for story in stories:
                with tempfile.TemporaryDirectory() as name:
                    folder = Path(name)
                    if story == "rate":
                        rate(url, folder)
                    elif story == "crowd":
                        crowd(url, folder)
                    elif story == "outage":
                        outage(url, folder, server)
                    else:
                        anyio.run(cost, url)


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        url, wanted, until, log, backend, skew = sys.argv[2:]
        wall = time.time
        time.time = lambda: wall() + float(skew)
        with Path(log).open("ab") as file:
            anyio.run(work, url, float(wanted), float(until), file, backend=backend)
    else:
        known = ("valkey", "postgres")
        chosen = [word for word in sys.argv[1:] if word in known] or list(known)
        told = [word for word in sys.argv[1:] if word not in known]
        main(chosen, told or ["rate", "crowd", "outage", "cost"])
