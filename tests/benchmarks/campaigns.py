"""Campaigns in figures: what the ledger costs, and what a million rows take.

    python tests/benchmarks/campaigns.py ratio                 # with and without, side by side
    python tests/benchmarks/campaigns.py ratio --in-process
    python tests/benchmarks/campaigns.py size 1000000          # load, run, file size, peak memory
    python tests/benchmarks/campaigns.py postgres 1000000      # the same on a server of its own
    python tests/benchmarks/campaigns.py postgres 1000000 --ledger-alone    # and without sending

Each figure of `size` is of this process alone, so run it once for each number of rows. `postgres`
starts a server that waits for the disk, and adds what it costs: CPU, bytes, the wait for a mark.
"""

from __future__ import annotations

import argparse
import csv
import resource
import sys
import tempfile
import time
from array import array
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median

import anyio

from aldeamo_async import AsyncBotsClient, Outgoing
from aldeamo_async.campaigns import Campaign, Job, Ledger, PostgresLedger, Result, State
from aldeamo_async.sandbox import Sandbox, SandboxTransport, serve

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.postgres import PostgresServer, running

IN_FLIGHT = 200
ROUNDS = 5
CHUNK = 500  # messages of one claim, as a run has it
MEGABYTE = 1_000_000


def rows_of(count: int, mark: str) -> list[Outgoing]:
    return [Outgoing("sms", f"5730000000{n % 100:02}", f"Hola {n} {mark}") for n in range(count)]


async def ratio(count: int, in_process: bool) -> None:
    """Alternate the two, so that a noisy minute falls on both."""
    ratios = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox = Sandbox(keep_deliveries=False, detect_duplicates=False)
        if in_process:
            client = AsyncBotsClient("test-key", transport=SandboxTransport(sandbox))
        else:
            url = await stack.enter_async_context(serve(sandbox))
            client = AsyncBotsClient("test-key", base_url=url, max_connections=IN_FLIGHT)
        await stack.enter_async_context(client)
        for number in range(ROUNDS):
            began = time.perf_counter()
            source = rows_of(count, f"a{number}")
            async with client.send_many(source, concurrency=IN_FLIGHT) as outcomes:
                async for _ in outcomes:
                    pass
            without = count / (time.perf_counter() - began)
            async with Campaign.open(f"sqlite:///{folder}/{number}.db", client) as campaign:
                await campaign.load(rows_of(count, f"b{number}"))
                within = (await campaign.run(concurrency=IN_FLIGHT)).rate
            ratios.append(within / without)
            print(f"send_many {without:7.0f}/s   campaign {within:7.0f}/s   {ratios[-1]:.2f}")
    print(f"median ratio at {IN_FLIGHT} in flight: {median(ratios):.2f}")


def write_rows(folder: Path, count: int) -> Path:
    path = folder / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("channel", "client_id", "text"))
        writer.writerows(
            ("sms", f"5730000000{n % 100:02}", f"Hola, tu pedido {n} va en camino.")
            for n in range(count)
        )
    return path


class TimedLedger(PostgresLedger):
    """Keeps how long each mark took, in milliseconds."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.marks = array("f")

    async def mark(self, token: str, message: int) -> bool:
        began = time.perf_counter()
        marked = await super().mark(token, message)
        self.marks.append((time.perf_counter() - began) * 1000)
        return marked


SIZES = """
SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, pg_table_size(relid), pg_indexes_size(relid)
FROM pg_stat_user_tables WHERE relname IN ('message', 'fate', 'slice') ORDER BY relname
"""


async def ledger_alone(ledger: Ledger) -> float:
    """Claim, mark and record everything, with nothing in between; return messages a second."""
    began, done = time.perf_counter(), 0

    async def work(jobs: list[Job]) -> None:
        while jobs:
            number = jobs.pop().id
            await ledger.mark("alone", number)
            await ledger.record("alone", Result(number, State.SENT, message_id="32"))

    while jobs := list(await ledger.claim("alone", CHUNK)):
        done += len(jobs)
        async with anyio.create_task_group() as tasks:
            for _ in range(IN_FLIGHT):
                tasks.start_soon(work, jobs)
    return done / (time.perf_counter() - began)


async def on_postgres(count: int, server: PostgresServer, database: str, alone: bool) -> None:
    """Load a file of so many rows, run it, and ask the server what that cost it."""
    sandbox = Sandbox(keep_deliveries=False, detect_duplicates=False)
    client = AsyncBotsClient("test-key", transport=SandboxTransport(sandbox))
    ledger = TimedLedger(server.url(database))
    with tempfile.TemporaryDirectory() as name:
        path = write_rows(Path(name), count)
        async with client, Campaign.open(ledger, client) as campaign:
            at_start = server.cpu_seconds()
            loaded = await campaign.load(path)
            at_load = server.cpu_seconds()
            if alone:
                rate = await ledger_alone(ledger)
            else:
                rate = (await campaign.run(concurrency=IN_FLIGHT)).rate
            at_end = server.cpu_seconds()
            began = time.perf_counter()
            sent = (await ledger.counts()).states[State.SENT]
            counting = time.perf_counter() - began
    marks = sorted(ledger.marks)
    print(f"rows {count}, sent {sent}, delivered {sandbox.delivered}")
    print(f"load {loaded.rows / loaded.seconds:.0f} rows/s, run {rate:.0f} messages/s")
    print(f"mark p50 {marks[count // 2]:.1f} ms, p99 {marks[count * 99 // 100]:.1f} ms")
    print(
        f"server CPU: load {(at_load - at_start) / count * 1e6:.0f} us/row, "
        f"run {(at_end - at_load) / count * 1e6:.0f} us/message; counts() {counting * 1000:.0f} ms"
    )
    for table, ins, upd, hot, heap, index in server.execute(SIZES, database):
        print(
            f"  {table:<8} {ins} inserts, {upd} updates ({hot} in place), "
            f"{heap / MEGABYTE:.1f} MB and {index / MEGABYTE:.1f} MB of index"
        )


async def size(count: int) -> None:
    """Load a file of so many rows and run it against the sandbox in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_rows(folder, count)
        sandbox = Sandbox(keep_deliveries=False, detect_duplicates=False)
        client = AsyncBotsClient("test-key", transport=SandboxTransport(sandbox))
        ledger = folder / "promo.db"
        async with client, Campaign.open(f"sqlite:///{ledger}", client) as campaign:
            loaded = await campaign.load(path)
            report = await campaign.run(concurrency=IN_FLIGHT)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE
        print(f"rows {count}, sent {report.sent}, delivered {sandbox.delivered}")
        print(f"load {loaded.rows / loaded.seconds:.0f} rows/s, run {report.rate:.0f} messages/s")
        print(f"file {ledger.stat().st_size / MEGABYTE:.1f} MB, peak memory {peak:.0f} MB")
        for phase in report.phases:
            mean = phase.total / count * 1000
            print(f"  {phase.phase:<8} mean {mean:6.2f} ms, longest {phase.longest * 1000:6.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["ratio", "size", "postgres"])
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--in-process", action="store_true")
    parser.add_argument("--ledger-alone", action="store_true")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    if options.what == "size":
        anyio.run(size, options.count, backend=options.backend)
    elif options.what == "postgres":
        with running(durable=True) as server, server.database() as database:
            work = partial(on_postgres, options.count, server, database, options.ledger_alone)
            anyio.run(work, backend=options.backend)
    else:
        anyio.run(ratio, options.count, options.in_process, backend=options.backend)


if __name__ == "__main__":
    main()
