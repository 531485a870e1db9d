"""Peak memory of `send_many` over many messages against few, each in a fresh process.

Run it: python tests/benchmarks/memory.py [--large 1000000] [--small 10000] [--ordered]
The messages are made lazily and go to the sandbox in the same process, which keeps none of them.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import anyio

from aldeamo_async import AsyncBotsClient, Outgoing, Sent
from aldeamo_async.sandbox import Sandbox, SandboxTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUND = 40.0  # MB that the large run may need above the small one
CONCURRENCY = 200
UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


def messages(count: int) -> Iterator[Outgoing]:
    """Make so many messages, one by one, to as many clients."""
    for number in range(count):
        yield Outgoing("sms", f"57300{number:07d}", f"Hola, tu turno es el {number}")


async def run(count: int, *, ordered: bool) -> None:
    """Send them all and let go of each outcome."""
    # The detector of duplicates would keep 16 bytes a message, and so measure itself.
    sandbox = Sandbox(keep_deliveries=False, detect_duplicates=False)
    transport = SandboxTransport(sandbox)
    async with (
        AsyncBotsClient("test-key", transport=transport) as client,
        client.send_many(messages(count), concurrency=CONCURRENCY, ordered=ordered) as outcomes,
    ):
        async for outcome in outcomes:
            assert isinstance(outcome, Sent)
    assert sandbox.delivered == count


def measure(count: int, *options: str) -> float:
    """Return the peak memory of a run in a process of its own, in MB."""
    command = [sys.executable, __file__, "--run", str(count), *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Measure both, print both, fail above the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--ordered", action="store_true")
    parser.add_argument("--run", type=int, help="run in this process and print the peak in MB")
    options = parser.parse_args()
    if options.run:
        anyio.run(lambda: run(options.run, ordered=options.ordered))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 1e6)
        return
    flags = ["--ordered"] if options.ordered else []
    small = measure(options.small, *flags)
    print(f"{options.small:>9,} messages: peak {small:6.1f} MB")
    began = time.perf_counter()
    large = measure(options.large, *flags)
    rate = options.large / (time.perf_counter() - began)
    print(f"{options.large:>9,} messages: peak {large:6.1f} MB ({rate:,.0f}/s)")
    print(f"difference {large - small:.1f} MB, at most {BOUND:.0f} MB")
    if large - small > BOUND:
        sys.exit("The memory grows with the number of messages.")


if __name__ == "__main__":
    main()
