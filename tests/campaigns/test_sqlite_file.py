"""The SQLite file: who may open it, what is said of a bad one, and what a full disk does."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from aldeamo_async import CampaignError
from aldeamo_async.campaigns import Entry, Result, SqliteLedger, State
from aldeamo_async.campaigns import _schema as schema
from aldeamo_async.campaigns._owner import owner_of
from aldeamo_async.campaigns._sqlite_file import fault, open_file
from support.campaigns import PHONE, entries

pytestmark = pytest.mark.real_clock

OTHER_PROCESS = """
import os, sys, anyio, anyio.to_thread
from aldeamo_async import CampaignError
from aldeamo_async.campaigns import SqliteLedger
async def main():
    if len(sys.argv) > 2:
        os.setuid(int(sys.argv[2]))
    ledger = SqliteLedger(sys.argv[1])
    try:
        await ledger.open()
    except CampaignError as error:
        print(error)
    await ledger.aclose()
anyio.run(main)
"""


def opened_elsewhere(path: Path, *user: str) -> str:
    """What another process is told when it opens a ledger."""
    command = [sys.executable, "-c", OTHER_PROCESS, str(path), *user]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


async def filled(path: Path, count: int = 3) -> None:
    """Make a ledger with some messages."""
    ledger = SqliteLedger(path)
    await ledger.open()
    await ledger.add("", entries(count))
    await ledger.aclose()


async def refused(path: Path) -> str:
    """What is said of a ledger that cannot be opened."""
    with pytest.raises(CampaignError) as caught:
        await SqliteLedger(path).open()
    return str(caught.value)


async def test_a_second_opener_is_told_who_owns_it(tmp_path: Path) -> None:
    """The error names process, host and time; after the close the file is free, without a note."""
    path = tmp_path / "promo.db"
    ledger = SqliteLedger(path)
    await ledger.open()
    told = await anyio.to_thread.run_sync(opened_elsewhere, path)
    assert f"in use by process {os.getpid()} on " in told
    assert "since 20" in told
    assert f"process {os.getpid()}" in await refused(path)
    await ledger.aclose()
    assert await anyio.to_thread.run_sync(opened_elsewhere, path) == ""
    assert os.listdir(tmp_path) == ["promo.db"]


def test_without_a_note_the_owner_is_another_process(tmp_path: Path) -> None:
    """A note that is missing or damaged does no harm."""
    path = tmp_path / "promo.db"
    assert owner_of(path) == "another process"
    note = path.with_name("promo.db.owner")
    for content in ("", "{}", "[]"):
        note.write_text(content)
        assert owner_of(path) == "another process"


async def test_a_note_that_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    """The lock decides, so a ledger opens without its note."""
    path = tmp_path / "promo.db"
    path.with_name("promo.db.owner").mkdir()
    await filled(path)
    assert path.exists()


async def test_the_file_is_safe_for_power_cuts(tmp_path: Path) -> None:
    """WAL, full synchronisation, an exclusive lock, no mmap: as the protocol needs them."""
    connection = await anyio.to_thread.run_sync(open_file, tmp_path / "promo.db")
    wanted = {"journal_mode": "wal", "synchronous": 2, "locking_mode": "exclusive", "mmap_size": 0}
    found = {
        name: (await anyio.to_thread.run_sync(connection.execute, f"PRAGMA {name}")).fetchone()[0]
        for name in wanted
    }
    connection.close()
    assert found == wanted


async def test_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    """A file that is no ledger is refused, and not one byte of it changes."""
    text = tmp_path / "notes.db"
    text.write_bytes(b"Dear diary, " * 1000)
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE diary (day TEXT)")
    connection.close()
    for path, said in ((text, "not a SQLite file"), (other, "of another program")):
        before = path.read_bytes()
        told = await refused(path)
        assert said in told
        assert "nothing in it was changed" in told
        assert path.read_bytes() == before


async def test_a_newer_ledger_is_left_alone(tmp_path: Path) -> None:
    """A file of a later version is refused instead of misread."""
    path = tmp_path / "promo.db"
    await filled(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "newer version" in await refused(path)


async def test_a_truncated_ledger_is_refused(tmp_path: Path) -> None:
    """A file that lost its end, or all of its content, is reported and not written to."""
    path = tmp_path / "promo.db"
    await filled(path, 500)
    whole = path.read_bytes()
    for size, said in ((len(whole) // 2, "damaged"), (0, "empty (0 bytes)")):
        path.write_bytes(whole[:size])
        assert said in await refused(path)
        assert path.read_bytes() == whole[:size]
    path.write_bytes(whole)
    await filled(path, 501)


async def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """A path that leads nowhere is named, with what to look at."""
    assert "folder exists" in await refused(tmp_path / "none" / "promo.db")


def test_a_read_only_ledger_is_refused() -> None:
    """A process that may not write the file is told so, and the file stays as it is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "promo.db")
        anyio.run(filled, path)
        before = path.read_bytes()
        path.chmod(0o444)
        path.parent.chmod(0o555)
        # For the superuser no file is read-only, so the other process is somebody else.
        told = opened_elsewhere(path, *(["65534"] if os.geteuid() == 0 else []))
        path.parent.chmod(0o755)
        assert "read-only" in told
        assert path.read_bytes() == before


