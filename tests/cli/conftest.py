"""What the tests of the command line share: a runner, a served sandbox, files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen
from click.testing import CliRunner

from aldeamo_async.cli import aldeamo
from aldeamo_async.pytest_plugin._fixtures import served as serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    from aldeamo_async.sandbox import Sandbox

HEADER = "channel,client_id,text"


def rows(count: int) -> list[str]:
    """Return so many lines of a file that begins with `HEADER`."""
    return [f"sms,5730000000{number % 100:02d},Hola {number}" for number in range(count)]


@frozen
class Cli:
    """Runs the command line in this process, against a sandbox on a socket if there is one."""

    backend: str
    url: str | None = None

    def __call__(
        self, *args: object, stdin: str | bytes | None = None, key: str = "test-key"
    ) -> Result:
        environment = {"ALDEAMO_API_KEY": key, "ALDEAMO_BASE_URL": self.url, "COLUMNS": "120"}
        result = CliRunner().invoke(
            aldeamo, ["--backend", self.backend, *map(str, args)], input=stdin, env=environment
        )
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert "test-key" not in result.stdout + result.stderr or "sandbox" in args
        assert "Traceback" not in result.output
        return result

    def json(self, *args: object, **more: Any) -> Any:
        return json.loads(self("--json", *args, **more).stdout)


@pytest.fixture(params=["asyncio", "trio"])
def cli(request: pytest.FixtureRequest) -> Cli:
    """The command line on both event loops, without a server."""
    return Cli(request.param)


@pytest.fixture
def served(cli: Cli) -> Iterator[Callable[[Sandbox], Cli]]:
    """Serve a sandbox on a socket, and give the command line that talks to it."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(sandbox: Sandbox) -> Cli:
            return Cli(cli.backend, stack.enter_context(serving(sandbox)))

        yield start


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of rows, and give its path."""

    def write_file(*lines: str, name: str = "promo.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
        return path

    return write_file


def results_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a results file, in the order of the input."""
    lines = path.read_text("utf-8").splitlines()
    return sorted(map(json.loads, lines), key=lambda line: line["row"])


@pytest.fixture
def results() -> Callable[[Path], list[dict[str, Any]]]:
    """Read a results file."""
    return results_of
