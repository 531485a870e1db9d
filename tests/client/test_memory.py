"""Memory does not grow with the number of messages sent, nor with that of users read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MOST_SECONDS = 300  # two processes that send for a minute each, where the machine is busy
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a benchmark as its users do: without the tracer that may watch this suite."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=MOST_SECONDS - 10,
        env=plain,
    )


@pytest.mark.slow
@pytest.mark.timeout(MOST_SECONDS)
@pytest.mark.parametrize("options", [(), ("--ordered",)], ids=["plain", "ordered"])
def test_ten_times_the_messages_take_no_more_memory(options: tuple[str, ...]) -> None:
    """The benchmark's own bound holds at a tenth of its size, and it prints what it measured."""
    sizes = ("--large", "60000", "--small", "6000")
    done = run(str(BENCHMARKS / "memory.py"), *sizes, *options)
    assert done.returncode == 0, done.stderr
    found = re.search(r"difference (-?[\d.]+) MB", done.stdout)
    assert found is not None
    assert float(found[1]) < 10


@pytest.mark.slow
@pytest.mark.timeout(MOST_SECONDS)
def test_a_long_list_row_by_row_takes_no_more_memory() -> None:
    """The benchmark's own bound holds at a tenth of its size, and is far from what comes in."""
    options = ["--large", "100000", "--small", "1000", "--whole", "1000"]
    done = run(str(BENCHMARKS / "streaming.py"), *options)
    assert done.returncode == 0, done.stderr
    found = re.search(r"row by row (-?[\d.]+) MB", done.stdout)
    assert found is not None
    assert float(found[1]) < 10  # the answer has 19 MB, its users 60