async def test_a_file_that_may_not_be_written_is_not_even_opened(tmp_path: Path) -> None:
    """Where the file system says no, the error says so, and what a campaign needs."""
    path = tmp_path / "promo.db"
    await filled(path)
    with pytest.raises(CampaignError, match="read-only for this process"):
        await anyio.to_thread.run_sync(partial(open_file, path, access=lambda path, mode: False))


def test_an_old_sqlite_is_refused() -> None:
    """A Python with too old a SQLite says which one is needed."""
    schema.check_version((3, 37, 0))
    with pytest.raises(CampaignError, match=r"SQLite 3\.36\.0; a campaign needs 3\.37\.0"):
        schema.check_version((3, 36, 0))


async def test_write_ahead_mode_is_required() -> None:
    """Where SQLite cannot keep a write-ahead log, nothing is promised."""
    assert "write-ahead mode (memory)" in await refused(Path(":memory:"))


def test_a_ledger_moves_to_the_next_version(tmp_path: Path) -> None:
    """A file of version 1 gets the steps after it, with its rows as they were."""
    path = tmp_path / "promo.db"
    anyio.run(filled, path)
    connection = sqlite3.connect(path)
    steps = [*schema.STEPS, ["ALTER TABLE message ADD COLUMN tag TEXT NOT NULL DEFAULT 'none'"]]
    schema.check_ours(connection, "promo.db", steps)
    schema.migrate(connection, steps)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(steps),)
    assert connection.execute("SELECT line, tag FROM message").fetchall() == [
        (1, "none"),
        (2, "none"),
        (3, "none"),
    ]
    connection.close()


def test_every_sqlite_error_becomes_help() -> None:
    """Also an error without a number of SQLite's own is a CampaignError that names the file."""
    said = str(fault(sqlite3.ProgrammingError("odd"), Path("promo.db")))
    assert said == "promo.db cannot be used: odd."


async def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    """Every call after the close is a clear error."""
    ledger = SqliteLedger(tmp_path / "promo.db")
    with pytest.raises(CampaignError, match="is closed"):
        await ledger.counts()


async def test_a_full_disk_changes_nothing_and_is_no_end(tmp_path: Path) -> None:
    """When the file cannot grow nothing of the write is there; with space again, it works."""
    path = tmp_path / "promo.db"
    ledger = SqliteLedger(path)
    await ledger.open()
    await ledger.add("", entries(2))
    (job, _) = await ledger.claim("t1", 2)
    connection = ledger._connection
    assert connection is not None

    def limit(pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await anyio.to_thread.run_sync(limit, 1)  # SQLite takes the present size instead
    big = [Entry(n, f"b{n}", "sms", PHONE, "x" * 2000) for n in range(50)]
    with pytest.raises(CampaignError, match="disk is full"):
        await ledger.add("", big)
    assert (await ledger.counts()).total == 2
    assert await ledger.mark("t1", job.id)
    await anyio.to_thread.run_sync(limit, 1_000_000)
    assert (await ledger.add("", big)).added == 50
    await ledger.record("t1", Result(job.id, State.SENT))
    await ledger.aclose()


async def test_after_a_disk_error_nothing_more_is_written(tmp_path: Path) -> None:
    """What a failed write may have lost is not built upon until the file is opened anew."""
    path = tmp_path / "promo.db"
    ledger = SqliteLedger(path)
    await ledger.open()
    await ledger.add("", entries(1))
    (job,) = await ledger.claim("t1", 1)
    connection = ledger._connection
    assert connection is not None
    await anyio.to_thread.run_sync(connection.execute, "PRAGMA query_only = ON")
    with pytest.raises(CampaignError, match="read-only"):
        await ledger.mark("t1", job.id)
    await anyio.to_thread.run_sync(connection.execute, "PRAGMA query_only = OFF")
    with pytest.raises(CampaignError, match="read-only"):
        await ledger.claim("t1", 1)
    await ledger.aclose()
    await ledger.open()
    assert len(await ledger.claim("t1", 1)) == 1
    await ledger.aclose()


async def test_a_mistake_in_a_row_is_no_disk_error(tmp_path: Path) -> None:
    """A value that SQLite cannot hold is raised as it is, and undone."""
    ledger = SqliteLedger(tmp_path / "promo.db")
    await ledger.open()
    with pytest.raises(UnicodeEncodeError):
        await ledger.add("", [*entries(1), Entry(2, "\ud83d", "sms", PHONE, "x")])
    assert (await ledger.counts()).total == 0
    await ledger.aclose()
