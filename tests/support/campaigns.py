"""What the tests of campaigns share: entries, clients against a sandbox, a clock moved by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from aldeamo_async import AsyncBotsClient, Outgoing
from aldeamo_async.campaigns import Entry
from aldeamo_async.sandbox import Sandbox, SandboxTransport

if TYPE_CHECKING:
    from aldeamo_async.sandbox import Weather

PHONE = "573000000001"


def entries(count: int, start: int = 1) -> list[Entry]:
    """Good rows, each to the same phone with a text of its own."""
    return [Entry(n, f"ref-{n}", "sms", PHONE, f"Hola {n}") for n in range(start, start + count)]


def messages(count: int, clients: int = 100) -> list[Outgoing]:
    """Messages to `clients` phones in turn, each with a text of its own."""
    return [Outgoing("sms", f"5730000000{n % clients:02}", f"Hola {n}") for n in range(count)]


def sandbox_client(
    weather: Weather | None = None, **options: object
) -> tuple[Sandbox, AsyncBotsClient]:
    """A sandbox, and a client that talks to it inside this process."""
    sandbox = Sandbox(weather=weather)
    client = AsyncBotsClient("test-key", transport=SandboxTransport(sandbox), **options)  # type: ignore[arg-type]
    return sandbox, client


# In a schema that is searched before the server's own: whoever asks for the time is told this one.
SERVER_CLOCK = """
CREATE SCHEMA hand;
CREATE TABLE hand.clock (now float8);
INSERT INTO hand.clock VALUES (0);
CREATE FUNCTION hand.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT to_timestamp(now) FROM hand.clock';
CREATE FUNCTION hand.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT to_timestamp(0)';
"""


class HandClock:
    """Seconds that pass when told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class ServerClock(HandClock):
    """The clock of a database, moved by hand."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        name = self._connection.info.dbname
        self._connection.execute(
            f"{SERVER_CLOCK}; ALTER DATABASE {name} SET search_path = hand, pg_catalog"
        )  # type: ignore[arg-type]
        super().__init__()

    @property
    def now(self) -> float:
        return self._now

    @now.setter
    def now(self, now: float) -> None:
        self._now = now
        self._connection.execute("UPDATE hand.clock SET now = %s", (now,))

    def close(self) -> None:
        self._connection.close()
