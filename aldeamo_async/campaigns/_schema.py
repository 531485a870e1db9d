"""The tables of a SQLite ledger, and the way from each version to the next.

Rule 1: a step, once released, is never changed; a new version is a new step.
Rule 2: a file is made or migrated in one transaction, and a file of others is not even written to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._errors import CampaignError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

APPLICATION_ID: Final = 0x414C4443  # "ALDC" in the header of the file: a ledger of ours
OLDEST_SQLITE: Final = (3, 37, 0)  # STRICT tables

# State: 0 pending, 1 attempting, 2 sent, 3 rejected, 4 unknown. The short columns come first,
# since SQLite reads a row from its front. One sequence of ids runs through both tables: the order
# of the input rows.
_V1: Final = (
    """
    CREATE TABLE source (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT
    """,
    """
    CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        state INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 4),
        attempts INTEGER NOT NULL DEFAULT 0,
        not_before REAL NOT NULL DEFAULT 0,
        updated REAL,
        token TEXT,
        source INTEGER NOT NULL REFERENCES source,
        line INTEGER NOT NULL,
        client_ref TEXT NOT NULL UNIQUE,
        channel TEXT NOT NULL,
        client_id TEXT NOT NULL,
        message_id TEXT,
        reason TEXT NOT NULL DEFAULT '',
        detail TEXT NOT NULL DEFAULT '',
        text TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX pending ON message (id, not_before) WHERE state = 0",
    "CREATE INDEX attempting ON message (id) WHERE state = 1",
    """
    CREATE TABLE aside (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        source INTEGER NOT NULL REFERENCES source,
        line INTEGER NOT NULL,
        client_ref TEXT NOT NULL,
        channel TEXT NOT NULL,
        client_id TEXT NOT NULL,
        text TEXT NOT NULL,
        problem TEXT NOT NULL,
        UNIQUE (source, line, client_ref)
    ) STRICT
    """,
)
STEPS: Final[Sequence[Sequence[str]]] = (_V1,)


def check_version(found: tuple[int, ...]) -> None:
    """Refuse a SQLite library that is too old."""
    if found < OLDEST_SQLITE:
        shown, needed = (".".join(map(str, version)) for version in (found, OLDEST_SQLITE))
        raise CampaignError(
            f"This Python was built with SQLite {shown}; a campaign needs {needed} or newer."
        )


def check_ours(
    connection: sqlite3.Connection, name: str, steps: Sequence[Sequence[str]] = STEPS
) -> None:
    """Refuse a file of another program or of a newer version, by reading alone."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise CampaignError(
            f"{name} is a database of another program, not a campaign's ledger; nothing in it was "
            "changed. Name a file that does not exist yet to start a new campaign."
        )
    if version > len(steps):
        raise CampaignError(
            f"{name} was written by a newer version of aldeamo-async (schema {version}; this one "
            f"knows {len(steps)}); nothing in it was changed. Update the package."
        )


def migrate(connection: sqlite3.Connection, steps: Sequence[Sequence[str]] = STEPS) -> None:
    """Bring a file to the newest version, from nothing or from any version before, in the caller's
    transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for step in steps[version:]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(steps)}")
