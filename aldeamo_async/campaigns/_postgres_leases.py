"""Who holds what of a PostgreSQL ledger, and for how long.

Rule 1: only the server's clock counts.
Rule 2: a lease that has run out is still its holder's until somebody takes it over. Whoever does,
locks the dead run, so that a mark comes wholly before or wholly after it.
Rule 3: everything here may be done twice, for the answer to the first time may have been lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._words import INTERRUPTED, INTERRUPTED_DETAIL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection, Cursor
    from psycopg.rows import TupleRow


def the_row(cursor: Cursor[TupleRow]) -> TupleRow:
    """Return the row of a statement that always has one."""
    return next(iter(cursor))


_DROP_SPENT: Final = """
DELETE FROM slice WHERE run = ANY(%s) AND NOT EXISTS (
    SELECT FROM message
    LEFT JOIN fate ON fate.campaign = message.campaign AND fate.id = message.id
    WHERE message.campaign = slice.campaign AND message.id BETWEEN slice.lo AND slice.hi
    AND (fate.state = 1 AND fate.run = slice.run
         OR CASE WHEN slice.again THEN fate.state = 0 ELSE fate.id IS NULL END)
    OFFSET 0
)
"""


def drop_spent(connection: Connection[TupleRow], runs: list[int]) -> None:
    """Drop the slices of runs in which nothing is pending or attempting any more."""
    connection.execute(_DROP_SPENT, (runs,))


_RENEW: Final = """
UPDATE run SET lease_until = clock_timestamp() + %(lease)s * interval '1 second'
WHERE campaign = %(campaign)s AND token = %(token)s AND over IS NULL
"""


def renew(connection: Connection[TupleRow], campaign: int, token: str, lease: float) -> bool:
    """Extend a lease; ``False`` when the run was declared dead, however long ago."""
    values = {"campaign": campaign, "token": token, "lease": lease}
    return connection.execute(_RENEW, values).rowcount > 0


# While the server was away nobody could renew, so nobody is dead until a lease after its start.
_DEAD: Final = """
SELECT id FROM run, clock_timestamp() AS now
WHERE campaign = %(campaign)s AND token <> %(token)s AND over IS NULL AND lease_until <= now
AND pg_postmaster_start_time() + %(lease)s * interval '1 second' <= now
FOR UPDATE OF run SKIP LOCKED
"""
_INTERRUPT: Final = """
UPDATE fate SET state = 4, reason = %s, detail = %s, updated = clock_timestamp()
FROM slice WHERE slice.run = ANY(%s) AND fate.campaign = slice.campaign
AND fate.id BETWEEN slice.lo AND slice.hi AND fate.run = slice.run AND fate.state = 1
"""
_BURY: Final = "UPDATE run SET over = clock_timestamp() WHERE id = ANY(%s)"
_LET_GO: Final = "UPDATE slice SET run = NULL, turn = NULL WHERE run = ANY(%s)"


def take_over(connection: Connection[TupleRow], campaign: int, token: str, lease: float) -> int:
    """Turn what dead runs marked to unknown, and free what they held; return how many became
    unknown. In the caller's transaction."""
    values = {"campaign": campaign, "token": token, "lease": lease}
    dead = [number for (number,) in connection.execute(_DEAD, values)]
    if not dead:
        return 0
    found = connection.execute(_INTERRUPT, (INTERRUPTED, INTERRUPTED_DETAIL, dead)).rowcount
    connection.execute(_BURY, (dead,))
    drop_spent(connection, dead)
    connection.execute(_LET_GO, (dead,))
    return found


_PUT_OFF: Final = """
WITH live AS MATERIALIZED (
    SELECT id FROM run WHERE campaign = %(campaign)s AND token = %(token)s AND over IS NULL
    FOR SHARE
), ours AS (
    SELECT DISTINCT asked.id FROM live, unnest(%(messages)s::bigint[]) AS asked (id)
    LEFT JOIN fate ON fate.campaign = %(campaign)s AND fate.id = asked.id
    WHERE coalesce(fate.state, 0) = 0 AND EXISTS (
        SELECT FROM slice
        WHERE slice.run = live.id AND asked.id BETWEEN slice.lo AND slice.hi
        AND slice.again = (fate.id IS NOT NULL)
    )
), kept AS (
    INSERT INTO fate (campaign, id) SELECT %(campaign)s, id FROM ours
    ON CONFLICT (campaign, id) DO NOTHING
)
INSERT INTO slice (campaign, lo, hi, again, due)
SELECT %(campaign)s, id, id, true, clock_timestamp() + %(seconds)s * interval '1 second' FROM ours
ON CONFLICT (campaign, lo, again) DO UPDATE SET due = excluded.due, run = NULL, turn = NULL
"""


