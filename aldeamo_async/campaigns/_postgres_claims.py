"""Claims on a PostgreSQL ledger: slices of the input, handed to one run at a time.

Rule 1: runs never wait for each other's claims: what another is just looking at is passed over.
Rule 2: a claim writes to slices alone, some rows for some hundred messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._models import Outgoing
from ._nouns import Job
from ._postgres_fleet import span
from ._postgres_leases import drop_spent, the_row
from ._postgres_text import given

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

_SLICES_AT_ONCE: Final = 32  # looked at, and so kept from other claims for some milliseconds

_JOIN: Final = """
INSERT INTO run (campaign, token, worker, started, lease_until)
SELECT %(campaign)s, %(token)s, %(worker)s, now, now + %(lease)s * interval '1 second'
FROM clock_timestamp() AS now
ON CONFLICT (campaign, token) DO UPDATE SET lease_until = excluded.lease_until, over = NULL
RETURNING id
"""
_UNDO: Final = "UPDATE slice SET run = NULL, turn = NULL WHERE run = %s AND turn = %s"
_FREE: Final = """
SELECT lo, hi, again FROM slice
WHERE campaign = %s AND run IS NULL AND due <= (SELECT clock_timestamp())
AND lo BETWEEN %s AND %s ORDER BY lo LIMIT %s FOR UPDATE SKIP LOCKED
"""
_COLUMNS: Final = "message.id, message.channel, message.client_id, message.text, message.client_ref"
_FRESH: Final = f"""
SELECT {_COLUMNS}, 0 FROM message
LEFT JOIN fate ON fate.campaign = message.campaign AND fate.id = message.id
WHERE message.campaign = %s AND message.id BETWEEN %s AND %s AND fate.id IS NULL
ORDER BY message.id LIMIT %s
"""  # noqa: S608 - names from above
_AGAIN: Final = f"""
SELECT {_COLUMNS}, fate.attempts FROM message
JOIN fate ON fate.campaign = message.campaign AND fate.id = message.id
WHERE message.campaign = %s AND message.id = ANY(%s) AND fate.state = 0
"""  # noqa: S608 - names from above
_HOLD: Final = """
UPDATE slice SET run = %s, turn = %s FROM unnest(%s::bigint[], %s::boolean[]) AS taken (lo, again)
WHERE slice.campaign = %s AND slice.lo = taken.lo AND slice.again = taken.again
"""
_DELETE: Final = """
DELETE FROM slice USING unnest(%s::bigint[], %s::boolean[]) AS spent (lo, again)
WHERE slice.campaign = %s AND slice.lo = spent.lo AND slice.again = spent.again
"""
_CUT: Final = "UPDATE slice SET lo = %s WHERE campaign = %s AND lo = %s AND NOT again"
_INSERT_HELD: Final = "INSERT INTO slice (campaign, lo, hi, run, turn) VALUES (%s, %s, %s, %s, %s)"


class Claim:
    """One claim of one run, in the caller's transaction."""

    def __init__(
        self, connection: Connection[TupleRow], campaign: int, turn: int, chunk: int | None
    ) -> None:
        self._connection = connection
        self._campaign = campaign
        self._turn = turn
        self._span = span(chunk)
        self._run = 0

    def take(self, token: str, worker: str, lease: float, limit: int) -> list[Job]:
        """Hold free slices until there are ``limit`` messages, in the order of the input."""
        values = {"campaign": self._campaign, "token": token, "worker": worker, "lease": lease}
        (self._run,) = the_row(self._connection.execute(_JOIN, values))
        self._connection.execute(_UNDO, (self._run, self._turn))
        drop_spent(self._connection, [self._run])
        jobs: list[Job] = []
        while len(jobs) < limit and (found := self._free()):
            jobs += self._fill(found, limit - len(jobs))
        return jobs

    def _free(self) -> list[tuple[int, int, bool]]:
        return self._connection.execute(
            _FREE, (self._campaign, *self._span, _SLICES_AT_ONCE)
        ).fetchall()

    def _fill(self, slices: list[tuple[int, int, bool]], limit: int) -> list[Job]:
        """Take messages from slices one after the other; drop the slices that have none."""
        ones = [lo for lo, _, again in slices if again]
        rows = self._connection.execute(_AGAIN, (self._campaign, ones)) if ones else ()
        back = {job.id: [job] for job in map(_job, rows)}
        jobs: list[Job] = []
        held: list[tuple[int, bool]] = []
        spent: list[tuple[int, bool]] = []
        for lo, hi, again in slices:
            left = limit - len(jobs)
            if not left:
                break
            taken = back.get(lo, []) if again else self._fresh(lo, hi, left)
            jobs += taken
            if taken and not again and len(taken) == left and taken[-1].id < hi:
                self._split(lo, taken[-1].id)
            else:
                (held if taken else spent).append((lo, again))
        self._connection.execute(_HOLD, (self._run, self._turn, *_columns(held), self._campaign))
        self._connection.execute(_DELETE, (*_columns(spent), self._campaign))
        return jobs

    def _fresh(self, lo: int, hi: int, limit: int) -> list[Job]:
        rows = self._connection.execute(_FRESH, (self._campaign, lo, hi, limit))
        return list(map(_job, rows))

    def _split(self, lo: int, last: int) -> None:
        """Hold the front of a slice, and leave the rest of it free."""
        self._connection.execute(_CUT, (last + 1, self._campaign, lo))
        self._connection.execute(_INSERT_HELD, (self._campaign, lo, last, self._run, self._turn))


def _job(row: tuple[Any, ...]) -> Job:
    number, *texts, attempts = row
    return Job(number, Outgoing(*map(given, texts)), attempts)


def _columns(keys: list[tuple[int, bool]]) -> tuple[list[int], list[bool]]:
    return [lo for lo, _ in keys], [again for _, again in keys]
