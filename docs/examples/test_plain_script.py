"""The plain script, run as a program."""

from __future__ import annotations

import csv
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import plain_script
from aldeamo_async.sandbox import Fault, Weather

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aldeamo_async.sandbox import Sandbox

CUSTOMERS = "client_id,name\n" + "".join(f"5730000000{n:02},Ana {n}\n" for n in range(60))


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    """A file of sixty customers."""
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS, encoding="utf-8")
    return path


def run(path: Path) -> subprocess.CompletedProcess[str]:
    # What is left open is a ResourceWarning, and so a line on stderr.
    command = [sys.executable, "-W", "error", plain_script.__file__, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def left_of(path: Path) -> list[str]:
    with path.with_suffix(".left.csv").open(newline="", encoding="utf-8") as file:
        return [row["fate"] for row in csv.DictReader(file)]


@pytest.mark.usefixtures("aldeamo_env")
def test_the_script_accounts_for_every_row(
    customers: Path, aldeamo_sandbox: Sandbox, assert_no_duplicates: Callable[[], None]
) -> None:
    """What was not sent, and what is unknown, is in the file that it leaves; nothing is doubled."""
    faults = [Fault.STATUS_FALSE, Fault.DROP_AFTER_EFFECT, Fault.RATE_LIMITED.with_(retry_after=0)]
    aldeamo_sandbox.weather = Weather.sequence(faults, only="sends")
    done = run(customers)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "58 sent, 1 not sent, 1 unknown\n"
    assert sorted(left_of(customers)) == ["not sent", "unknown"]
    assert aldeamo_sandbox.delivered == 59
    assert_no_duplicates()


@pytest.mark.usefixtures("aldeamo_env")
async def test_the_script_ends_well_when_all_went_well(
    customers: Path, aldeamo_sandbox: Sandbox
) -> None:
    """Exit code 0, and an empty list of what is left."""
    assert await plain_script.main(customers) == 0
    assert left_of(customers) == []
    assert aldeamo_sandbox.delivered == 60
