"""The results file: whole lines, never overwritten, never lost."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from aldeamo_async._files import FileFault
from aldeamo_async.cli._results import COLUMNS, results_to

LINE = {"row": 1, "verdict": "sent", "help": 'two\nlines, "quoted"', "message_id": None}


def test_json_lines_are_on_disk_at_once(tmp_path: Path) -> None:
    """A batch is in the file before the next one comes, so a crash leaves whole lines."""
    path = tmp_path / "r.jsonl"
    with results_to(path, force=False) as results:
        results.write([LINE, LINE])
        assert [json.loads(line) for line in path.read_text().splitlines()] == [LINE, LINE]


def test_csv_has_one_line_for_each_row(tmp_path: Path) -> None:
    """The suffix .csv gives a header and one line a row, whatever a cell holds."""
    path = tmp_path / "r.CSV"
    with results_to(path, force=False) as results:
        results.write([LINE])
    header, row = csv.reader(path.read_text().splitlines())
    assert tuple(header) == COLUMNS
    found = dict(zip(header, row, strict=True))
    assert found["help"] == 'two lines, "quoted"'
    assert (found["row"], found["message_id"], found["segments"]) == ("1", "", "")


def test_an_old_file_is_kept(tmp_path: Path) -> None:
    """A file that exists is refused, and overwritten only by force."""
    path = tmp_path / "r.jsonl"
    path.write_text("old\n")
    with pytest.raises(FileFault, match="--force"), results_to(path, force=False):
        pass
    assert path.read_text() == "old\n"
    with results_to(path, force=True):
        pass
    assert path.read_text() == ""


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A place that cannot be written is a fault before anything is sent."""
    with (
        pytest.raises(FileFault, match="cannot be written"),
        results_to(tmp_path / "no" / "r.jsonl", force=False),
    ):
        pass


def test_nowhere_and_stdout(capsys: Any) -> None:
    """No path writes nothing; a dash writes to stdout."""
    with results_to(None, force=False) as results:
        results.write([LINE])
        results.discard()
    assert capsys.readouterr().out == ""
    with results_to(Path("-"), force=False) as results:
        results.write([LINE])
    assert json.loads(capsys.readouterr().out) == LINE


def test_a_full_disk_loses_nothing(capsys: Any) -> None:
    """When the disk gives up, this batch and all others go to stderr."""
    with results_to(Path("/dev/full"), force=True) as results:
        assert results.fault is None
        results.write([LINE])
        results.write([LINE | {"row": 2}])
    assert "No space left on device" in str(results.fault)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["row"] for line in lines] == [1, 2]


def test_a_run_that_never_began_leaves_no_file(tmp_path: Path) -> None:
    """Discarding takes the file away."""
    path = tmp_path / "r.csv"
    with results_to(path, force=False) as results:
        results.discard()
    assert not path.exists()
