"""What a SQLite ledger says to its file: plain functions of a connection, inside the caller's
transaction.

Rule: one statement for a whole batch, with its values as one JSON text and its answer in one row.
`sqlite3` lets go of the interpreter lock at each step of a statement, and a busy event loop takes
5 ms to give it back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from .._models import Outgoing
from .._redact import mask_id
from ._nouns import (
    CHUNK,
    Added,
    Aside,
    Counts,
    Entry,
    Job,
    Line,
    Resolution,
    Result,
    State,
    by_state,
    span_of,
)
from ._words import ASSUMED, INTERRUPTED, INTERRUPTED_DETAIL

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_STATES: Final = tuple(State)
_NUMBERS: Final = {state: number for number, state in enumerate(_STATES)}
_REFS_AT_ONCE: Final = 500  # SQLite before 3.32 took 999 variables


def clean(text: str) -> str:
    """Return a text as SQLite can hold it: the halves of surrogate pairs become question marks."""
    return text.encode("utf-8", "replace").decode()


# ── loading ───────────────────────────────────────────────────────────────────────────────────────


def add(connection: sqlite3.Connection, source: str, entries: Sequence[Entry]) -> Added:
    """Add a batch of input rows."""
    connection.execute("INSERT OR IGNORE INTO source (name) VALUES (?)", (clean(source),))
    (origin,) = connection.execute(
        "SELECT id FROM source WHERE name = ?", (clean(source),)
    ).fetchone()
    (last,) = connection.execute(
        "SELECT coalesce(max(id), 0) FROM "
        "(SELECT max(id) AS id FROM message UNION ALL SELECT max(id) FROM aside)"
    ).fetchone()
    numbered = list(enumerate(entries, last + 1))
    good = [(number, entry) for number, entry in numbered if not entry.problem]
    cursor = connection.executemany(
        "INSERT OR IGNORE INTO message (id, source, line, client_ref, channel, client_id, text) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (number, origin, e.line, e.client_ref, e.channel, e.client_id, e.text)
            for number, e in good
        ],
    )
    added = max(cursor.rowcount, 0)
    aside = [(number, Aside.INVALID, e, e.problem) for number, e in numbered if e.problem]
    conflicts: list[Entry] = []
    if added < len(good):
        for number, kind, entry, problem in _repeats(connection, origin, good):
            aside.append((number, kind, entry, problem))
            if kind is Aside.CONFLICT:
                conflicts.append(entry)
    connection.executemany(
        "INSERT OR IGNORE INTO aside "
        "(id, kind, source, line, client_ref, channel, client_id, text, problem) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                n,
                str(kind),
                origin,
                e.line,
                *map(clean, (e.client_ref, e.channel, e.client_id, e.text, problem)),
            )
            for n, kind, e, problem in aside
        ],
    )
    return Added(added, len(good) - added - len(conflicts), tuple(conflicts))


_HELD: Final = (
    "SELECT client_ref, source, line, channel, client_id, text FROM message "
    "WHERE client_ref IN ({})"
)


def _repeats(
    connection: sqlite3.Connection, origin: int, good: list[tuple[int, Entry]]
) -> list[tuple[int, Aside, Entry, str]]:
    """Return the entries whose message stands in another row, or whose reference is another
    message's."""
    held: dict[str, tuple[Any, ...]] = {}
    for start in range(0, len(good), _REFS_AT_ONCE):
        refs = [entry.client_ref for _, entry in good[start : start + _REFS_AT_ONCE]]
        query = _HELD.format(", ".join("?" * len(refs)))
        held |= {ref: tuple(rest) for ref, *rest in connection.execute(query, refs)}
    found: list[tuple[int, Aside, Entry, str]] = []
    for number, entry in good:
        source, line, *content = held[entry.client_ref]
        if content != [entry.channel, entry.client_id, entry.text]:
            problem = (
                f"its client_ref belongs to another message (line {line}, to {mask_id(content[1])})"
            )
            found.append((number, Aside.CONFLICT, entry, problem))
        elif (source, line) != (origin, entry.line):
            found.append(
                (number, Aside.DUPLICATE, entry, f"the same message stands in line {line}")
            )
    return found


# ── running ───────────────────────────────────────────────────────────────────────────────────────


