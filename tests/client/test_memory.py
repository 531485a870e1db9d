"""The memory of a bulk run does not grow with the number of its messages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "memory.py"


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--ordered",)], ids=["plain", "ordered"])
def test_ten_times_the_messages_take_no_more_memory(options: tuple[str, ...]) -> None:
    """The benchmark's own bound holds at a tenth of its size, and it prints what it measured."""
    command = [sys.executable, str(BENCHMARK), "--large", "60000", "--small", "6000", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    found = re.search(r"difference (-?[\d.]+) MB", done.stdout)
    assert found is not None
    assert float(found[1]) < 10
