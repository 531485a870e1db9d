"""The store in PostgreSQL: one row for an account, one function, one round trip.

Rule 1: no setting of the session is needed, so a pooler may stand in between.
Rule 2: a connection is used by the process that made it, and closed by no other.
"""

from __future__ import annotations

import importlib.util
import os
import socket
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from .._errors import UsageError
from ._account import lease_of
from ._postgres_function import CALL, FUNCTION, GATE, TABLES
from ._shown import shown

if TYPE_CHECKING:
    from psycopg import Connection

    from ._account import Lease, LeaseRequest

CONNECT: Final = 2  # seconds; libpq takes whole ones, and no fewer


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
        self._closed = 0  # how often, for a round trip to know that it was broken off
        self._held: tuple[int, Connection[Any]] | None = None  # process, connection

    def __repr__(self) -> str:
        """Name the database, without the password."""
        return f"PostgresStore({self._shown!r})"

    def __str__(self) -> str:
        """Name the database, without the password."""
        return self._shown

    def __del__(self) -> None:
        """Close the connection."""
        self._drop()

    def exchange(self, ask: LeaseRequest) -> Lease:
        """Call the function; where an old connection turns out to be dead, on a new one."""
        from psycopg import OperationalError

        with self._lock:
            fresh = self._held is None or self._held[0] != os.getpid()
            closed = self._closed
            try:
                said = self._call(ask)
            except OperationalError:
                self._drop()
                if fresh or self._closed != closed:
                    raise
                said = self._call(ask)
        return lease_of(said)

    def _call(self, ask: LeaseRequest) -> list[float]:
        held = self._held
        if held is None or held[0] != os.getpid():
            self._drop()
            held = self._held = os.getpid(), _connect(self._url)
        row = held[1].execute(CALL, _arguments(ask)).fetchone()
        return row[0] if row else []

    def close(self) -> None:
        """Drop the connection, also one that waits for an answer."""
        self._closed += 1
        self._drop()

    def _drop(self) -> None:
        held, self._held = getattr(self, "_held", None), None
        if held is None or held[1].closed:
            return
        if held[0] != os.getpid():
            _INHERITED.append(held[1])
            return
        # A thread may be waiting on it, and only the end of the stream wakes that one.
        wire = socket.socket(fileno=os.dup(held[1].fileno()))
        with wire, suppress(OSError):  # the server may have been first
            wire.shutdown(socket.SHUT_RDWR)
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
    there = (
        "SELECT 1 FROM pg_proc WHERE proname = 'aldeamo_lease_1' AND pg_function_is_visible(oid)"
    )
    if connection.execute(there).fetchone():
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (GATE,))
        connection.execute(TABLES)
        connection.execute(FUNCTION.encode())


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