_LAST_ID: Final = 2**63 - 1
# A step for each chunk that has something, whatever the number of its messages: from the end of
# the last chunk the index leads to the next pending message.
_CHUNKS: Final = f"""
    WITH RECURSIVE found (id) AS (
        SELECT :after * {CHUNK}
        UNION ALL
        SELECT (
            SELECT ((message.id - 1) / {CHUNK} + 1) * {CHUNK} FROM message
            WHERE state = 0 AND message.id > found.id
            AND message.id NOT IN (SELECT value FROM json_each(:held)) ORDER BY message.id LIMIT 1
        ) FROM found WHERE id IS NOT NULL LIMIT :limit + 1
    )
    SELECT json_group_array(id / {CHUNK}) FROM (SELECT id FROM found WHERE id IS NOT NULL)
"""  # noqa: S608 - the only number in it is ours


def _span(chunk: int | None) -> tuple[int, int]:
    return (0, _LAST_ID) if chunk is None else span_of(chunk)


def claim(
    connection: sqlite3.Connection,
    now: float,
    limit: int,
    held: Sequence[int],
    chunk: int | None = None,
) -> list[Job]:
    """Return pending messages that are due, in the order of the input, without those held
    already."""
    (rows,) = connection.execute(
        "SELECT json_group_array(json_array(id, channel, client_id, text, client_ref, attempts)) "
        "FROM (SELECT * FROM message WHERE state = 0 AND not_before <= ? AND id BETWEEN ? AND ? "
        "AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?)",
        (now, *_span(chunk), json.dumps(held), limit),
    ).fetchone()
    return [Job(id, Outgoing(*outgoing), attempts) for id, *outgoing, attempts in json.loads(rows)]


def chunks(
    connection: sqlite3.Connection, after: int, limit: int, held: Sequence[int]
) -> list[int]:
    """Return the chunks that have a pending message which nobody holds."""
    values = {"after": after, "limit": limit, "held": json.dumps(held)}
    (found,) = connection.execute(_CHUNKS, values).fetchone()
    return [int(chunk) for chunk in json.loads(found)[1:]]


def write(
    connection: sqlite3.Connection,
    now: float,
    marks: Sequence[tuple[str, int]],
    results: Sequence[tuple[str, Result]],
) -> set[int]:
    """Mark pending messages and write results down, each under its token; return the messages that
    were marked.

    One statement, and so one transaction, by itself.
    """
    values = [(number, token, 1, 1, now, None, "", "") for token, number in marks]
    values += [_values(now, token, result) for token, result in results]
    changed = connection.execute(_WRITE, (now, json.dumps(values))).rowcount
    if changed == len(values):
        return {number for _, number in marks}
    (rows,) = connection.execute(_MARKED, (json.dumps(marks),)).fetchone()
    return set(json.loads(rows))


def _values(now: float, token: str, result: Result) -> tuple[Any, ...]:
    return (
        result.id,
        token,
        _NUMBERS[result.state],
        result.attempts - 1,  # the mark counted one
        now + result.delay,
        result.message_id and clean(result.message_id),
        clean(result.reason),
        clean(result.detail),
    )


_VALUES: Final = ", ".join(
    f"json_extract(value, '$[{place}]') AS {name}"
    for place, name in enumerate(
        ("id", "token", "state", "attempts", "not_before", "message_id", "reason", "detail")
    )
)
_WRITE: Final = (
    "UPDATE message SET state = new.state, token = new.token, "  # noqa: S608 - names from above
    "attempts = message.attempts + new.attempts, not_before = new.not_before, "
    "message_id = new.message_id, reason = new.reason, detail = new.detail, updated = ? "
    f"FROM (SELECT {_VALUES} FROM json_each(?)) AS new WHERE message.id = new.id AND "
    "CASE new.state WHEN 1 THEN message.state = 0 "
    "ELSE message.state IN (1, 4) AND message.token = new.token END"
)
_MARKED: Final = (
    "SELECT json_group_array(message.id) FROM message, json_each(?) AS asked "
    "WHERE message.id = json_extract(asked.value, '$[1]') AND message.state = 1 "
    "AND message.token = json_extract(asked.value, '$[0]')"
)


def put_off(connection: sqlite3.Connection, until: float, messages: Sequence[int]) -> None:
    """Let pending messages come up later."""
    connection.execute(
        "UPDATE message SET not_before = ? "
        "WHERE state = 0 AND id IN (SELECT value FROM json_each(?))",
        (until, json.dumps(messages)),
    )


