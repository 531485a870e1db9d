"""The list of traps is complete."""

from __future__ import annotations

import re
from pathlib import Path

TRAPS = set(range(1, 37))  # those of the SDK; 37 to 40 are about campaigns


def test_every_trap_has_its_test() -> None:
    """Each number from 1 to 36 stands in the name of a test in this folder."""
    text = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    found = {int(number) for number in re.findall(r"def test_trap_(\d\d)_\w+\(", text)}
    assert found == TRAPS
