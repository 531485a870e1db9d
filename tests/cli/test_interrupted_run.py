"""Ctrl-C in the middle of a run: in this process, in a child, and on a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aldeamo_async.sandbox import Fault, Sandbox, Weather
from cli.interrupts import heard, interrupting, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.conftest import Cli

    Serve = Callable[[Sandbox], Cli]
    Write = Callable[..., Path]
    Results = Callable[[Path], list[dict[str, Any]]]

ROWS = 1000
LINES = ["channel,client_id,text", *(f"sms,573000000001,Hola {number}" for number in range(ROWS))]


def test_the_first_lets_those_in_flight_finish(
    served: Serve, write: Write, results: Results
) -> None:
    """After one Ctrl-C nothing is unknown, and every row has its line."""
    sandbox = Sandbox(latency=0.01)
    path = write(*LINES)
    cli = served(sandbox)
    with interrupting(lambda: sandbox.delivered > 5):
        result = cli("--json", "send-many", path, "--concurrency", 4)
    assert result.exit_code == 130
    report = json.loads(result.stdout)
    assert report["stopped"] == "interrupted"
    assert report["counts"]["unknown"] == 0
    assert report["counts"]["sent"] == sandbox.delivered
    assert report["counts"]["sent"] + report["counts"]["not_started"] == ROWS
    assert "Stopping: interrupted. No more rows are taken" in result.stderr
    lines = results(path.with_name("promo.csv.results.jsonl"))
    assert [line["row"] for line in lines] == list(range(1, ROWS + 1))
    assert {line["verdict"] for line in lines} == {"sent", "not_started"}


def test_the_second_cancels_them(served: Serve, write: Write, results: Results) -> None:
    """After two, those in flight are written down as unknown, for they may have been delivered."""
    hang = Fault.HANG_AFTER_EFFECT.with_(seconds=25)
    sandbox = Sandbox(weather=Weather.sequence([None, hang, hang], repeat=True))
    path = write(*LINES)
    cli = served(sandbox)
    with interrupting(lambda: sandbox.delivered > 2, lambda: heard() == 1):
        result = cli("--json", "send-many", path, "--concurrency", 2)
    assert result.exit_code == 130
    counts = json.loads(result.stdout)["counts"]
    assert counts["unknown"] == 2
    lines = results(path.with_name("promo.csv.results.jsonl"))
    assert len(lines) == ROWS
    unknown = [line for line in lines if line["verdict"] == "unknown"]
    assert {line["error"] for line in unknown} == {"Interrupted"}
    assert all("MAY have been delivered" in line["help"] for line in unknown)


def test_a_file_that_is_gone_when_the_rest_is_written(
    served: Serve, write: Write, results: Results
) -> None:
    """When the input cannot be read again, the report still counts what was not started."""
    sandbox = Sandbox(latency=0.01)
    path = write(*LINES)
    cli = served(sandbox)

    def gone() -> bool:
        if sandbox.delivered > 5:
            path.unlink()
        return not path.exists()

    with interrupting(gone):
        result = cli("--json", "send-many", path, "--concurrency", 4)
    report = json.loads(result.stdout)
    assert result.exit_code == 130
    assert "cannot be read" in report["fault"]
    assert report["counts"]["sent"] + report["counts"]["not_started"] == ROWS
    assert len(results(path.with_name("promo.csv.results.jsonl"))) == report["counts"]["sent"]


def test_a_ctrl_c_after_the_last_row_interrupts_nothing(
    served: Serve, write: Write, results: Results
) -> None:
    """When every row has its verdict, the run was not interrupted."""
    hang = Fault.HANG_AFTER_EFFECT.with_(seconds=0.5)
    sandbox = Sandbox(weather=Weather.sequence([hang]))
    path = write(*LINES[:2])
    cli = served(sandbox)
    with interrupting(lambda: sandbox.delivered == 1):
        result = cli("send-many", path)
    assert result.exit_code == 0
    assert len(results(path.with_name("promo.csv.results.jsonl"))) == 1


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "aldeamo_async", *map(str, arguments)]


@pytest.fixture
def environment(cli: Cli) -> Callable[[str], dict[str, str]]:
    """The environment of a child that talks to a sandbox."""

    def make(url: str) -> dict[str, str]:
        return {**os.environ, "ALDEAMO_API_KEY": "test-key", "ALDEAMO_BASE_URL": url}

    return make


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_child_process_ends_gracefully(
    served: Serve,
    write: Write,
    results: Results,
    environment: Callable[[str], dict[str, str]],
    number: signal.Signals,
) -> None:
    """A real process that gets SIGINT or SIGTERM leaves a whole results file and ends with 130."""
    sandbox = Sandbox(latency=0.01)
    path = write(*LINES)
    url = str(served(sandbox).url)
    with subprocess.Popen(
        command("send-many", path, "--concurrency", 2),
        env=environment(url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: sandbox.delivered > 5)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "not started" in out
    assert len(results(path.with_name("promo.csv.results.jsonl"))) == ROWS
    assert sandbox.duplicates == 0


def test_a_child_that_is_killed_leaves_whole_lines(
    served: Serve, write: Write, environment: Callable[[str], dict[str, str]]
) -> None:
    """kill -9 leaves a results file whose every line is whole and true."""
    sandbox = Sandbox(latency=0.005)
    path = write(*LINES)
    url = str(served(sandbox).url)
    with subprocess.Popen(
        command("send-many", path, "--concurrency", 2),
        env=environment(url),
        stderr=subprocess.DEVNULL,
    ) as process:
        until(lambda: sandbox.delivered > 20)
        process.kill()
    text = path.with_name("promo.csv.results.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert text.endswith("\n")
    assert {line["verdict"] for line in lines} == {"sent"}
    assert 0 < len(lines) <= sandbox.delivered


def test_a_child_waiting_for_a_terminal_can_be_interrupted(
    served: Serve, tmp_path: Path, environment: Callable[[str], dict[str, str]]
) -> None:
    """Ctrl-C ends a run that waits for rows that never come, and the process ends at once."""
    sandbox = Sandbox()
    url = str(served(sandbox).url)
    with subprocess.Popen(
        command("send-many", "-", "--results", tmp_path / "r.jsonl"),
        env=environment(url),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(("\n".join(LINES[:4]) + "\n").encode())
        process.stdin.flush()
        until(lambda: sandbox.delivered == 3)  # rows go out as they come, not when the pipe ends
        process.send_signal(signal.SIGINT)
        code = process.wait(20)
        errors = process.stderr.read().decode()
    assert code == 130
    assert "Fatal" not in errors
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 3


def test_the_bar_on_a_terminal(
    served: Serve, write: Write, environment: Callable[[str], dict[str, str]]
) -> None:
    """On a terminal the run shows a bar with the three counts; the report goes to stdout."""
    url = str(served(Sandbox(latency=0.01)).url)
    master, slave = pty.openpty()
    with subprocess.Popen(
        command("send-many", write(*LINES[:200]), "--concurrency", 2),
        env=environment(url) | {"TERM": "xterm", "COLUMNS": "150"},
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
    ) as process:
        os.close(slave)
        screen = b""
        with contextlib.suppress(OSError):  # EIO: the other side has closed the terminal
            while piece := os.read(master, 65536):
                screen += piece
        assert process.stdout is not None
        report = process.stdout.read().decode()
    os.close(master)
    shown = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", screen).decode()
    assert process.returncode == 0
    assert "━" in shown
    assert re.search(r"\d+/199", shown)
    assert re.search(r"sent \d+ +rejected 0 +unknown 0", shown)
    assert "199 rows in" in report
    assert "━" not in report
