"""Campaigns in figures: what the ledger costs, and what a million rows take.

    python tests/benchmarks/campaigns.py ratio                 # with and without, side by side
    python tests/benchmarks/campaigns.py ratio --in-process
    python tests/benchmarks/campaigns.py size 1000000          # load, run, file size, peak memory

Each figure of `size` is of this process alone, so run it once for each number of rows.
"""

from __future__ import annotations

import argparse
import csv
import resource
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import anyio

from aldeamo_async import AsyncBotsClient, Outgoing
from aldeamo_async.campaigns import Campaign
from aldeamo_async.sandbox import Sandbox, SandboxTransport, serve

IN_FLIGHT = 200
ROUNDS = 5
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


async def size(count: int) -> None:
    """Load a file of so many rows and run it against the sandbox in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("channel", "client_id", "text"))
            writer.writerows(
                ("sms", f"5730000000{n % 100:02}", f"Hola, tu pedido {n} va en camino.")
                for n in range(count)
            )
        sandbox = Sandbox(keep_deliveries=False, detect_duplicates=False)
        client = AsyncBotsClient("test-key", transport=SandboxTransport(sandbox))
        ledger = folder / "promo.db"
        async with client, Campaign.open(f"sqlite:///{ledger}", client) as campaign:
            loaded = await campaign.load(folder / "rows.csv")
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
    parser.add_argument("what", choices=["ratio", "size"])
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--in-process", action="store_true")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    if options.what == "size":
        anyio.run(size, options.count, backend=options.backend)
    else:
        anyio.run(ratio, options.count, options.in_process, backend=options.backend)


if __name__ == "__main__":
    main()
