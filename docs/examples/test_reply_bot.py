"""The reply bot: in this process, and as a program that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

import reply_bot
from aldeamo_async import AsyncBotsClient
from aldeamo_async.sandbox import Fault, Sandbox, SandboxTransport, Weather, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio
ANA, LUIS = "507000000001", "507000000002"


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens elsewhere."""
    with anyio.fail_after(30):
        while not condition():
            await anyio.sleep(0.02)


def answers(sandbox: Sandbox) -> Counter[tuple[str, str]]:
    return Counter((sent.client_id, sent.text) for sent in sandbox.deliveries)


async def test_the_bot_answers_everybody_once_and_never_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each message gets its answer, also where the API shows the bot its own."""
    sandbox = Sandbox(users_per_channel=2, show_sent=True)
    client = AsyncBotsClient("test-key", transport=SandboxTransport(sandbox))
    file = tmp_path / "cursor.json"
    async with client, anyio.create_task_group() as group:
        group.start_soon(reply_bot.serve, client, file, 0.02)
        await until(file.exists)
        for who, text in ((ANA, "Mi saldo, por favor"), (LUIS, "Un ASESOR"), ("507", "Buenas")):
            sandbox.say("web", who, text)
        await until(lambda: sandbox.delivered == 3)
        sandbox.weather = Weather.sequence(
            [Fault.STATUS_FALSE, Fault.DROP_AFTER_EFFECT], only="sends"
        )
        sandbox.say("web", ANA, "saldo?")  # refused
        sandbox.say("web", LUIS, "Buenas tardes")  # unknown
        await until(lambda: sum(sandbox.faults.values()) == 2)
        sandbox.say("web", LUIS, "asesor")  # behind it stands what the bot said to Luis
        await until(lambda: sandbox.delivered == 5)
        group.cancel_scope.cancel()
    assert answers(sandbox) == {
        (ANA, "Tu saldo está al día."): 1,
        (LUIS, "Un asesor te escribirá hoy."): 2,
        ("507", reply_bot.GREETING): 1,
        (LUIS, reply_bot.GREETING): 1,
    }
    assert "did not go out" in caplog.text
    assert "may have arrived" in caplog.text


@contextmanager
def running(url: str, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the bot as a program, and kill it in the end."""
    env = {**os.environ, "ALDEAMO_API_KEY": "test-key", "ALDEAMO_BASE_URL": url}
    command = [sys.executable, reply_bot.__file__, str(file), "0.05"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE) as bot:
        yield bot
        bot.kill()


async def test_a_bot_that_is_killed_goes_on_from_its_file(tmp_path: Path) -> None:
    """What was written while it was dead is answered after its restart, and nothing twice."""
    sandbox = Sandbox(users_per_channel=2)
    file = tmp_path / "cursor.json"
    async with serve(sandbox) as url:
        with running(url, file):
            await until(file.exists)
            sandbox.say("web", ANA, "Hola")
            await until(lambda: sandbox.delivered == 1)
        sandbox.say("web", ANA, "saldo")
        sandbox.say("web", LUIS, "asesor")
        with running(url, file):
            await until(lambda: sandbox.delivered == 3)
            sandbox.say("web", ANA, "Gracias. Y un asesor?")
            await until(lambda: sandbox.delivered == 4)
    assert set(answers(sandbox).values()) == {1}


async def test_ctrl_c_ends_the_bot_without_a_traceback(tmp_path: Path) -> None:
    """It says that it watches, and on Ctrl-C it ends well."""
    file = tmp_path / "cursor.json"
    async with serve(Sandbox(users_per_channel=2)) as url:
        with running(url, file) as bot:
            await until(file.exists)
            bot.send_signal(signal.SIGINT)
            await until(lambda: bot.poll() is not None)
            assert bot.returncode == 0
            assert bot.stderr is not None
            assert bot.stderr.read().decode() == "INFO:reply_bot:watching web\n"
