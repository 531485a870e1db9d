"""aldeamo sandbox: a double of the API until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cli.interrupts import heard, interrupting

if TYPE_CHECKING:
    from cli.conftest import Cli

COMMAND = [sys.executable, "-m", "aldeamo_async"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal(number: signal.Signals) -> None:
    """The printed environment is all that another program needs; the summary counts what it did."""
    with subprocess.Popen(
        [*COMMAND, "sandbox", "--port", "0", "--weather", "calm", "--rate", "100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        exports = [process.stdout.readline().strip() for _ in range(2)]
        environment = dict(line.removeprefix("export ").split("=", 1) for line in exports)
        sent = subprocess.run(
            [*COMMAND, "send", "sms", "573000000001", "Hola"],
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
            text=True,
        )
        process.send_signal(number)
        errors = process.stderr.read()
    assert process.returncode == 0
    assert "message 1" in sent.stdout
    assert "Requests: send 1. Delivered 1, duplicates 0, faults played 0." in errors


@pytest.mark.parametrize("weather", ["calm", "rough"])
def test_for_programs(cli: Cli, weather: str) -> None:
    """--json prints the environment as one line and the summary as another."""
    with interrupting(lambda: heard() == 0):
        result = cli("--json", "sandbox", "--port", 0, "--weather", weather)
    first, last = map(json.loads, result.stdout.splitlines())
    assert first["ALDEAMO_BASE_URL"].startswith("http://127.0.0.1:")
    assert first["ALDEAMO_API_KEY"] == "test-key"
    assert last == {"requests": {}, "delivered": 0, "duplicates": 0, "faults": {}}
    assert result.exit_code == 0


def test_for_people(cli: Cli) -> None:
    """The lines to copy go to stdout, everything else to stderr."""
    with interrupting(lambda: heard() == 0):
        result = cli("sandbox", "--port", 0)
    assert [line.split("=")[0] for line in result.stdout.splitlines()] == [
        "export ALDEAMO_BASE_URL",
        "export ALDEAMO_API_KEY",
    ]
    assert "Ctrl-C ends it" in result.stderr
    inbox = result.stdout.split("\n")[0].partition("=")[2].replace("/bots", "/inbox")
    assert f"in a browser: {inbox}\n" in result.stderr
    assert "Requests: none." in result.stderr


def test_other_machines_are_refused(cli: Cli) -> None:
    """An address that others can reach needs --allow-remote."""
    result = cli("sandbox", "--host", "0.0.0.0", "--port", 0)  # noqa: S104
    assert (result.exit_code, "--allow-remote" in result.stderr) == (2, True)
    with interrupting(lambda: heard() == 0):
        result = cli("sandbox", "--host", "0.0.0.0", "--port", 0, "--allow-remote")  # noqa: S104
    assert result.exit_code == 0


def test_a_port_that_is_taken(cli: Cli) -> None:
    """A port in use ends with 2 and a way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = cli("sandbox", "--port", port)
    assert result.exit_code == 2
    assert f"Cannot listen on 127.0.0.1 port {port}" in result.stderr
