"""users, messages, send, and the options that all commands share."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pty
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from aldeamo_async.cli import aldeamo
from aldeamo_async.sandbox import Fault, Sandbox, Weather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli.conftest import Cli


def test_users_as_a_table(cli: Cli) -> None:
    """The table shows every user in full, on one line each."""
    result = cli("--sandbox", "users", "whatsapp")
    assert result.exit_code == 0
    assert "Users of whatsapp" in result.stdout
    assert result.stdout.count("573000000") >= 25
    assert "25 rows" in result.stdout


def test_a_table_of_one_row_says_so(served: Callable[[Sandbox], Cli]) -> None:
    """One row is "1 row"."""
    result = served(Sandbox(users_per_channel=1))("users", "web")
    assert "1 row " in f"{result.stdout.splitlines()[-1]} "


def test_users_as_json_lines(cli: Cli) -> None:
    """--json gives one object a line and nothing else."""
    result = cli("--json", "--sandbox", "users", "web")
    users = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(users) == 25
    assert users[0]["user_id"].startswith("5070000000")
    assert result.stderr == ""


def test_messages_of_a_user(cli: Cli) -> None:
    """The messages of a user come as a table, and as JSON lines with times in ISO 8601."""
    lines = cli("--json", "--sandbox", "users", "facebook").stdout.splitlines()
    for user in map(json.loads, lines):
        result = cli("--sandbox", "messages", "facebook", user["user_id"], "--json")
        messages = [json.loads(line) for line in result.stdout.splitlines()]
        if messages:
            break
    assert messages[0]["time"].endswith("+00:00")
    table = cli("--sandbox", "messages", "facebook", user["user_id"])
    assert f"Messages of {user['user_id']}" in table.stdout


def test_a_table_on_a_terminal_keeps_to_its_width(
    monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    """On a terminal the table is as wide as the terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = cli("--sandbox", "users", "web")
    assert max(map(len, click.unstyle(result.stdout).splitlines())) <= 120


def test_send_prints_the_receipt(cli: Cli) -> None:
    """A message that was sent ends with 0 and the API's number for it."""
    result = cli("send", "sms", "573000000001", "Hola", "--sandbox")
    assert (result.exit_code, result.stdout) == (0, "Sent. The API calls it message 1.\n")
    document = cli.json("send", "sms", "573000000001", "Hola", "--sandbox")
    assert document == {"verdict": "sent", "message_id": "1", "text": "Message sent", "attempts": 1}


@pytest.mark.parametrize(
    ("fault", "code", "verdict", "words"),
    [
        (Fault.STATUS_FALSE, 3, "rejected", "refused by the API"),
        (Fault.BAD_GATEWAY_DELIVERED, 4, "unknown", "MAY have been delivered"),
        (Fault.DROP_AFTER_EFFECT, 4, "unknown", "MAY have been delivered"),
        (Fault.DATA_NULL, 0, "sent", "without a number"),
    ],
)
def test_the_exit_code_of_send_is_its_verdict(
    served: Callable[[Sandbox], Cli], fault: Fault, code: int, verdict: str, words: str
) -> None:
    """Rejected and unknown have codes of their own, a verdict for programs and help for people."""
    cli = served(Sandbox(weather=Weather.sequence([fault], repeat=True)))
    result = cli("send", "sms", "573000000001", "Hola")
    assert result.exit_code == code
    assert words in result.stdout + result.stderr
    result = cli("--json", "send", "sms", "573000000001", "Hola")
    assert (result.exit_code, json.loads(result.stdout)["verdict"]) == (code, verdict)


def test_nothing_listens(cli: Cli) -> None:
    """A server that is not there is a network failure, and nothing was sent."""
    result = cli(
        "--base-url", "http://127.0.0.1:9/bots", "--deadline", "0.5", "send", "web", "1", "x"
    )
    assert result.exit_code == 6
    assert "Nothing" in result.stderr


