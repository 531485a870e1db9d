"""Loading rows into a PostgreSQL ledger.

Rule 1: rows come in by COPY, into a table of the session's own, and go on from there in one
statement, whatever their number.
Rule 2: the loads of a campaign come one after the other, so that ids are in the order of the input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._redact import mask_id
from ._nouns import Added, Aside, Entry
from ._postgres_fleet import cuts
from ._postgres_leases import the_row
from ._postgres_text import ref_key, stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection
    from psycopg.rows import TupleRow

_LAST: Final = "SELECT last, turn, added FROM campaign WHERE id = %s FOR NO KEY UPDATE"
_SOURCE: Final = """
INSERT INTO source (campaign, name) VALUES (%s, %s)
ON CONFLICT (campaign, name) DO UPDATE SET name = excluded.name RETURNING id
"""
_TABLE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS aldeamo_batch (
    id bigint, line bigint, ref_key uuid, client_ref text, channel text, client_id text, text text,
    kind text, problem text
) ON COMMIT DELETE ROWS
"""
_COPY: Final = "COPY aldeamo_batch FROM STDIN"
_ADD: Final = """
INSERT INTO message (campaign, source, id, line, ref_key, client_ref, channel, client_id, text)
SELECT %s, %s, id, line, ref_key, client_ref, channel, client_id, text
FROM aldeamo_batch WHERE kind IS NULL ORDER BY id
ON CONFLICT (campaign, ref_key) DO NOTHING
"""
# What was not added: its message stands in another row, or its reference is another message's.
_REPEATS: Final = """
SELECT new.id, held.line, held.client_id, held.source = %s AND held.line = new.line,
    (held.channel, held.client_id, held.text) = (new.channel, new.client_id, new.text)
FROM aldeamo_batch AS new
JOIN message AS held ON held.campaign = %s AND held.ref_key = new.ref_key
WHERE new.kind IS NULL AND held.id <> new.id ORDER BY new.id
"""
_SET_ASIDE: Final = """
UPDATE aldeamo_batch AS new SET kind = bad.kind, problem = bad.problem
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS bad (id, kind, problem) WHERE new.id = bad.id
"""
_ASIDE: Final = """
INSERT INTO aside
    (campaign, source, id, line, ref_key, kind, client_ref, channel, client_id, text, problem)
SELECT %s, %s, id, line, ref_key, kind, client_ref, channel, client_id, text, problem
FROM aldeamo_batch WHERE kind IS NOT NULL ORDER BY id
ON CONFLICT (campaign, source, line, ref_key) DO NOTHING
"""
_SLICES: Final = """
INSERT INTO slice (campaign, lo, hi) SELECT %s, lo, hi
FROM unnest(%s::bigint[], %s::bigint[]) AS cut (lo, hi)
"""
_GROW: Final = """
UPDATE campaign SET last = %s, total = total + %s, turn = %s, added = %s WHERE id = %s
"""


def add(
    connection: Connection[TupleRow],
    campaign: int,
    turn: int,
    source: str,
    entries: Sequence[Entry],
) -> Added:
    """Add a batch of input rows, in the caller's transaction."""
    last, last_turn, last_added = the_row(connection.execute(_LAST, (campaign,)))
    (origin,) = the_row(connection.execute(_SOURCE, (campaign, stored(source))))
    numbered = dict(enumerate(entries, last + 1))
    connection.execute(_TABLE)
    with connection.cursor().copy(_COPY) as copy:
        for number, entry in numbered.items():
            copy.write_row(_copied(number, entry))
    new = connection.execute(_ADD, (campaign, origin)).rowcount
    good = sum(not entry.problem for entry in entries)
    conflicts: tuple[Entry, ...] = ()
    if new < good:
        conflicts = _set_aside(connection, campaign, origin, numbered)
    if new < len(entries):
        connection.execute(_ASIDE, (campaign, origin))
    if new:
        slices = cuts(last + 1, last + len(entries))
        lows, highs = map(list, zip(*slices, strict=True))
        connection.execute(_SLICES, (campaign, lows, highs))
    # In a second try, after the answer to the first was lost, the first has added them.
    added = last_added if last_turn == turn else new
    connection.execute(_GROW, (last + len(entries), new, turn, added, campaign))
    return Added(added, good - added - len(conflicts), conflicts)


def _copied(number: int, entry: Entry) -> tuple[Any, ...]:
    return (
        number,
        entry.line,
        ref_key(entry.client_ref),
        stored(entry.client_ref),
        stored(entry.channel),
        stored(entry.client_id),
        stored(entry.text),
        str(Aside.INVALID) if entry.problem else None,
        stored(entry.problem) if entry.problem else None,
    )


def _set_aside(
    connection: Connection[TupleRow], campaign: int, origin: int, numbered: dict[int, Entry]
) -> tuple[Entry, ...]:
    """Say of each row that was not added why; return those whose reference is another message's."""
    conflicts: list[Entry] = []
    bad: list[tuple[int, str, str]] = []
    number: int
    for number, line, client_id, same_row, same_content in connection.execute(
        _REPEATS, (origin, campaign)
    ):
        if not same_content:
            problem = (
                f"its client_ref belongs to another message (line {line}, to {mask_id(client_id)})"
            )
            bad.append((number, str(Aside.CONFLICT), problem))
            conflicts.append(numbered[number])
        elif not same_row:
            problem = f"the same message stands in line {line}"
            bad.append((number, str(Aside.DUPLICATE), problem))
    columns = [[row[place] for row in bad] for place in range(3)]
    connection.execute(_SET_ASIDE, columns)
    return tuple(conflicts)