def take_over(connection: sqlite3.Connection, now: float, token: str) -> int:
    """Turn what other tokens marked to unknown."""
    cursor = connection.execute(
        "UPDATE message SET state = 4, reason = ?, detail = ?, updated = ? "
        "WHERE state = 1 AND token <> ?",
        (INTERRUPTED, INTERRUPTED_DETAIL, now, token),
    )
    return cursor.rowcount


def next_due(
    connection: sqlite3.Connection, held: Sequence[int], chunk: int | None = None
) -> float | None:
    """Return when the first pending message that nobody holds is due."""
    (due,) = connection.execute(
        "SELECT min(not_before) FROM message WHERE state = 0 AND id BETWEEN ? AND ? "
        "AND id NOT IN (SELECT value FROM json_each(?))",
        (*_span(chunk), json.dumps(held)),
    ).fetchone()
    return due  # type: ignore[no-any-return]


# ── reports ───────────────────────────────────────────────────────────────────────────────────────


_COUNT_STATES: Final = (
    "SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 1), "
    "count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE state = 3), "
    "count(*) FILTER (WHERE state = 4) FROM message"
)


def counts(connection: sqlite3.Connection) -> Counts:
    """Count everything."""
    # One pass without a sort, which would hold a million rows in memory.
    numbers = connection.execute(_COUNT_STATES).fetchone()
    reasons: list[tuple[int, str, int]] = connection.execute(
        "SELECT state, reason, count(*) FROM message WHERE reason <> '' GROUP BY state, reason"
    ).fetchall()
    aside = connection.execute("SELECT kind, count(*) FROM aside GROUP BY kind")
    return Counts(
        dict(zip(_STATES, numbers, strict=True)),
        dict.fromkeys(Aside, 0) | {Aside(kind): number for kind, number in aside},
        by_state((_STATES[state], reason, number) for state, reason, number in reasons),
    )


_MESSAGE_LINE: Final = (
    "SELECT id, (SELECT name FROM source WHERE source.id = source), line, client_ref, channel, "
    "client_id, text, state, attempts, message_id, reason, detail, updated "
    "FROM message WHERE id > :after"
)
_ASIDE_LINE: Final = (
    "SELECT id, (SELECT name FROM source WHERE source.id = source), line, client_ref, channel, "
    "client_id, text, kind, 0, NULL, '', problem, NULL FROM aside WHERE id > :after"
)


def lines(connection: sqlite3.Connection, after: int, limit: int) -> list[Line]:
    """Return input rows, messages and rows kept aside, in the order of the input."""
    query = f"{_MESSAGE_LINE} UNION ALL {_ASIDE_LINE} ORDER BY id LIMIT :limit"
    return [_line(*row) for row in connection.execute(query, {"after": after, "limit": limit})]


def unknowns(connection: sqlite3.Connection, after: int, limit: int) -> list[Line]:
    """Return unknown messages."""
    query = f"{_MESSAGE_LINE} AND state = 4 ORDER BY id LIMIT :limit"
    return [_line(*row) for row in connection.execute(query, {"after": after, "limit": limit})]


def _line(*row: Any) -> Line:
    values = list(row)
    values[7] = _STATES[row[7]] if isinstance(row[7], int) else Aside(row[7])
    return Line(*values)


def resolve(
    connection: sqlite3.Connection, resolution: Resolution, messages: Sequence[int] | None
) -> int:
    """Settle unknown messages; their tokens lose their word in it."""
    chosen = "state = 4"
    if messages is not None:
        chosen += " AND id IN (SELECT value FROM json_each(:messages))"
    changes = {
        Resolution.HOLD: None,
        Resolution.ASSUME_SENT: "state = 2, reason = :assumed, token = NULL",
        Resolution.RESEND: "state = 0, reason = '', detail = '', token = NULL, not_before = 0",
    }[resolution]
    values = {"messages": json.dumps(messages), "assumed": ASSUMED}
    if changes is None:
        (number,) = connection.execute(
            f"SELECT count(*) FROM message WHERE {chosen}",  # noqa: S608 - texts from above
            values,
        ).fetchone()
        return int(number)
    return connection.execute(
        f"UPDATE message SET {changes} WHERE {chosen}",  # noqa: S608 - texts from above
        values,
    ).rowcount
