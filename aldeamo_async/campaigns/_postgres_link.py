"""A connection to PostgreSQL that comes back: made when it is needed, and anew when it was lost.

Rule 1: every wait has an end: for a connection, for a lock, for a statement, for a dead network,
and for a server that is gone.
Rule 2: work that a lost connection cut off is done again, and told so: it may have been committed,
and must find that out by reading.
Rule 3: of an error of the server only its own short text is shown; its details hold data.

Everything here is called in a worker thread.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg import conninfo

from .._errors import CampaignError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import LiteralString

    from psycopg.rows import TupleRow

    from ._postgres_url import Address

T = TypeVar("T")

_LOG: Final = logging.getLogger("aldeamo_async.campaigns")

# What the URL does not say. A dead peer is noticed within some 25 s, less than a lease.
_DEFAULTS: Final[dict[str, Any]] = {
    "application_name": "aldeamo-async",
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
    "target_session_attrs": "read-write",  # of several hosts, the one that can be written to
}
# Our tables first, then what was there: the clock is whatever `clock_timestamp()` means there. A
# mark must outlive a crash, and whoever asks for more than that keeps it. A run that is frozen in
# the middle of a transaction holds up nobody for long.
_SETTINGS: Final = """
SELECT set_config('search_path', 'aldeamo_campaigns, ' || current_setting('search_path'), false);
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') IN ('off', 'local');
SET lock_timeout = '10s';
SET idle_in_transaction_session_timeout = '15s';
SET jit = off;
"""
# Everything is looked up by its key. A plan made while a table was small must not outlive that.
BY_KEY: Final = """
SET statement_timeout = '30s';
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
"""
# Counts and loads; ten million messages take seconds.
WHOLE: Final = "SET statement_timeout = '300s';"

# What passes by itself: a lost connection (08), a server that stops or starts, a statement that
# took too long (57), a lock, a deadlock, too many connections, a server that became a standby.
_PASSING: Final = frozenset({"55P03", "40001", "40P01", "53300", "25006"})
_BACK_OFF_SECONDS: Final = (0.05, 2.0)  # the first wait, doubled up to the longest


def check(address: Address) -> None:
    """Refuse a URL that libpq cannot read; its own words may quote the password."""
    try:
        conninfo.conninfo_to_dict(address.conninfo.reveal())
    except psycopg.Error:
        raise UsageError(
            f"{address.shown} has a part or a parameter that PostgreSQL's library does not know; "
            "beside its own (sslmode, options, ...) there are campaign and patience."
        ) from None


def worker_name() -> str:
    """Return who this is, for whoever looks at the runs: the host and the process."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Outage:
    """The time that a server is away: said once when it begins, once when it is over."""

    def __init__(self, shown: str, patience: float) -> None:
        self._shown = shown
        self._patience = patience
        self._lock = threading.Lock()
        self._began: float | None = None
        self.closing = threading.Event()

    def wait(self, reason: str, tries: int) -> None:
        """Wait a little before the next try; raise ``CampaignError`` when that has gone on for too
        long."""
        with self._lock:
            now = time.monotonic()
            if self._began is None:
                self._began = now
                _LOG.warning(
                    "%s does not answer (%s). Nothing is sent without its mark, so this waits for "
                    "it, up to %.0f s.",
                    self._shown,
                    reason,
                    self._patience,
                )
            left = self._began + self._patience - now
        first, longest = _BACK_OFF_SECONDS
        pause = min(longest, first * 2.0**tries) * random.uniform(0.5, 1.0)  # noqa: S311
        if left <= 0 or self.closing.wait(min(pause, left)):
            raise CampaignError(
                f"{self._shown} does not answer ({reason}), for {now - self._began:.0f} s now. "
                "Nothing is sent without its mark, so the run stops here; run the campaign again "
                "when the server is back."
            )

    def over(self) -> None:
        """Say that the server is back, if it was away."""
        with self._lock:
            began, self._began = self._began, None
        if began is not None:
            _LOG.warning("%s is back after %.1f s.", self._shown, time.monotonic() - began)


class Link:
    """One connection and its settings."""

    def __init__(self, address: Address, outage: Outage, settings: LiteralString) -> None:
        self._address = address
        self._outage = outage
        self._settings: LiteralString = settings
        self._connection: psycopg.Connection[TupleRow] | None = None

    def use(self, work: Callable[[psycopg.Connection[TupleRow], bool], T]) -> T:
        """Do work with the connection, however often it is lost; work is told whether it may have
        been done before."""
        tries = 0
        while True:
            before = self._connection
            try:
                value = work(self._connected(), tries > 0)
            except psycopg.Error as error:
                if not self._passes(error):
                    raise fault(error, self._address.shown) from None
                self.close()
                # A connection that was lost while nobody looked is no outage; its next may be.
                if tries or before is None:
                    self._outage.wait(_words(error), tries)
                tries += 1
            else:
                self._outage.over()
                return value

    def once(self, work: Callable[[psycopg.Connection[TupleRow]], T]) -> T:
        """Do work that nobody waits for: a server that is away is an error at once."""
        try:
            return work(self._connected())
        except psycopg.Error as error:
            raise fault(error, self._address.shown) from None

    def close(self) -> None:
        """Close the connection; the next use makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> psycopg.Connection[TupleRow]:
        if self._connection is None:
            text = self._address.conninfo.reveal()
            given = conninfo.conninfo_to_dict(text)
            missing = {name: value for name, value in _DEFAULTS.items() if name not in given}
            connection = psycopg.connect(text, autocommit=True, prepare_threshold=1, **missing)
            try:
                connection.execute(_SETTINGS + self._settings, prepare=False)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _passes(self, error: psycopg.Error) -> bool:
        """Tell whether the same may work a little later."""
        if self._connection is None or self._connection.closed:
            return True
        state = error.sqlstate or "08"
        return state[:2] in ("08", "57") or state in _PASSING


def _words(error: psycopg.Error) -> str:
    """Return the server's own short text, or the first line of libpq's."""
    return error.diag.message_primary or (str(error).strip() or "no answer").splitlines()[0]


_MEANINGS: Final = {
    "53100": (
        "the disk of the server is full. Nothing is sent without its mark, so the run stops here; "
        "make space and run the campaign again"
    ),
    "42501": (
        "this user lacks a right. It needs CREATE and TEMPORARY on the database for its first "
        "use, and to own the schema aldeamo_campaigns, or all rights on its tables, afterwards"
    ),
}


def fault(error: psycopg.Error, shown: str) -> CampaignError:
    """Say what an error of the server means for a campaign, and what to do."""
    meaning = _MEANINGS.get(error.sqlstate or "")
    words = _words(error)
    return CampaignError(f"{shown}: {words}" + (f" ({meaning})." if meaning else "."))
