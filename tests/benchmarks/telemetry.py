"""What observing costs: sends without an observer, with one that does nothing, with OpenTelemetry.

Run it: python tests/benchmarks/telemetry.py [--count 3000] [--rounds 7] [--against FOLDER]
All go to the same double in this process, in turn, and the figures are medians of ratios to the
first. ``--against`` names another checkout of the package, whose client takes part without an
observer in processes of its own: with the commit before this benchmark it shows what the question
"is anybody observing?" costs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import anyio

from aldeamo_async import AsyncBotsClient
from aldeamo_async.transports import WireResponse

BODY = b'{"status": true, "codigo": 0, "message": "Message sent", "data": 32}'
HERE = Path(__file__).parents[2]


class Echo:
    """A transport that says yes at once."""

    async def exchange(self, request: object, timeouts: object) -> WireResponse:
        await anyio.lowlevel.checkpoint()
        return WireResponse(200, (), BODY)

    async def aclose(self) -> None:
        """Nothing is open."""


async def sending(count: int, **options: object) -> float:
    """Return the seconds that so many sends take, one after another."""
    async with AsyncBotsClient("test-key", transport=Echo(), **options) as client:  # type: ignore[arg-type]
        began = time.perf_counter()
        for _ in range(count):
            await client.send("sms", "573000000001", "Hola")
        return time.perf_counter() - began


def observers() -> dict[str, dict[str, object]]:
    """Return the contestants by name."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    from aldeamo_async.telemetry import Observer, OpenTelemetry

    sdk = OpenTelemetry(tracer_provider=TracerProvider(), meter_provider=MeterProvider())
    return {
        "off": {},
        "off again": {},
        "an observer that does nothing": {"observer": Observer()},
        "OpenTelemetry, API only": {"observer": OpenTelemetry()},
        "OpenTelemetry, SDK": {"observer": sdk},
    }


def report(times: dict[str, list[float]], count: int) -> None:
    """Print each contestant's median, and the median of its ratios to the first of its round."""
    first = next(iter(times.values()))
    for name, taken in times.items():
        ratio = median(mine / theirs for mine, theirs in zip(taken, first, strict=True))
        print(f"{name:<32} {1e6 * median(taken) / count:8.1f} us a send   x {ratio:.3f}")


def in_process(folder: Path, count: int) -> float:
    """Return the seconds of one run of the checkout in `folder`."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, __file__, "--one", str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure in turn, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--one", type=int)
    arguments = parser.parse_args()
    if arguments.one:
        anyio.run(sending, 300)  # warm
        print(min(anyio.run(sending, arguments.one) for _ in range(3)))
        return
    times: dict[str, list[float]] = {}
    if arguments.against:
        folders = {
            "that checkout": arguments.against,
            "this one": HERE,
            "that again": arguments.against,
        }
        for _ in range(arguments.rounds):
            for name, folder in folders.items():
                times.setdefault(name, []).append(in_process(folder, arguments.count))
    else:
        contestants = observers()
        for _ in range(arguments.rounds):
            for name, options in contestants.items():

                async def one(options: dict[str, object] = options) -> float:
                    return await sending(arguments.count, **options)

                times.setdefault(name, []).append(anyio.run(one))
    report(times, arguments.count)


if __name__ == "__main__":
    main()
