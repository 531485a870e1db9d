"""What a PostgreSQL ledger knows of its chunks, and of those who work on them.

Rule 1: every slice lies within one chunk, since the load cuts them there; so a chunk is a range of
slices.
Rule 2: a worker is alive or not by the server's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._nouns import CHUNK, Fleet, Worker, chunk_of, span_of
from ._postgres_leases import the_row

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

_LAST_ID: Final = 2**63 - 1


def span(chunk: int | None) -> tuple[int, int]:
    """Return the first and the last id of a chunk, or of all."""
    return (0, _LAST_ID) if chunk is None else span_of(chunk)


def cuts(first: int, last: int) -> list[tuple[int, int]]:
    """Cut a range of ids where chunks end."""
    spans = map(span_of, range(chunk_of(first), chunk_of(last) + 1))
    return [(max(first, low), min(last, high)) for low, high in spans]


_CHUNKS: Final = """
SELECT DISTINCT (lo - 1) / %(size)s::bigint + 1 AS chunk FROM slice
WHERE campaign = %(campaign)s AND run IS NULL AND lo > %(after)s::bigint * %(size)s::bigint
ORDER BY chunk LIMIT %(limit)s
"""


def chunks(connection: Connection[TupleRow], campaign: int, after: int, limit: int) -> list[int]:
    """Return the next chunks in which a slice is free."""
    values = {"campaign": campaign, "size": CHUNK, "after": after, "limit": limit}
    found = connection.execute(_CHUNKS, values)
    return [int(chunk) for (chunk,) in found]


_BEAT: Final = """
WITH gone AS (
    DELETE FROM worker
    WHERE campaign = %(campaign)s AND beat < clock_timestamp() - interval '1 hour'
    AND name <> %(name)s
)
INSERT INTO worker (campaign, name, beat, recorded, beat_before, recorded_before)
SELECT %(campaign)s, %(name)s, now, %(recorded)s, now, %(recorded)s FROM clock_timestamp() AS now
ON CONFLICT (campaign, name) DO UPDATE SET
    beat = excluded.beat, recorded = excluded.recorded,
    beat_before = worker.beat, recorded_before = worker.recorded
"""
_LEAVE: Final = "DELETE FROM worker WHERE campaign = %s AND name = %s"


def beat(connection: Connection[TupleRow], campaign: int, name: str, recorded: int) -> None:
    """Note a beat; who has not beaten for an hour is forgotten."""
    connection.execute(_BEAT, {"campaign": campaign, "name": name, "recorded": recorded})


def leave(connection: Connection[TupleRow], campaign: int, name: str) -> None:
    """Strike a worker off."""
    connection.execute(_LEAVE, (campaign, name))


_WORKERS: Final = """
SELECT name, beat > now - %s * interval '1 second', extract(epoch FROM now - beat)::float8,
    recorded, coalesce((recorded - recorded_before)
        / nullif(extract(epoch FROM beat - beat_before)::float8, 0), 0)::float8
FROM worker, clock_timestamp() AS now WHERE campaign = %s ORDER BY name
"""
_HELD: Final = """
SELECT count(*), count(DISTINCT slice.run) FROM slice
JOIN run ON run.id = slice.run AND run.lease_until > clock_timestamp()
JOIN message ON message.campaign = slice.campaign AND message.id BETWEEN slice.lo AND slice.hi
LEFT JOIN fate ON fate.campaign = message.campaign AND fate.id = message.id
WHERE slice.campaign = %s
AND CASE WHEN slice.again THEN fate.state IN (0, 1) ELSE coalesce(fate.state, 1) = 1 END
"""


def fleet(connection: Connection[TupleRow], campaign: int, lease: float) -> Fleet:
    """Return the workers, and what is held by leases that have not run out."""
    workers = connection.execute(_WORKERS, (lease, campaign)).fetchall()
    leased, leases = the_row(connection.execute(_HELD, (campaign,)))
    return Fleet(tuple(Worker(*row) for row in workers), leased, leases)
