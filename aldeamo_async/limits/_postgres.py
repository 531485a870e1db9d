"""The store in PostgreSQL: one row for an account, one function, one round trip.

Rule 1: the function is the arithmetic of ``_account.py``, line by line, on the server's clock.
Rule 2: the tables are unlogged: what a crash of the server takes, the next question brings back.
Rule 3: no setting of the session is needed, so a pooler may stand in between.
"""

from __future__ import annotations

import importlib.util
import os
import socket
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from .._errors import UsageError
from ._account import ALIVE, SETTLE, SETTLED, SPAN, Lease, LeaseRequest
from ._brake import CLIMB, CUT
from ._bucket import NO_HINT
from ._shown import shown

if TYPE_CHECKING:
    from psycopg import Connection

CONNECT: Final = 2  # seconds; libpq takes whole ones, and no fewer
SEEN: Final = 2.0  # seconds between two signs of life of a worker that are written down
GATE: Final = 0x616C6465616D6F  # the advisory lock under which tables are made

TABLES: Final = """
CREATE UNLOGGED TABLE IF NOT EXISTS aldeamo_limits (
  name text PRIMARY KEY, rate float8 NOT NULL, burst float8 NOT NULL,
  share float8 NOT NULL DEFAULT 1, at float8 NOT NULL DEFAULT 0,
  free_from float8 NOT NULL DEFAULT 0, frozen_until float8 NOT NULL DEFAULT 0,
  cut_after float8 NOT NULL DEFAULT 0, settle_at float8 NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE IF NOT EXISTS aldeamo_limit_workers (
  name text, worker text, seen float8 NOT NULL, PRIMARY KEY (name, worker)
) WITH (fillfactor = 50);
"""

FUNCTION: Final = f"""
CREATE OR REPLACE FUNCTION aldeamo_lease_1(
  p_name text, p_worker text, p_want float8, p_least float8, p_ahead float8, p_lead float8,
  p_rate float8, p_burst float8, p_declare bool, p_freeze float8, p_refused float8,
  p_recovering bool
) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
  a aldeamo_limits%ROWTYPE; now float8; back float8; unfrozen float8; speed float8;
  granted float8 := 0; start float8; workers int;
BEGIN
  SELECT * INTO a FROM aldeamo_limits WHERE name = p_name FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO aldeamo_limits (name, rate, burst) VALUES (p_name, p_rate, p_burst)
      ON CONFLICT DO NOTHING;
    SELECT * INTO a FROM aldeamo_limits WHERE name = p_name FOR UPDATE;
  END IF;
  now := extract(epoch FROM clock_timestamp());

  IF now < a.at THEN
    back := a.at - now;
    a.free_from := a.free_from - back; a.frozen_until := a.frozen_until - back;
    a.cut_after := a.cut_after - back; a.settle_at := a.settle_at - back;
    DELETE FROM aldeamo_limit_workers WHERE name = p_name;
  ELSE
    unfrozen := now - greatest(a.at, a.frozen_until);
    IF a.share < 1 AND unfrozen > 0 THEN
      a.share := least(1, a.share + {CLIMB} * unfrozen);
    END IF;
  END IF;
  IF p_declare AND (p_rate <> a.rate OR p_burst <> a.burst) THEN
    a.rate := p_rate; a.burst := p_burst; a.share := 1;
  END IF;
  IF p_freeze IS NOT NULL AND now + p_freeze > a.frozen_until THEN
    a.frozen_until := now + p_freeze;
    IF now < a.cut_after THEN a.cut_after := greatest(a.cut_after, a.frozen_until); END IF;
  END IF;
  IF p_refused IS NOT NULL AND now - p_refused >= a.cut_after THEN
    a.share := a.share * {CUT};
    a.cut_after := greatest(now - p_refused + {NO_HINT}, a.frozen_until);
  END IF;

  INSERT INTO aldeamo_limit_workers AS w VALUES (p_name, p_worker, now)
    ON CONFLICT (name, worker) DO UPDATE SET seen = excluded.seen
    WHERE w.seen < excluded.seen - {SEEN};
  IF FOUND THEN
    DELETE FROM aldeamo_limit_workers WHERE name = p_name AND seen <= now - {ALIVE + SEEN};
  END IF;
  SELECT count(*) INTO workers FROM aldeamo_limit_workers
    WHERE name = p_name AND seen > now - {ALIVE + SEEN};
  IF p_recovering AND now >= a.settle_at + {SETTLED} THEN a.settle_at := now + {SETTLE}; END IF;

  speed := a.rate * a.share; start := now;
  IF speed > 0 THEN
    start := greatest(a.free_from, a.frozen_until, now - (a.burst - 1) / speed + p_lead);
    IF p_want >= 1 AND start - now <= p_ahead THEN
      granted := least(p_want, greatest(p_least, floor(speed * {SPAN} / workers), 1));
      a.free_from := start + granted / speed;
    END IF;
  END IF;
  UPDATE aldeamo_limits SET rate = a.rate, burst = a.burst, share = a.share, at = now,
    free_from = a.free_from, frozen_until = a.frozen_until, cut_after = a.cut_after,
    settle_at = a.settle_at WHERE name = p_name;
  RETURN ARRAY[granted, start, now, a.frozen_until, a.settle_at, a.rate, a.burst, a.share,
    workers];
END $$;
"""

