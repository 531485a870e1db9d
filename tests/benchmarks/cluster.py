"""What a campaign over three workers costs: load, work off, and what PostgreSQL spends on it.

    python tests/benchmarks/cluster.py                       # 10,000 and 100,000 messages
    python tests/benchmarks/cluster.py --messages 1000000    # some minutes, on a quiet machine

PostgreSQL waits for the disk (`fsync=on`), the API is the C server of this folder, and each worker
is a process. `mark` is the wait for one durable mark, as its message sees it. Every number is of
this machine and this moment: read how they grow, not what they are.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

import anyio

from aldeamo_async import AsyncBotsClient, Outgoing
from aldeamo_async.campaigns import Campaign, PostgresLedger
from aldeamo_async.campaigns._cluster import Order, Worker, opened_queue, start

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from loopback import loopback_server  # noqa: E402 - found by the line before

from support.postgres import running  # noqa: E402

WORKERS = 3
TICKS = os.sysconf("SC_CLK_TCK")
TABLES = ("message", "fate", "slice", "run")
COLUMNS = (
    *(
        "messages",
        "load/s",
        "start s",
        "sent/s",
        "all s",
        "mark p50 ms",
        "mark p99 ms",
        "database CPU s",
    ),
    *("CPU us/message", "workers CPU s", "MB", "bytes/message", "status s"),
)


class TimedLedger(PostgresLedger):
    """Knows how long each mark took."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.marks: list[float] = []

    async def mark(self, token: str, message: int) -> bool:
        began = time.perf_counter()
        try:
            return await super().mark(token, message)
        finally:
            self.marks.append(time.perf_counter() - began)


async def work(url: str, base_url: str, concurrency: int) -> None:
    """Be one worker; print its marks, and the CPU seconds it took."""
    ledger = TimedLedger(url)
    client = AsyncBotsClient("test-key", base_url=base_url, max_connections=concurrency)
    async with client, Campaign.open(ledger, client) as campaign, opened_queue(url) as queue:
        await Worker(campaign, queue, concurrency=concurrency, until_done=True).run()
    marks = quantiles(ledger.marks, n=1000) if len(ledger.marks) > 1 else []
    print(json.dumps({"marks": marks, "cpu": sum(os.times()[:2])}))


def database_cpu(server: Any) -> float:
    """The CPU seconds of the server and all its children, the dead ones included."""
    family = {server.pid}
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) in family:
            total += (int(fields[11]) + int(fields[12])) / TICKS
    own = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return total + sum(map(int, own[11:15])) / TICKS


async def measured(
    server: Any, name: str, base_url: str, count: int, concurrency: int
) -> list[Any]:
    """One campaign from its load to its end: a row of the table."""
    url = server.url(name)
    rows = (
        Outgoing("sms", f"57300{n % 10**7:07}", f"Hola {n}, tu pedido va") for n in range(count)
    )
    async with AsyncBotsClient("test-key") as client, Campaign.open(url, client) as campaign:
        loaded = await campaign.load(rows)
        began = time.perf_counter()
        async with opened_queue(url) as queue:
            await start(campaign, queue, Order())
        started = time.perf_counter() - began
        before, began = database_cpu(server), time.perf_counter()
        command = [sys.executable, __file__, "--work", url, base_url, str(concurrency)]
        workers = [
            await anyio.to_thread.run_sync(
                lambda: subprocess.Popen(command, stdout=subprocess.PIPE)
            )
            for _ in range(WORKERS)
        ]
        said = [await anyio.to_thread.run_sync(one.communicate) for one in workers]
        seconds = time.perf_counter() - began
        spent = database_cpu(server) - before
        began = time.perf_counter()
        status = await campaign.status()
        looked = time.perf_counter() - began
    assert status.counts["sent"] == count, status  # type: ignore[index]
    ((active,),) = server.execute(
        "SELECT extract(epoch FROM max(updated) - min(updated))::float8 "
        "FROM aldeamo_campaigns.fate",
        name,
    )
    found = [json.loads(out) for out, _ in said]
    marks = sorted(mark for one in found for mark in one["marks"])
    size = sum(
        server.execute(f"SELECT pg_total_relation_size('aldeamo_campaigns.{table}')", name)[0][0]
        for table in TABLES
    )
    return [
        count,
        round(loaded.added / loaded.seconds),
        f"{started:.2f}",
        round(count / active),
        f"{seconds:.1f}",
        f"{1000 * marks[len(marks) // 2]:.1f}",
        f"{1000 * marks[len(marks) * 99 // 100]:.1f}",
        f"{spent:.1f}",
        round(1e6 * spent / count),
        f"{sum(one['cpu'] for one in found):.1f}",
        f"{size / 1e6:.1f}",
        round(size / count),
        f"{looked:.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--concurrency", type=int, default=100, help="of each worker")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        url, base_url, concurrency = given.work
        anyio.run(work, url, base_url, int(concurrency))
        return
    print(f"{WORKERS} workers x {given.concurrency}, {os.cpu_count()} cores")
    print("  ".join(COLUMNS))
    with running(durable=True) as server, loopback_server() as api:
        for count in given.messages:
            with server.database() as name:
                row = anyio.run(measured, server, name, api.base_url, count, given.concurrency)
            print("  ".join(f"{cell!s:>{len(c)}}" for cell, c in zip(row, COLUMNS, strict=True)))


if __name__ == "__main__":
    main()
