"""The rows of a PostgreSQL ledger as a whole: counting, exporting, settling.

Rule: nothing here is on the way of a run: it has a connection of its own, and may take its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ._nouns import Aside, Counts, Line, Resolution, State, by_state
from ._postgres_leases import the_row
from ._postgres_text import given
from ._words import ASSUMED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

    from psycopg import Connection
    from psycopg.rows import TupleRow

_STATES: Final = tuple(State)


# ── reports ───────────────────────────────────────────────────────────────────────────────────────

# One pass over what has a fate; what has none is counted when it is loaded.
_COUNTS: Final = """
SELECT state, reason, count(*) FROM fate WHERE campaign = %(campaign)s GROUP BY state, reason
UNION ALL SELECT -1, '', total FROM campaign WHERE id = %(campaign)s
"""
_ASIDE_COUNTS: Final = "SELECT kind, count(*) FROM aside WHERE campaign = %s GROUP BY kind"


def counts(connection: Connection[TupleRow], campaign: int) -> Counts:
    """Count everything."""
    states = dict.fromkeys(State, 0)
    reasons: list[tuple[State, str, int]] = []
    total = 0
    number: int
    for number, reason, count in connection.execute(_COUNTS, {"campaign": campaign}):
        if number < 0:
            total = count
            continue
        states[_STATES[number]] += count
        if reason:
            reasons.append((_STATES[number], given(reason), count))
    states[State.PENDING] += total - sum(states.values())
    aside = connection.execute(_ASIDE_COUNTS, (campaign,))
    kinds = dict.fromkeys(Aside, 0) | {Aside(kind): count for kind, count in aside}
    return Counts(states, kinds, by_state(reasons))


_MESSAGE_LINES: Final = """
SELECT message.id, source.name, message.line, client_ref, channel, client_id, text,
    coalesce(fate.state, 0)::text, coalesce(fate.attempts, 0), fate.message_id,
    coalesce(fate.reason, ''), coalesce(fate.detail, ''), extract(epoch FROM fate.updated)::float8
FROM message JOIN source ON source.id = message.source
"""
_LINES: Final = f"""
(
    {_MESSAGE_LINES}
    LEFT JOIN fate ON fate.campaign = message.campaign AND fate.id = message.id
    WHERE message.campaign = %(campaign)s AND message.id > %(after)s
    ORDER BY message.id LIMIT %(limit)s
) UNION ALL (
    SELECT aside.id, source.name, aside.line, client_ref, channel, client_id, text, kind, 0, NULL,
        '', problem, NULL
    FROM aside JOIN source ON source.id = aside.source
    WHERE aside.campaign = %(campaign)s AND aside.id > %(after)s
    ORDER BY aside.id LIMIT %(limit)s
) ORDER BY 1 LIMIT %(limit)s
"""  # noqa: S608 - texts from above
_UNKNOWNS: Final = f"""
{_MESSAGE_LINES}
JOIN fate ON fate.campaign = message.campaign AND fate.id = message.id
WHERE fate.campaign = %(campaign)s AND fate.id > %(after)s AND fate.state = 4
ORDER BY fate.id LIMIT %(limit)s
"""


def lines(connection: Connection[TupleRow], campaign: int, after: int, limit: int) -> list[Line]:
    """Return input rows, messages and rows kept aside, in the order of the input."""
    return _read(connection, _LINES, campaign, after, limit)


def unknowns(connection: Connection[TupleRow], campaign: int, after: int, limit: int) -> list[Line]:
    """Return unknown messages."""
    return _read(connection, _UNKNOWNS, campaign, after, limit)


def _read(
    connection: Connection[TupleRow], query: LiteralString, campaign: int, after: int, limit: int
) -> list[Line]:
    values = {"campaign": campaign, "after": after, "limit": limit}
    return [_line(row) for row in connection.execute(query, values)]


def _line(row: TupleRow) -> Line:
    values: list[Any] = [given(value) if isinstance(value, str) else value for value in row]
    state = values[7]
    values[7] = _STATES[int(state)] if state.isdigit() else Aside(state)
    return Line(*values)


# ── settling ──────────────────────────────────────────────────────────────────────────────────────

_CHOSEN: Final = """
WHERE campaign = %(campaign)s AND state = 4
AND (%(messages)s::bigint[] IS NULL OR id = ANY(%(messages)s))
"""
_HOLD: Final = f"SELECT count(*) FROM fate {_CHOSEN}"  # noqa: S608 - text from above
_ASSUME: Final = f"""
WITH settled AS (
    UPDATE fate SET state = 2, reason = %(assumed)s, run = NULL {_CHOSEN} RETURNING id
)
SELECT count(*) FROM settled
"""  # noqa: S608 - text from above
_RESEND: Final = f"""
WITH settled AS (
    UPDATE fate SET state = 0, reason = '', detail = '', run = NULL {_CHOSEN} RETURNING id
), again AS (
    INSERT INTO slice (campaign, lo, hi, again) SELECT %(campaign)s, id, id, true FROM settled
    ON CONFLICT (campaign, lo, again) DO UPDATE
    SET due = excluded.due, run = NULL, turn = NULL
)
SELECT count(*) FROM settled
"""  # noqa: S608 - text from above
_SETTLE: Final[dict[Resolution, LiteralString]] = {
    Resolution.HOLD: _HOLD,
    Resolution.ASSUME_SENT: _ASSUME,
    Resolution.RESEND: _RESEND,
}


def resolve(
    connection: Connection[TupleRow],
    campaign: int,
    resolution: Resolution,
    messages: Sequence[int] | None,
) -> int:
    """Settle unknown messages; their runs lose their word in it."""
    values = {
        "campaign": campaign,
        "messages": None if messages is None else list(messages),
        "assumed": ASSUMED,
    }
    (number,) = the_row(connection.execute(_SETTLE[resolution], values))
    return int(number)
