"""Opening a SQLite ledger file: the lock, the settings, and what is said when something is wrong.

Rule 1: one connection, and the file is locked for it alone (SQLite before 3.51.3 can corrupt a WAL
that two connections write to); what another process wants to know, it is told by an export.
Rule 2: nothing is written before the file is known to be ours.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final

from .._errors import CampaignError
from ._owner import claim_note, drop_note, owner_of
from ._schema import check_ours, check_version, migrate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Seconds; a predecessor that is just letting go, and not more: who is locked out wants to know.
_LOCK_PATIENCE: Final = 0.5
_SETTINGS: Final = (
    "PRAGMA synchronous = FULL",  # a mark must outlive a power cut
    "PRAGMA fullfsync = ON",  # macOS: a plain fsync does not reach the disk
    "PRAGMA mmap_size = 0",  # real corruption was seen with it, and a full disk would be a SIGBUS
    "PRAGMA cache_size = -8000",  # KiB; the memory of a run of any size stays bounded
)


def open_file(path: Path, *, access: Callable[[Path, int], bool] = os.access) -> sqlite3.Connection:
    """Open a ledger file for this process alone, made or migrated as needed; call it in a worker
    thread."""
    check_version(sqlite3.sqlite_version_info)
    if path.exists() and path.stat().st_size == 0:
        raise CampaignError(
            f"{path} is empty (0 bytes): its content was lost, or its making was cut off. "
            "If nothing was ever loaded into it, delete it and start again; otherwise bring back a "
            "copy, for a fresh ledger does not know what was sent."
        )
    if path.exists() and not (access(path, os.W_OK) and access(path.parent, os.W_OK)):
        raise CampaignError(f"{path} {_MEANINGS[sqlite3.SQLITE_READONLY]}.")
    connection = None
    try:
        connection = sqlite3.connect(
            path, timeout=_LOCK_PATIENCE, isolation_level=None, check_same_thread=False
        )
        _prepare(connection, path)
    except sqlite3.Error as error:
        _give_up(connection)
        raise fault(error, path) from None
    except CampaignError:
        _give_up(connection)
        raise
    claim_note(path)
    return connection


def _give_up(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    check_ours(connection, str(path))
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise CampaignError(
            f"{path} cannot be opened in write-ahead mode ({mode}); use a file on a local disk."
        )
    for setting in _SETTINGS:
        connection.execute(setting)
    connection.execute("BEGIN IMMEDIATE")
    migrate(connection)
    connection.execute("COMMIT")


def close_file(connection: sqlite3.Connection, path: Path) -> None:
    """Close the file; the lock and the note about its owner go with it."""
    connection.close()
    drop_note(path)


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's own number for an error; the module's own errors have none."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def fault(error: sqlite3.Error, path: Path) -> CampaignError:
    """Say what a SQLite error means for a campaign, and what to do."""
    code = primary_code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        what = (
            f"is in use by {owner_of(path)}. Only one process at a time can work on a campaign; "
            "wait, or stop it"
        )
    else:
        what = _MEANINGS.get(code, f"cannot be used: {error}")
    return CampaignError(f"{path} {what}.")


_FULL: Final = (
    "cannot be written: the disk is full. Nothing is sent without its mark, so the run stops here; "
    "make space and run the campaign again"
)
_MEANINGS: Final = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written: the disk reports an error, or a limit on file sizes was "
        "reached. Nothing is sent without its mark, so the run stops here; look after the disk, "
        "then open and run the campaign again"
    ),
    sqlite3.SQLITE_READONLY: (
        "is read-only for this process; a campaign must be able to write its ledger, and to make "
        "files beside it"
    ),
    sqlite3.SQLITE_PERM: "may not be opened by this process",
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened or made; look whether its folder exists and may be written to"
    ),
    sqlite3.SQLITE_NOTADB: (
        "is not a campaign's ledger (not a SQLite file); nothing in it was changed. Name a file "
        "that does not exist yet to start a new campaign"
    ),
    sqlite3.SQLITE_CORRUPT: (
        "is damaged (cut off or overwritten); nothing in it was changed. Bring back a copy, or "
        "read what is left with the sqlite3 tool's .recover: a fresh ledger knows nothing of what "
        "was sent"
    ),
}