CALL: Final = (
    "SELECT aldeamo_lease_1(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::float8, %s::float8, %s)"
)


class PostgresStore:
    """A :class:`LimitStore` in PostgreSQL 12 and later; needs the extra ``postgres``.

    Args:
        url: ``postgresql://user:password@host:5432/database``, with any option of libpq.

    The tables ``aldeamo_limits`` and ``aldeamo_limit_workers`` and one function are made in the
    role's schema when they are missing.

    Raises:
        UsageError: psycopg is not installed, or the URL makes no sense.
    """

    blocking = True

    def __init__(self, url: str) -> None:
        """Note where the database is; connects on the first exchange."""
        if importlib.util.find_spec("psycopg") is None:
            raise UsageError(
                "a limit in PostgreSQL needs psycopg: pip install 'aldeamo-async[postgres]'"
            )
        self._url = url
        self._shown = shown(url)
        self._lock = Lock()
        self._held: tuple[int, Connection[Any]] | None = None  # process, connection

    def __repr__(self) -> str:
        """Name the database, without the password."""
        return f"PostgresStore({self._shown!r})"

    def __str__(self) -> str:
        """Name the database, without the password."""
        return self._shown

    def __del__(self) -> None:
        """Close the connection."""
        self.close()

    def exchange(self, ask: LeaseRequest) -> Lease:
        """Call the function; where an old connection turns out to be dead, on a new one."""
        from psycopg import OperationalError

        with self._lock:
            fresh = self._held is None or self._held[0] != os.getpid()
            try:
                said = self._call(ask)
            except OperationalError:
                self.close()
                if fresh:
                    raise
                said = self._call(ask)
        granted, start, now, frozen_until, settle_at, rate, burst, share, workers = said
        return Lease(
            granted=int(granted),
            start=start,
            now=now,
            frozen_until=frozen_until,
            settle_at=settle_at,
            rate=rate,
            burst=burst,
            share=share,
            workers=int(workers),
        )

    def _call(self, ask: LeaseRequest) -> list[float]:
        held = self._held
        if held is None or held[0] != os.getpid():
            if held is not None:
                _INHERITED.append(held[1])
            held = self._held = os.getpid(), _connect(self._url)
        row = held[1].execute(CALL, _arguments(ask)).fetchone()
        return row[0] if row else []

    def close(self) -> None:
        """Drop the connection, also one that waits for an answer."""
        held, self._held = getattr(self, "_held", None), None
        if held is None or held[0] != os.getpid() or held[1].closed:
            return
        # A thread may be waiting on it, and only the end of the stream wakes that one.
        with socket.socket(fileno=os.dup(held[1].fileno())) as wire:
            try:
                wire.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        held[1].close()


_INHERITED: Final[list[Any]] = []  # connections of a parent process: closing one would end it there


def _connect(url: str) -> Connection[Any]:
    """Connect, and make tables and function where they are missing."""
    import psycopg

    connection = psycopg.connect(
        url, autocommit=True, connect_timeout=CONNECT, prepare_threshold=None
    )
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: Connection[Any]) -> None:
    there = "SELECT 1 FROM pg_proc WHERE proname = 'aldeamo_lease_1' AND pg_function_is_visible(oid)"
    if connection.execute(there).fetchone():
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (GATE,))
        connection.execute(TABLES)
        connection.execute(FUNCTION)


def _arguments(ask: LeaseRequest) -> tuple[Any, ...]:
    return (
        ask.name,
        ask.worker,
        ask.want,
        ask.least,
        ask.ahead,
        ask.lead,
        ask.rate,
        ask.burst,
        ask.declare,
        ask.freeze,
        ask.refused,
        ask.recovering,
    )
