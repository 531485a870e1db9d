"""Who holds a ledger file, in a note beside it, for the one who comes second.

Rule 1: the lock decides, the note only explains; a note that is missing, stale or unreadable does
no harm.
Rule 2: the ledger's own file is never opened here: closing it again would drop SQLite's lock on it
(POSIX locks belong to the process, not to the file descriptor).
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def _note(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.name}.owner")


def claim_note(ledger: Path) -> None:
    """Write down that this process holds the ledger."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    with suppress(OSError):  # a full disk, say, which the ledger itself will report
        _note(ledger).write_text(json.dumps(owner), encoding="utf-8")


def drop_note(ledger: Path) -> None:
    """Take the note away."""
    with suppress(OSError):
        _note(ledger).unlink()


def owner_of(ledger: Path) -> str:
    """Return in words who holds the ledger, as far as the note says."""
    try:
        owner = json.loads(_note(ledger).read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
