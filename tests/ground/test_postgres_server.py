"""The server that tests of PostgreSQL stand on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.children import with_path

if TYPE_CHECKING:
    from support.postgres import PostgresServer

TESTS = Path(__file__).parents[1]
GONE_SECONDS = 10.0


def test_each_test_has_a_database_of_its_own(postgres_server: PostgresServer) -> None:
    """What is written in one database is not seen in the next, and none is left behind."""
    names: set[str] = set()
    for _ in range(2):
        with postgres_server.database() as name, psycopg.connect(postgres_server.url(name)) as held:
            names.add(name)
            held.execute("CREATE TABLE only_here ()")
            held.commit()
            with psycopg.connect(postgres_server.url(name, tcp=True)) as beside:
                assert beside.execute("SELECT count(*) FROM only_here").fetchone() == (0,)
    left = {name for (name,) in postgres_server.execute("SELECT datname FROM pg_database")}
    assert len(names) == 2
    assert not names & left


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_committed_outlives_the_server(
    postgres_server: PostgresServer, postgres_url: str, end: str
) -> None:
    """A server that was stopped or killed comes back at the same address with its data."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        connection.commit()
        getattr(postgres_server, end)()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_url)
    postgres_server.start()
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_the_server_outlives_nobody() -> None:
    """When whoever started the server is killed, the server stops, and its folder goes."""
    script = (
        "import os, signal\n"
        "from support.postgres import running\n"
        "with running() as server:\n"
        "    print(server.pid, server.folder, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=with_path(TESTS),
        capture_output=True,
        text=True,
        check=False,
    )
    pid, folder = done.stdout.split()
    deadline = time.monotonic() + GONE_SECONDS
    while Path(f"/proc/{pid}").exists() or Path(folder).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
