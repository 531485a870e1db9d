"""Messages per second, CPU, latency and memory of the SDK beside its peers, at several loads.

    python tests/benchmarks/throughput.py                        # everything; some 30 minutes
    python tests/benchmarks/throughput.py --in-flight 50 --peers SDK --rounds 5
    python tests/benchmarks/throughput.py --in-flight 50 1000 --peers SDK --seconds 10
    python tests/benchmarks/throughput.py --one-core             # as in a container with one CPU
    python tests/benchmarks/throughput.py --uvloop               # each peer on uvloop as well
    python tests/benchmarks/throughput.py --json figures.json    # for chart.py

Each measurement is a process of its own; the peers take turns, round after round, on one server.
Read the ratios (to aiohttp, and of a load to the first one; round by round, then their median): the
rest holds the machine's speed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from loopback import loopback_server
from peers import PEERS, Window

if TYPE_CHECKING:
    from collections.abc import Callable

IN_FLIGHT = (50, 1, 500, 1_000)  # load_ratio is to the first
BASE = "aiohttp"
ON_UVLOOP = ", uvloop"
COLUMNS = (
    *("rate", "ratio", "load_ratio", "cpu_us", "cpu_ratio"),
    *("p50_ms", "p99_ms", "peak_mb", "server_busy"),
)


def loop_factory(peer: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop of a peer; ``None`` for asyncio's own."""
    if not peer.endswith(ON_UVLOOP):
        return None
    import uvloop

    return uvloop.new_event_loop


def measure(peer: str, base_url: str, in_flight: int, seconds: float) -> dict[str, float]:
    """Run one peer in this process."""
    window = Window(in_flight, seconds)
    with asyncio.Runner(loop_factory=loop_factory(peer)) as runner:
        runner.run(PEERS[peer.removesuffix(ON_UVLOOP)](base_url, in_flight, window))
    answers = len(window.latencies)
    cuts = quantiles(window.latencies, n=100)
    return {
        "rate": answers / window.seconds,
        "cpu_us": window.cpu_seconds / answers * 1e6,
        "p50_ms": cuts[49] * 1e3,
        "p99_ms": cuts[98] * 1e3,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_a_child(peer: str, in_flight: int, seconds: float) -> dict[str, float]:
    """Measure one peer in a fresh process, against a fresh server whose own cost is added."""
    with loopback_server() as server:
        command = [sys.executable, __file__, "--child", peer, server.base_url]
        command += [str(in_flight), str(seconds)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    each = server.spent["cpu_seconds"] / server.spent["requests"]
    return found | {"server_us": each * 1e6, "server_busy": each * found["rate"]}


def compare(
    peers: list[str], loads: list[int], rounds: int, seconds: float
) -> dict[int, dict[str, dict[str, float]]]:
    """Let the peers take turns at every load; return medians, ratios being taken round by round."""
    found: dict[int, dict[str, list[dict[str, float]]]]
    found = {in_flight: {name: [] for name in peers} for in_flight in loads}
    for number in range(rounds):
        for in_flight, rows in found.items():
            for name in peers:
                rows[name].append(in_a_child(name, in_flight, seconds))
        for rows in found.values():
            for name in peers:
                mine, base, usual = rows[name][-1], rows[BASE][-1], found[loads[0]][name][-1]
                mine["ratio"] = mine["rate"] / base["rate"]
                mine["cpu_ratio"] = mine["cpu_us"] / base["cpu_us"]
                mine["load_ratio"] = mine["rate"] / usual["rate"]
        print(f"round {number + 1} of {rounds} is done", file=sys.stderr, flush=True)
    return {
        in_flight: {
            name: {key: median(row[key] for row in each) for key in each[0]}
            for name, each in rows.items()
        }
        for in_flight, rows in found.items()
    }


def show(in_flight: int, rows: dict[str, dict[str, float]]) -> None:
    """Print one table."""
    print(f"\n{in_flight} in flight (ratio, cpu_ratio: to {BASE}; server_busy: share of one core)")
    wide = max(map(len, rows)) + 1
    print(f"{'':{wide}}" + "".join(f"{column:>12}" for column in COLUMNS))
    for name, row in rows.items():
        cells = "".join(f"{row[column]:12.2f}" for column in COLUMNS)
        print(f"{name:{wide}}{cells}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        peer, base_url, in_flight, seconds = sys.argv[2:]
        print(json.dumps(measure(peer, base_url, int(in_flight), float(seconds))))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--in-flight", nargs="+", type=int, default=IN_FLIGHT)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one-core", action="store_true", help="bind all of it to one core")
    parser.add_argument("--uvloop", action="store_true", help="run each peer on uvloop as well")
    asked = parser.parse_args()
    if asked.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the children inherit it
    peers = [BASE, *(name for name in asked.peers if name != BASE)]
    if asked.uvloop:
        peers = [twin for name in peers for twin in (name, name + ON_UVLOOP)]
    figures = dict(sorted(compare(peers, asked.in_flight, asked.rounds, asked.seconds).items()))
    for load, rows in figures.items():
        show(load, rows)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
