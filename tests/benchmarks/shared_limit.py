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

import anyio

sys.path.insert(0, str(Path(__file__).parents[1]))

from aldeamo_async.limits import SharedTokenBucket, TokenBucket
from support import postgres, valkey

SECONDS = 5.0
TASKS = 20
STOP = "stop"  # the file that ends all processes of a crew


async def work(url: str, rate: float, log: Path) -> None:
    """Take permits as fast as they come, until told to stop; times are the machine's monotonic."""
    limiter = SharedTokenBucket(url, rate, name="benchmark")
    times = array.array("d")
    stop = anyio.Path(log.parent / STOP)

    async def loop() -> None:
        while True:
            await limiter.acquire()
            times.append(time.monotonic())

    cpu = time.process_time()
    async with await anyio.open_file(log, "ab") as file, anyio.create_task_group() as group:
        for _ in range(TASKS):
            group.start_soon(loop)
        while not await stop.exists():  # another process makes it
            await anyio.sleep(0.05)
            done, times = times, array.array("d")
            await file.write(done.tobytes())
            await file.flush()
        group.cancel_scope.cancel()
    stats = limiter.snapshot()
    print(stats.granted, stats.round_trips, stats.forfeited, time.process_time() - cpu)


class Crew:
    """Processes that share a folder for their diaries."""

    def __init__(self, folder: Path, url: str, rate: float) -> None:
        self.folder = folder
        self._command = [sys.executable, __file__, "work", url, str(rate)]
        self.workers: list[subprocess.Popen[str]] = []

    def add(self, skew: float = 0.0) -> float:
        """Start one more; return the time at which it was first granted something."""
        number = len(self.workers)
        log = self.folder / f"{number}.times"
        log.touch()
        more = [str(log), "trio" if number % 2 else "asyncio", str(skew)]
        process = subprocess.Popen([*self._command, *more], stdout=subprocess.PIPE, text=True)
        self.workers.append(process)
        while not log.stat().st_size:
            time.sleep(0.05)
        return time.monotonic()

    def join(self) -> tuple[list[float], list[list[float]]]:
        """Stop all; return every grant in order, and what each said of itself."""
        (self.folder / STOP).touch()
        said = [worker.communicate()[0] for worker in self.workers]
        held = array.array("d")
        for log in self.folder.glob("*.times"):
            data = log.read_bytes()
            held.frombytes(data[: len(data) // 8 * 8])
        return sorted(held), [[float(part) for part in text.split()] for text in said if text]


def worst_second(times: list[float]) -> int:
    return max(bisect_left(times, moment + 1.0, lo=i) - i for i, moment in enumerate(times))


def per_second(times: list[float], start: float, seconds: int) -> list[int]:
    edges = [bisect_left(times, start + i) for i in range(seconds + 1)]
    return [b - a for a, b in pairwise(edges)]


def rate(url: str, folder: Path) -> None:
    for wanted in (500, 5_000):
        room = folder / str(wanted)
        room.mkdir()
        crew = Crew(room, url, wanted)
        begin = max(crew.add(skew) for skew in (0.0, 30.0, 0.0)) + 0.5
        time.sleep(SECONDS + 0.5)
        times, said = crew.join()
        times = [t for t in times if begin <= t < begin + SECONDS]
        granted, trips, lost, cpu = (sum(one[i] for one in said) for i in range(4))
        print(
            f"  {wanted}/s, 3 processes: {len(times) / SECONDS / wanted:.4f} of it, worst second "
            f"{worst_second(times) / wanted:.3f}, {trips / granted:.4f} round trips and "
            f"{cpu / granted * 1e6:.0f} us of CPU per permit, {lost:.0f} slots forfeited; "
            f"each: {', '.join(f'{one[0]:.0f}' for one in said)}"
        )


def crowd(url: str, folder: Path) -> None:
    crew = Crew(folder, url, 2_000)
    begin = max(crew.add() for _ in range(3)) + 0.5
    time.sleep(2.5)
    joined = crew.add()
    time.sleep(2.0)
    crew.workers[0].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    time.sleep(3.0)
    times, _ = crew.join()
    print(
        f"  2,000/s, a 4th process at {joined - begin:.1f} s, one killed at "
        f"{killed - begin:.1f} s: worst second {worst_second(times)}"
    )
    print(f"    per second: {per_second(times, begin, int(times[-1] - begin))}")


def outage(url: str, folder: Path, server: valkey.ValkeyServer | postgres.PostgresServer) -> None:
    crew = Crew(folder, url, 2_000)
    for _ in range(3):
        crew.add()
    time.sleep(2.5)
    server.kill()
    killed = time.monotonic()
    time.sleep(5.0)
    server.start()
    back = time.monotonic()
    time.sleep(5.0)
    times, _ = crew.join()
    print(
        f"  2,000/s, the store killed for {back - killed:.1f} s: worst second {worst_second(times)}"
    )
    print(f"    per second, from 2 s before: {per_second(times, killed - 2, 11)}")
    half = [bisect_left(times, back + i / 2) for i in range(10)]
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
        url, wanted, log, backend, skew = sys.argv[2:]
        wall = time.time
        time.time = lambda: wall() + float(skew)
        anyio.run(work, url, float(wanted), Path(log), backend=backend)
    else:
        known = ("valkey", "postgres")
        chosen = [word for word in sys.argv[1:] if word in known] or list(known)
        told = [word for word in sys.argv[1:] if word not in known]
        main(chosen, told or ["rate", "crowd", "outage", "cost"])
