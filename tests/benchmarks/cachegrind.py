"""What a message costs in instructions of the processor, beside peers: no neighbour changes it.

    python tests/benchmarks/cachegrind.py                        # some 6 minutes
    python tests/benchmarks/cachegrind.py aiohttp "SDK, fast"    # these alone

Each peer sends two numbers of messages under valgrind's cachegrind; the difference is what the
messages cost, without the start. What the kernel does is not counted: it is the same for all.
Needs `valgrind` on the machine. The ratios are to the first peer.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys

from loopback import loopback_server
from peers import PEERS

SHOWN = ("aiohttp", "bare httptools", "SDK, fast", "bare httpx lanes", "SDK, 100 lanes")
IN_FLIGHT = 50
FEW, MANY = 600, 1_800  # messages
VALGRIND = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")


class Ration:
    """A window that closes after so many answers."""

    def __init__(self, answers: int) -> None:
        self._left = answers

    @property
    def open(self) -> bool:
        """Whether another message is to be sent."""
        return self._left > 0

    def answered(self, seconds: float) -> None:
        """Take note of one answer."""
        self._left -= 1


def instructions(peer: str, messages: int) -> int:
    """Count the instructions of a process that sends so many messages."""
    with loopback_server() as server:
        command = [*VALGRIND, sys.executable, __file__, "--child", peer, server.base_url]
        done = subprocess.run(
            [*command, str(messages)],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": "0"},
        )
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    assert found, done.stderr
    return int(found[1].replace(",", ""))


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        peer, base_url, messages = sys.argv[2:]
        window = Ration(int(messages))
        asyncio.run(PEERS[peer](base_url, IN_FLIGHT, window))
        return
    first = None
    for peer in sys.argv[1:] or SHOWN:
        each = (instructions(peer, MANY) - instructions(peer, FEW)) / (MANY - FEW)
        first = first or each
        print(f"{peer:<18} {each:11,.0f} instructions a message {each / first:6.2f} x", flush=True)


if __name__ == "__main__":
    main()
