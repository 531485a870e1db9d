"""What an import costs beside `import httpx`: CPU seconds of fresh interpreters, taking turns.

python tests/benchmarks/imports.py [rounds]
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

PEERS = {
    "import httpx": "import httpx",
    "import aldeamo_async": "import aldeamo_async",
    "its client": "from aldeamo_async import AsyncBotsClient",
    "its campaigns": "from aldeamo_async import Campaign",
    "import aiohttp": "import aiohttp",
}
MEASURE = "import time; at = time.process_time(); {}; print(time.process_time() - at)"


def seconds(code: str) -> float:
    """Run one import in a process of its own."""
    command = [sys.executable, "-c", MEASURE.format(code)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    found: dict[str, list[float]] = {name: [] for name in PEERS}
    for _ in range(rounds):
        for name, code in PEERS.items():
            found[name].append(seconds(code))
    base = found["import httpx"]
    for name, times in found.items():
        ratio = median(mine / theirs for mine, theirs in zip(times, base, strict=True))
        print(f"{name:22} {median(times) * 1e3:6.0f} ms  {ratio:5.2f} x httpx")


if __name__ == "__main__":
    main()
