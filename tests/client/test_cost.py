"""What a message costs, counted in instructions of the interpreter: the same on every machine.

Rule: a budget is what the code takes today on CPython 3.11, and a tenth. One that breaks wants a
look at what was added to the way of every message; raise it only with a reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "instructions.py"
BUDGET = {"send": 2_101, "send_many": 2_274, "send, lanes": 3_301, "send, httptools": 3_114}
# Other versions of Python cut the same code into other instructions.
SPARE = 1.1 if sys.version_info[:2] == (3, 11) else 1.25


def test_a_message_costs_no_more_instructions_than_it_did() -> None:
    """Each way of sending runs as many instructions of this package for a message as budgeted."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=plain,
    )
    spent = json.loads(done.stdout)
    assert spent.keys() == BUDGET.keys()
    over = {name: spent[name] for name in BUDGET if spent[name] > BUDGET[name] * SPARE}
    assert over == {}
