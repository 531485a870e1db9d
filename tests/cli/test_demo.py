"""The guided tour and its report."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING

import anyio
import attrs
import pytest

from aldeamo_async import demo
from aldeamo_async.cli import _demo
from aldeamo_async.demo import DemoReport, tour

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Cli

pytestmark = pytest.mark.real_clock


async def test_the_tour_adds_up(tmp_path: Path) -> None:
    """Every row has one outcome, nothing arrives twice, and the sandbox confirms each outcome."""
    seen: list[int] = []
    report = await tour(
        tmp_path, rows=150, api_rate=50.0, progress=lambda counts: seen.append(counts.rows)
    )
    assert report.adds_up
    assert report.sent + report.rejected + report.unknown == report.rows == 150
    assert (report.duplicates, report.sent_but_not_delivered, report.rejected_but_delivered) == (
        0,
        0,
        0,
    )
    assert 0 < report.unknown_delivered <= report.unknown
    assert report.throttled > 0
    assert report.longest_freeze > 0
    assert report.lowest_rate < demo.RATE
    assert report.faults > 0
    assert seen == sorted(seen)
    assert seen[0] == 0
    rows = list(csv.DictReader((await anyio.Path(report.file).read_text()).splitlines()))
    assert len(rows) == 150
    assert len({row["text"] for row in rows}) == 150
    assert all(row["client_id"].startswith("5730000000") for row in rows)


async def test_progress_is_optional(tmp_path: Path) -> None:
    """Without a progress function the tour runs silently."""
    assert (await tour(tmp_path, rows=5)).adds_up


REPORT = DemoReport(
    rows=10, sent=8, rejected=1, unknown=1, delivered=9, duplicates=0, unknown_delivered=1,
    sent_but_not_delivered=0, rejected_but_delivered=0, retries=0, requests=10, faults=2,
    seconds=1.0, rate=10.0, longest_freeze=0.0, lowest_rate=400.0, throttled=0, problems={},
    file="demo.csv", )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"sent": 9},
        {"delivered": 10},
        {"duplicates": 1},
        {"sent_but_not_delivered": 1},
        {"rejected_but_delivered": 1},
    ],
)
def test_a_report_that_does_not_add_up(change: dict[str, int]) -> None:
    """A lost row, a second delivery or an untrue verdict is found out, and said in capitals."""
    assert REPORT.adds_up
    assert "The report adds up." in _demo.text_of(REPORT)
    assert "no reason to brake" in _demo.text_of(REPORT)
    braked = attrs.evolve(REPORT, throttled=2, longest_freeze=0.9, lowest_rate=150.0)
    assert "froze for up to 0.9 s and braked from 400/s to 150/s" in _demo.text_of(braked)
    wrong = attrs.evolve(REPORT, **change)
    assert not wrong.adds_up
    assert "DOES NOT ADD UP" in _demo.text_of(wrong)


def test_the_command(cli: Cli) -> None:
    """`aldeamo demo` ends with 0, an honest report and what to try next."""
    result = cli("demo", "--rows", 60)
    assert result.exit_code == 0
    for words in ("60 messages in", "duplicates      0", "The report adds up.", "Next:"):
        assert words in result.stdout


def test_the_command_for_programs(cli: Cli, tmp_path: Path) -> None:
    """--json gives the report as one document; --dir keeps the file."""
    folder = tmp_path / "tour"
    report = cli.json("demo", "--rows", 60, "--dir", folder, "--seed", 2)
    assert (report["rows"], report["duplicates"], report["adds_up"]) == (60, 0, True)
    assert report["file"] == str(folder / "demo.csv")
    assert len((folder / "demo.csv").read_text().splitlines()) == 61
    assert json.dumps(report)


def test_without_the_extra(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra `sandbox` demo and sandbox say how to install it."""
    monkeypatch.delitem(sys.modules, "aldeamo_async.sandbox._server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    from aldeamo_async import sandbox

    monkeypatch.delattr(sandbox, "_server")
    for name in ("demo", "sandbox"):
        result = cli(name)
        assert result.exit_code == 2
        assert "pip install 'aldeamo-async[sandbox]'" in result.stderr