def test_a_wrong_key(served: Callable[[Sandbox], Cli]) -> None:
    """A refused key has its own code."""
    cli = served(Sandbox(api_key="another-key"))
    assert cli("send", "sms", "573000000001", "Hola").exit_code == 5
    assert cli("users", "web").exit_code == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("users", "sms"), "Cannot read from the channel 'sms'"),
        (("send", "twitter", "1", "x"), "Cannot send to the channel 'twitter'"),
        (("send", "sms", "573000000001", " "), "empty"),
        (("users", "web", "--base-url", "ftp://x"), "--sandbox needs neither"),
        (("users", "web", "--transport", "fast"), "--sandbox needs neither"),
        (("users", "web", "--server-tz", "Mars/Base"), "time zone"),
        (("users", "web", "--deadline", "0"), "not in the range"),
    ],
)
def test_usage_errors(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    """A command that cannot work says so and ends with 2."""
    result = cli("--sandbox", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("carrier", "kind"),
    [("default", ""), ("fast", "HttptoolsTransport"), ("pyreqwest", "PyreqwestTransport")],
)
def test_the_transport_is_chosen(
    carrier: str, kind: str, served: Callable[[Sandbox], Cli], tmp_path: Path
) -> None:
    """--transport carries every kind of call; where it cannot work it says so, by its name."""
    rows = tmp_path / "rows.csv"
    rows.write_text("channel,client_id,text\nsms,573000000001,Hola\n")
    ledger = f"sqlite:///{tmp_path}/promo.db"
    sandbox = Sandbox()
    cli = served(sandbox)
    assert cli("campaign", "load", ledger, rows).exit_code == 0
    works = not kind or cli.backend == "asyncio"
    for arguments in (
        ("users", "web"),
        ("messages", "web", "573000000001"),
        ("send", "sms", "573000000002", "Hola"),
        ("send-many", rows),
        ("campaign", "run", ledger),
    ):
        result = cli(*arguments, "--transport", carrier)
        assert (result.exit_code == 0) is works, result.stderr
        excuse = f"{kind} runs on asyncio alone"
        assert (excuse in result.stderr) is (not works) or "send-many" in arguments
    assert sandbox.delivered == 3 * works


def test_errors_for_programs(cli: Cli) -> None:
    """Under --json an error is one document on stderr, and stdout stays empty."""
    result = cli("--json", "--sandbox", "users", "sms")
    assert json.loads(result.stderr)["error"] == "UsageError"
    assert result.stdout == ""


def test_an_option_after_the_command_wins(served: Callable[[Sandbox], Cli]) -> None:
    """The shared options stand before or after the command; the later one counts."""
    cli = served(Sandbox(auth_name="apikey"))
    assert cli("--auth-name", "auth", "users", "web", "--auth-name", "apikey").exit_code == 0
    assert cli("--auth-name", "apikey", "users", "web").exit_code == 0
    assert cli("users", "web").exit_code == 5


@pytest.mark.parametrize("place", ["params", "query", "header", "header+params"])
@pytest.mark.parametrize("encoding", ["form", "json", "query"])
def test_dialect_options(served: Callable[[Sandbox], Cli], place: str, encoding: str) -> None:
    """The dialect's switches reach the wire, where the sandbox finds key and message."""
    sandbox = Sandbox()
    cli = served(sandbox)
    options = ("--auth-in", place, "--post-encoding", encoding, "--server-tz", "America/Bogota")
    assert cli("send", "sms", "573000000001", "Hola", *options).exit_code == 0
    assert [d.text for d in sandbox.deliveries] == ["Hola"]
    user = json.loads(cli("--json", "users", "web", *options).stdout.splitlines()[0])
    assert user["date_created"].endswith("-05:00")


class TestTheKey:
    def test_from_a_file(self, served: Callable[[Sandbox], Cli], tmp_path: Path) -> None:
        """A key file wins over the environment; its line end does not matter."""
        path = tmp_path / "key"
        path.write_text("file-key\r\n")
        cli = served(Sandbox(api_key="file-key"))
        assert cli("--key-file", path, "users", "web").exit_code == 0

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "cannot be read"),
            (b"\xff\xfe\x00", "not a text file"),
            (b"\n", "api_key is empty"),
        ],
    )
    def test_from_a_bad_file(
        self, cli: Cli, tmp_path: Path, content: bytes | None, words: str
    ) -> None:
        """A key file that is missing, no text, or empty ends with 2."""
        path = tmp_path / "key"
        if content is not None:
            path.write_bytes(content)
        result = cli("--key-file", path, "users", "web")
        assert (result.exit_code, words in result.stderr) == (2, True)

    def test_none(self, cli: Cli) -> None:
        """Without a key and without a terminal the error says where to put one."""
        result = cli("users", "web", key="")
        assert result.exit_code == 2
        assert "ALDEAMO_API_KEY" in result.stderr
        assert "--sandbox" in result.stderr

    def test_from_a_prompt(self, served: Callable[[Sandbox], Cli]) -> None:
        """A person at a terminal is asked, and what is typed is not shown."""
        cli = served(Sandbox(api_key="typed-key"))
        environment = {"ALDEAMO_API_KEY": None, "ALDEAMO_BASE_URL": cli.url}
        result = Terminal().invoke(aldeamo, ["users", "web"], input="typed-key\n", env=environment)
        assert result.exit_code == 0
        assert "API key:" in result.stderr
        assert "typed-key" not in result.output

    def test_from_a_prompt_on_a_real_terminal(self, served: Callable[[Sandbox], Cli]) -> None:
        """The same on a pseudo-terminal, with the echo off."""
        cli = served(Sandbox(api_key="typed-key"))
        code, screen = on_terminal(["users", "web"], b"API key:", b"typed-key\n", url=str(cli.url))
        assert code == 0
        assert b"typed-key" not in screen

    def test_a_prompt_that_is_refused(self) -> None:
        """Ctrl-D or Ctrl-C at the prompt is an interrupt."""
        result = Terminal().invoke(aldeamo, ["users", "web"], env={"ALDEAMO_API_KEY": None})
        assert (result.exit_code, "Interrupted." in result.stderr) == (130, True)

    def test_no_option_takes_it(self) -> None:
        """No option of any command takes the key itself."""
        commands = [aldeamo, *aldeamo.commands.values()]
        names = {name for command in commands for option in command.params for name in option.opts}
        assert {name for name in names if "key" in name} == {"--key-file"}


