"""The C server of the benchmarks, compiled where they run.

Rule: what the server itself spent is part of every result, so that a reader sees that it was not
what set the rate.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

SOURCE = Path(__file__).with_name("loopback_server.c")


class Server:
    """A running server; `spent` holds its own account once it has stopped."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/bots"
        self.spent: dict[str, Any] = {}


@contextmanager
def loopback_server() -> Generator[Server]:
    """Compile the server and run it while the body runs."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "loopback_server")
        subprocess.run(["cc", "-O2", "-o", program, SOURCE], check=True)
        with subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            server = Server(int(process.stdout.readline()))
            try:
                yield server
            finally:
                process.stdin.close()
                server.spent = json.loads(process.stdout.read())
