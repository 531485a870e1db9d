"""campaign: load, run, look, export and settle, on both event loops."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import quote

import anyio
import pytest

from aldeamo_async import UsageError
from aldeamo_async.campaigns import Progress, SendWindow, SqliteLedger
from aldeamo_async.cli._campaign_run import _note, window_of
from aldeamo_async.sandbox import Fault, Sandbox, Weather
from cli.conftest import HEADER, rows
from cli.interrupts import heard, interrupting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.conftest import Cli

    Serve = Callable[[Sandbox], Cli]
    Write = Callable[..., Path]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/promo.db"


def test_the_whole_way(served: Serve, write: Write, url: str, tmp_path: Path) -> None:
    """Load, run, status and export say the same of a campaign that went well."""
    sandbox = Sandbox()
    cli = served(sandbox)
    path = write(HEADER, *rows(40))
    loaded = cli.json("campaign", "load", url, path)
    assert (loaded["rows"], loaded["added"], loaded["bad_rows"]) == (40, 40, [])
    assert cli.json("campaign", "load", url, path)["duplicates"] == 40
    report = cli("--json", "campaign", "run", url, "--concurrency", 7)
    assert report.exit_code == 0
    assert json.loads(report.stdout)["sent"] == 40
    status = cli.json("campaign", "status", url)
    assert status["counts"]["sent"] == 40
    assert status == json.loads(report.stdout)["status"]
    out = tmp_path / "out.jsonl"
    assert cli.json("campaign", "export", url, out) == {"lines": 40, "file": str(out)}
    assert {json.loads(line)["state"] for line in out.read_text().splitlines()} == {"sent"}
    assert (sandbox.delivered, sandbox.duplicates) == (40, 0)


def test_a_campaign_on_a_server(
    served: Serve, write: Write, shared_postgres_url: str, tmp_path: Path
) -> None:
    """The same commands work on a campaign in PostgreSQL."""
    sandbox = Sandbox(weather=Weather.sequence([Fault.BAD_GATEWAY]))
    cli = served(sandbox)
    url = f"{shared_postgres_url}&campaign={quote(str(tmp_path))}"
    assert cli.json("campaign", "load", url, write(HEADER, *rows(40)))["added"] == 40
    assert cli("campaign", "run", url).exit_code != 0
    assert cli.json("campaign", "status", url)["counts"]["unknown"] == 1
    assert cli("campaign", "resolve", url, "assume_sent").exit_code == 0
    out = tmp_path / "out.jsonl"
    assert cli.json("campaign", "export", url, out)["lines"] == 40
    assert {json.loads(line)["state"] for line in out.read_text().splitlines()} == {"sent"}
    assert sandbox.duplicates == 0


def test_every_fate_in_words(served: Serve, write: Write, url: str) -> None:
    """People read what was bad, rejected and unknown, and why; the exit code says the worst."""
    weather = Weather.sequence([None, Fault.STATUS_FALSE, Fault.BAD_GATEWAY])
    cli = served(Sandbox(weather=weather))
    path = write(HEADER, *rows(5), *(["sms,,x"] * 12))
    loaded = cli("campaign", "load", url, path)
    assert loaded.exit_code == 3
    assert "17 rows" in loaded.stdout
    assert "5 added, 0 there before, 12 bad." in loaded.stdout
    assert "line 7: no value for client_id" in loaded.stdout
    assert "and 2 more; an export has all of them" in loaded.stdout
    run = cli("campaign", "run", url, "--concurrency", 1, "--max-rejected", 9)
    assert run.exit_code == 4
    assert "What stood in the way: ApiError codigo 7 1, DeliveryUnknown" in run.stdout
    assert "Most time went into:" in run.stdout
    status = cli("campaign", "status", url).stdout
    assert "5 messages." in status
    assert "- ApiError codigo 7" in status
    resolved = cli("campaign", "resolve", url, "assume_sent").stdout
    assert resolved == "Unknown messages: 0 held, 1 assumed sent, 0 resend.\n"
    assert cli("campaign", "run", url).exit_code == 3


def test_a_run_says_what_was_put_off(served: Serve, write: Write, url: str) -> None:
    """Refusals for now are waited out within the run, and told."""
    weather = Weather.sequence([Fault.RATE_LIMITED_DECIMAL.with_(retry_after=0.1)] * 4)
    cli = served(Sandbox(weather=weather))
    cli("campaign", "load", url, write(HEADER, *rows(1)))
    run = cli("campaign", "run", url)
    assert run.exit_code == 0
    assert "1 times a message was put off" in run.stdout


def test_a_refused_key(served: Serve, write: Write, url: str) -> None:
    """A run with a wrong key ends with 5, and leaves all for the next."""
    cli = served(Sandbox())
    cli("campaign", "load", url, write(HEADER, *rows(9)))
    run = cli("campaign", "run", url, key="wrong-key")
    assert run.exit_code == 5
    assert "Stopped early: the API refuses the key" in run.stdout
    assert cli.json("campaign", "status", url)["counts"]["pending"] == 9


def test_what_a_dead_run_left(served: Serve, write: Write, url: str) -> None:
    """The run after a dead one says how many messages it found on the way, now unknown."""
    cli = served(Sandbox())
    cli("campaign", "load", url, write(HEADER, *rows(3)))

    async def die() -> None:
        ledger = SqliteLedger(url.removeprefix("sqlite:///"))
        await ledger.open()
        (job, *_) = await ledger.claim("dead", 3)
        await ledger.mark("dead", job.id)
        await ledger.aclose()

    anyio.run(die)
    run = cli("campaign", "run", url)
    assert run.exit_code == 4
    assert "1 were in flight when an earlier run died: now unknown." in run.stdout
    assert cli.json("campaign", "status", url)["counts"]["unknown"] == 1


def test_ctrl_c_lets_those_in_flight_finish(served: Serve, write: Write, url: str) -> None:
    """One Ctrl-C ends the run with 130, nothing unknown; the next run goes on."""
    sandbox = Sandbox(latency=0.3)
    cli = served(sandbox)
    cli("campaign", "load", url, write(HEADER, *rows(60)))
    with interrupting(lambda: heard() is not None and sandbox.delivered > 4):
        run = cli("campaign", "run", url, "--concurrency", 5)
    assert run.exit_code == 130
    assert "Stopping: 5 in flight are finishing." in run.stderr
    assert "Stopped early: interrupted. Run it again to go on." in run.stdout
    counts = cli.json("campaign", "status", url)["counts"]
    assert counts["unknown"] == counts["attempting"] == 0
    assert counts["sent"] + counts["pending"] == 60
    sandbox.latency = 0.0
    assert cli("campaign", "run", url).exit_code == 0
    assert (sandbox.delivered, sandbox.duplicates) == (60, 0)


def test_a_ledger_in_use(cli: Cli, url: str, tmp_path: Path) -> None:
    """The second to come is told who has the file."""
    import sqlite3

    cli("campaign", "status", url)
    with closing(sqlite3.connect(tmp_path / "promo.db")) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        told = cli("--json", "campaign", "status", url)
    assert told.exit_code == 1
    assert json.loads(told.stderr)["error"] == "CampaignError"
    assert "in use by another process" in told.stderr


def test_wrong_options(cli: Cli, url: str, write: Write) -> None:
    """A URL, a file and hours that make no sense are explained, with exit code 2."""
    for arguments in (
        ("status", "promo.db"),
        ("load", url, "none.csv"),
        ("export", url, "out"),
        ("run", url, "--hours", "mon-fri"),
        ("run", url, "--ley-2300"),
    ):
        assert cli("campaign", *arguments).exit_code == 2


def test_windows_from_options() -> None:
    """Hours, zone and holidays make a send window; the law's preset brings its own hours."""
    closed = {date(2026, 12, 8)}
    assert window_of((), "UTC", set(), ley_2300=False) is None
    hours = ("mon-fri=08:00-18:00", "sat=09:00-12:00")
    window = window_of(hours, "America/Bogota", closed, ley_2300=False)
    same = {"mon-fri": ("08:00", "18:00"), "sat": ("09:00", "12:00")}
    assert window == SendWindow(same, "America/Bogota", holidays=closed)
    law = window_of((), "America/Bogota", closed, ley_2300=True)
    assert law == SendWindow.ley_2300(holidays=closed)
    with pytest.raises(UsageError, match="sets the hours itself"):
        window_of(hours, "UTC", closed, ley_2300=True)


def test_what_the_screen_notes() -> None:
    """Beside the counts a run shows what it waits for, its limit, and the brake."""
    assert _note(Progress(waiting="the network"), 50, 50) == "waiting for the network"
    assert _note(Progress(), float("inf"), float("inf")) == ""
    assert _note(Progress(), 50, 50) == "limit 50/s"
    assert _note(Progress(), 50, 35) == "limit 50/s, braked to 35/s"
    assert _note(Progress(), float("inf"), 35) == "braked to 35/s"


def test_a_long_load_shows_progress(cli: Cli, write: Write, url: str) -> None:
    """Every hundred thousand rows a line on stderr says how far it is."""
    path = write(HEADER, *["fax,1,x"] * 100_000)
    loaded = cli("campaign", "load", url, path)
    assert loaded.stderr == "100000 rows read\n"
    assert loaded.exit_code == 3


def test_no_key_is_needed_but_to_run(cli: Cli, url: str) -> None:
    """Looking at a campaign needs no key, and running one in the sandbox neither."""
    assert cli("campaign", "status", url, key="").exit_code == 0
    assert cli("campaign", "run", url, "--sandbox", "--rate", 5, key="").exit_code == 0