class Terminal(CliRunner):
    """A runner whose standard streams say that they are a terminal."""

    @contextmanager
    def isolation(self, *args: Any, **more: Any) -> Iterator[Any]:  # type: ignore[override]
        with super().isolation(*args, **more) as streams:
            for stream in (sys.stdin, sys.stderr):
                setattr(stream, "isatty", lambda: True)  # noqa: B010
            yield streams


def on_terminal(arguments: list[str], asked: bytes, typed: bytes, *, url: str) -> tuple[int, bytes]:
    """Run the command line in a child on a pseudo-terminal, and answer its question."""
    master, slave = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "ALDEAMO_API_KEY"}
    with subprocess.Popen(
        [sys.executable, "-m", "aldeamo_async", *arguments],
        stdin=slave,
        stderr=slave,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env=environment | {"ALDEAMO_BASE_URL": url},
    ) as process:
        os.close(slave)
        screen = b""
        while asked not in screen:
            screen += os.read(master, 65536)
        # The question is on the screen a moment before the echo is off, and switching that off
        # throws away what was typed until then.
        while termios.tcgetattr(master)[3] & termios.ECHO:
            time.sleep(0.01)
        os.write(master, typed)
        code = process.wait(30)
    with contextlib.suppress(OSError):  # EIO: the other side has closed the terminal
        screen += os.read(master, 65536)
    os.close(master)
    return code, screen


def test_verbose_logs_to_stderr(served: Callable[[Sandbox], Cli]) -> None:
    """--verbose logs without key and number, and leaves the logging as it was."""
    cli = served(Sandbox())
    logger = logging.getLogger("aldeamo_async")
    before = logger.level, list(logger.handlers)
    result = cli("-v", "send", "sms", "573000000001", "Hola")
    assert result.exit_code == 0
    assert "DEBUG aldeamo_async" in result.stderr
    assert "573000000001" not in result.stderr
    assert (logger.level, logger.handlers) == before


def test_version_and_help() -> None:
    """--version names the version; every command explains itself."""
    runner = CliRunner()
    assert "aldeamo, version" in runner.invoke(aldeamo, ["--version"]).stdout
    for name in aldeamo.commands:
        result = runner.invoke(aldeamo, [name, "-h"])
        assert result.exit_code == 0
        assert "--help" in result.stdout
    assert "Exit codes:" in runner.invoke(aldeamo, ["-h"]).stdout
