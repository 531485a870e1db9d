"""The tables of the PostgreSQL ledgers, and the way from each version to the next.

Rule 1: a step, once released, is never changed; a new version is a new step.
Rule 2: the schema is made or migrated in one transaction, by one at a time; a schema of others is
not even written to.
Rule 3: what changes with every message is indexed by nothing but its key, and the index of the key
does not change: so marks and results are updates in place (HOT), and need little vacuum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._errors import CampaignError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

    from psycopg import Connection
    from psycopg.rows import TupleRow

OLDEST_SERVER: Final = 140000  # PostgreSQL 14, the oldest that is still looked after
PRODUCT: Final = "aldeamo-async campaigns"
LOCK: Final = 0x414C4443  # "ALDC": the advisory lock of whoever makes or migrates the schema

# One sequence of ids for each campaign, through messages and rows kept aside: the order of the
# input. A message is written once, by the load, and never changed. What became of it is its
# `fate`, which is written when it is first marked: no fate means pending. State: 0 pending (again),
# 1 attempting, 2 sent, 3 rejected, 4 unknown.
#
# A `slice` is work to hand out: the messages between two ids that have no fate yet, or (`again`)
# one message that has come back to pending. It is free, or held by a run, and stays with its run
# until nothing in it is pending or attempting; so it says where to look when the run is dead.
#
# `turn` numbers the writes of a ledger that is open somewhere: by it, a writer whose connection was
# lost recognises what it had written.
_V1: Final = (
    """
    CREATE TABLE campaign (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        last bigint NOT NULL DEFAULT 0,
        total bigint NOT NULL DEFAULT 0,
        turn integer,
        added bigint
    )
    """,
    """
    CREATE TABLE source (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        campaign integer NOT NULL,
        name text NOT NULL,
        UNIQUE (campaign, name)
    )
    """,
    """
    CREATE TABLE message (
        id bigint NOT NULL,
        line bigint NOT NULL,
        campaign integer NOT NULL,
        source integer NOT NULL,
        ref_key uuid NOT NULL,
        client_ref text NOT NULL,
        channel text NOT NULL,
        client_id text NOT NULL,
        text text NOT NULL,
        PRIMARY KEY (campaign, id),
        UNIQUE (campaign, ref_key)
    )
    """,
    """
    CREATE TABLE fate (
        id bigint NOT NULL,
        updated timestamptz,
        campaign integer NOT NULL,
        run integer,
        turn integer,
        attempts integer NOT NULL DEFAULT 0,
        state smallint NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 4),
        message_id text,
        reason text NOT NULL DEFAULT '',
        detail text NOT NULL DEFAULT '',
        PRIMARY KEY (campaign, id)
    ) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05)
    """,
    """
    CREATE TABLE slice (
        lo bigint NOT NULL,
        hi bigint NOT NULL,
        due timestamptz NOT NULL DEFAULT '-infinity',
        campaign integer NOT NULL,
        run integer,
        turn integer,
        again boolean NOT NULL DEFAULT false,
        PRIMARY KEY (campaign, lo, again)
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)
    """,
    "CREATE INDEX held ON slice (run) WHERE run IS NOT NULL",
    """
    CREATE TABLE run (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        campaign integer NOT NULL,
        token text NOT NULL,
        worker text NOT NULL DEFAULT '',
        started timestamptz NOT NULL,
        lease_until timestamptz NOT NULL,
        over timestamptz,
        UNIQUE (campaign, token)
    ) WITH (fillfactor = 50)
    """,
    "CREATE INDEX living ON run (campaign, id) WHERE over IS NULL",
    """
    CREATE TABLE worker (
        campaign integer NOT NULL,
        name text NOT NULL,
        beat timestamptz NOT NULL,
        recorded bigint NOT NULL,
        beat_before timestamptz NOT NULL,
        recorded_before bigint NOT NULL,
        PRIMARY KEY (campaign, name)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE aside (
        id bigint NOT NULL,
        line bigint NOT NULL,
        campaign integer NOT NULL,
        source integer NOT NULL,
        ref_key uuid NOT NULL,
        kind text NOT NULL,
        client_ref text NOT NULL,
        channel text NOT NULL,
        client_id text NOT NULL,
        text text NOT NULL,
        problem text NOT NULL,
        PRIMARY KEY (campaign, id),
        UNIQUE (campaign, source, line, ref_key)
    )
    """,
)
STEPS: Final[Sequence[Sequence[LiteralString]]] = (_V1,)

_NAME: Final = "INSERT INTO campaign (name) VALUES (%s) ON CONFLICT (name) DO NOTHING"
_NUMBER: Final = "SELECT id FROM campaign WHERE name = %s"
# Read from the catalogue itself: `to_regnamespace` may answer from what the session remembers.
_FIND: Final = """
SELECT pg_class.oid IS NOT NULL FROM pg_namespace
LEFT JOIN pg_class ON pg_class.relnamespace = pg_namespace.oid AND pg_class.relname = 'meta'
WHERE pg_namespace.nspname = 'aldeamo_campaigns'
"""
_OURS: Final = "SELECT version FROM aldeamo_campaigns.meta WHERE product = %s"


def prepare(connection: Connection[TupleRow], campaign: str) -> int:
    """Make the tables ready, and the campaign when it is first named; return its number."""
    make_ready(connection)
    if (found := connection.execute(_NUMBER, (campaign,)).fetchone()) is None:
        connection.execute(_NAME, (campaign,))
        found = connection.execute(_NUMBER, (campaign,)).fetchone()
    (number,) = found or (0,)
    return int(number)


def make_ready(
    connection: Connection[TupleRow], steps: Sequence[Sequence[LiteralString]] = STEPS
) -> None:
    """Make the schema ``aldeamo_campaigns`` or bring it up to date; refuse one that is newer, or
    none of ours."""
    found = connection.info.server_version
    if found < OLDEST_SERVER:
        raise CampaignError(
            f"The server is PostgreSQL {found // 10000}; a campaign needs "
            f"{OLDEST_SERVER // 10000} or newer."
        )
    if _version(connection, len(steps)) == len(steps):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        version = _version(connection, len(steps))
        if version == 0:
            connection.execute("CREATE SCHEMA aldeamo_campaigns")
            connection.execute(
                "CREATE TABLE aldeamo_campaigns.meta (product text PRIMARY KEY, version integer)"
            )
            connection.execute("INSERT INTO aldeamo_campaigns.meta VALUES (%s, 0)", (PRODUCT,))
        connection.execute("SET LOCAL search_path TO aldeamo_campaigns")
        for step in steps[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute("UPDATE meta SET version = %s", (len(steps),))


def _version(connection: Connection[TupleRow], known: int) -> int:
    """Return the version of the schema, 0 where there is none."""
    schema = connection.execute(_FIND).fetchone()
    if schema is None:
        return 0
    ours = connection.execute(_OURS, (PRODUCT,)).fetchone() if schema[0] else None
    if ours is None:
        raise CampaignError(
            "The database has a schema aldeamo_campaigns that is none of a campaign's ledger; "
            "nothing in it was changed. Name another database."
        )
    version = int(ours[0])
    if version > known:
        raise CampaignError(
            f"The schema aldeamo_campaigns was made by a newer version of aldeamo-async (schema "
            f"{version}; this one knows {known}); nothing in it was changed. Update the package."
        )
    return version
