"""Marks and results of a PostgreSQL ledger: a whole batch in one statement.

Rule 1: a mark counts because the server's rows say so, in the transaction that writes it, and not
because of what this process remembers.
Rule 2: a batch may be written twice, for the answer to the first time may have been lost: results
that stand change nothing, and marks are recognised by their turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._nouns import State
from ._postgres_text import stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg import Connection
    from psycopg.rows import TupleRow

    from ._nouns import Result

NUMBERS: Final = {state: number for number, state in enumerate(State)}

# One statement, and so one round trip and one commit. The run is locked against a
# takeover. What a token may mark lies in a slice that it holds: without a fate in a slice of the
# input, with one in a slice of its own.
_WRITE: Final = """
WITH live AS MATERIALIZED (
    SELECT id, token FROM run
    WHERE campaign = %(campaign)s AND token = ANY(%(markers)s::text[]) AND over IS NULL
    FOR SHARE
), ours AS (
    SELECT asked.id, asked.run FROM (
        SELECT DISTINCT a.id, live.id AS run
        FROM unnest(%(marked)s::bigint[], %(markers)s::text[]) AS a (id, token)
        JOIN live USING (token)
    ) AS asked
    LEFT JOIN fate ON fate.campaign = %(campaign)s AND fate.id = asked.id
    WHERE coalesce(fate.state, 0) = 0 AND EXISTS (
        SELECT FROM slice
        WHERE slice.run = asked.run AND asked.id BETWEEN slice.lo AND slice.hi
        AND slice.again = (fate.id IS NOT NULL)
    )
), marks AS (
    INSERT INTO fate (campaign, id, state, attempts, run, turn, updated)
    SELECT %(campaign)s, id, 1, 1, run, %(turn)s, clock_timestamp() FROM ours
    ON CONFLICT (campaign, id) DO UPDATE SET
        state = 1, attempts = fate.attempts + 1, run = excluded.run, turn = excluded.turn,
        updated = excluded.updated, message_id = NULL, reason = '', detail = ''
    WHERE fate.state = 0
    RETURNING id, run
), results AS (
    UPDATE fate SET
        state = new.state, attempts = fate.attempts + new.attempts, updated = clock_timestamp(),
        message_id = new.message_id, reason = new.reason, detail = new.detail
    FROM unnest(
        %(ids)s::bigint[], %(tokens)s::text[], %(states)s::smallint[], %(attempts)s::integer[],
        %(delays)s::float8[], %(message_ids)s::text[], %(reasons)s::text[], %(details)s::text[]
    ) AS new (id, token, state, attempts, delay, message_id, reason, detail)
    JOIN run ON run.campaign = %(campaign)s AND run.token = new.token
    WHERE fate.campaign = %(campaign)s AND fate.id = new.id AND fate.run = run.id
    AND fate.state IN (1, 4)
    AND (fate.state, fate.reason, fate.detail) <> (new.state, new.reason, new.detail)
    RETURNING fate.id, fate.state, new.delay
), again AS (
    INSERT INTO slice (campaign, lo, hi, again, due)
    SELECT %(campaign)s, id, id, true, clock_timestamp() + delay * interval '1 second'
    FROM results WHERE state = 0
    ON CONFLICT (campaign, lo, again) DO UPDATE SET due = excluded.due, run = NULL, turn = NULL
)
SELECT live.token, marks.id FROM marks JOIN live ON live.id = marks.run
"""
_WRITTEN: Final = """
SELECT run.token, fate.id FROM run JOIN fate ON fate.campaign = run.campaign AND fate.run = run.id
WHERE run.campaign = %s AND run.token = ANY(%s) AND fate.id = ANY(%s)
AND fate.state = 1 AND fate.turn = %s
"""


class Batch:
    """One batch of one connection, known by its turn."""

    def __init__(self, connection: Connection[TupleRow], campaign: int, turn: int) -> None:
        self._connection = connection
        self._campaign = campaign
        self._turn = turn

    def write(
        self, marks: Sequence[tuple[str, int]], results: Sequence[tuple[str, Result]]
    ) -> set[tuple[str, int]]:
        """Mark messages and write results down, each under its token; return what was marked."""
        news = [result for _, result in results]
        values = {
            "campaign": self._campaign,
            "turn": self._turn,
            "markers": [token for token, _ in marks],
            "marked": [number for _, number in marks],
            "tokens": [token for token, _ in results],
            "ids": [new.id for new in news],
            "states": [NUMBERS[new.state] for new in news],
            "attempts": [new.attempts - 1 for new in news],  # the mark counted one
            "delays": [new.delay for new in news],
            "message_ids": [new.message_id and stored(new.message_id) for new in news],
            "reasons": [stored(new.reason) for new in news],
            "details": [stored(new.detail) for new in news],
        }
        return _pairs(self._connection.execute(_WRITE, values))

    def written(self, marks: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return what this batch has marked already, in a try whose answer was lost."""
        tokens, numbers = [token for token, _ in marks], [number for _, number in marks]
        values = (self._campaign, tokens, numbers, self._turn)
        return _pairs(self._connection.execute(_WRITTEN, values))


def _pairs(rows: Iterable[TupleRow]) -> set[tuple[str, int]]:
    return {(token, number) for token, number in rows}