def put_off(
    connection: Connection[TupleRow],
    campaign: int,
    token: str,
    messages: Sequence[int],
    seconds: float,
) -> None:
    """Let claimed messages come up later, to whoever claims then."""
    values = {"campaign": campaign, "token": token, "messages": list(messages), "seconds": seconds}
    connection.execute(_PUT_OFF, values)


_RUN: Final = "SELECT id FROM run WHERE campaign = %s AND token = %s FOR UPDATE"
# What is marked and not recorded stays the run's, each message in a slice of its own, so that a
# takeover finds it.
_KEEP_MARKED: Final = """
INSERT INTO slice (campaign, lo, hi, again, run)
SELECT fate.campaign, fate.id, fate.id, true, slice.run FROM slice
JOIN fate ON fate.campaign = slice.campaign AND fate.id BETWEEN slice.lo AND slice.hi
WHERE slice.run = %s AND NOT slice.again AND fate.run = slice.run AND fate.state = 1
ON CONFLICT (campaign, lo, again) DO UPDATE SET run = excluded.run
"""
_RELEASE: Final = """
UPDATE slice SET run = NULL, turn = NULL WHERE run = %s AND NOT (again AND EXISTS (
    SELECT FROM fate
    WHERE fate.campaign = slice.campaign AND fate.id = slice.lo AND fate.run = slice.run
    AND fate.state = 1
))
"""
# A run that holds nothing any more is over; of the others a takeover must find what they marked.
_END: Final = """
UPDATE run SET over = clock_timestamp() WHERE id = %s AND NOT EXISTS (
    SELECT FROM slice WHERE slice.run = run.id
)
"""


def release(connection: Connection[TupleRow], campaign: int, token: str) -> None:
    """Give back what a run holds and has not marked. In the caller's transaction."""
    for (run,) in connection.execute(_RUN, (campaign, token)).fetchall():
        drop_spent(connection, [run])
        connection.execute(_KEEP_MARKED, (run,))
        connection.execute(_RELEASE, (run,))
        connection.execute(_END, (run,))


# Each delivery of a chunk is a run. A week is for a process that was stopped and wakes: until then
# it may still say what became of the messages it had sent.
_FORGET: Final = """
DELETE FROM run WHERE id IN (
    SELECT id FROM run WHERE campaign = %s AND over < clock_timestamp() - interval '7 days'
    FOR UPDATE SKIP LOCKED
)
"""


def forget(connection: Connection[TupleRow], campaign: int) -> None:
    """Drop the runs that were over a week ago; they hold nothing."""
    connection.execute(_FORGET, (campaign,))


# `OFFSET 0` keeps the planner from joining all slices with all messages: each slice is looked into
# by itself. Something that is due now is the rule, and is found at the first look.
_PENDING: Final = """
EXISTS (
    SELECT FROM message
    LEFT JOIN fate ON fate.campaign = message.campaign AND fate.id = message.id
    WHERE message.campaign = slice.campaign AND message.id BETWEEN slice.lo AND slice.hi
    AND CASE WHEN slice.again THEN fate.state = 0 ELSE fate.id IS NULL END
    OFFSET 0
)
"""
_DUE_NOW: Final = f"""
SELECT FROM slice WHERE campaign = %s AND lo BETWEEN %s AND %s AND run IS NULL
AND due <= (SELECT clock_timestamp())
AND {_PENDING} LIMIT 1
"""
_NEXT_DUE: Final = f"""
SELECT extract(epoch FROM min(CASE
    WHEN slice.run IS NULL THEN greatest(slice.due, now)
    ELSE greatest(run.lease_until, pg_postmaster_start_time() + %s * interval '1 second', now)
END - now))::float8
FROM clock_timestamp() AS now, slice LEFT JOIN run ON run.id = slice.run
WHERE slice.campaign = %s AND slice.lo BETWEEN %s AND %s AND {_PENDING}
"""  # noqa: S608 - text from above


def next_due(
    connection: Connection[TupleRow], campaign: int, lease: float, span: tuple[int, int]
) -> float | None:
    """Return the seconds until something pending between two ids is free and due, ``None`` when
    nothing there is pending."""
    if connection.execute(_DUE_NOW, (campaign, *span)).fetchone() is not None:
        return 0.0
    (wait,) = the_row(connection.execute(_NEXT_DUE, (lease, campaign, *span)))
    return None if wait is None else float(wait)
