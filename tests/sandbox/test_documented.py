"""The page about the sandbox is complete and true."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from aldeamo_async.sandbox import Fault, Moment, Sandbox

PAGE = (Path(__file__).parents[2] / "docs/explain/sandbox-differences.md").read_text("utf-8")


@pytest.mark.parametrize("fault", Fault.every(), ids=repr)
def test_every_fault_has_its_row(fault: Fault) -> None:
    """The page says of every fault what the client sees and whether a send is delivered."""
    waits = fault.hang is not None and fault.hang < Moment.EFFECT
    delivered = "if the client waits" if waits else "yes" if fault.effect else "no"
    assert f"| `{fault.name}` | {fault.sees} | {delivered} |" in PAGE


OPTIONS = set(inspect.signature(Sandbox).parameters) - {"api_key", "clock", "wall_clock"}


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_every_option_is_told(option: str) -> None:
    """The page names every option that changes an invention."""
    assert f"`{option}" in PAGE
