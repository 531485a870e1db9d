"""campaign run --cluster, worker, and the status of a campaign that many work on."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from aldeamo_async.campaigns import CampaignStatus, Fleet, State, Worker
from aldeamo_async.campaigns._cluster import _queue
from aldeamo_async.cli._campaign import fleet_lines
from aldeamo_async.cli._cluster import _engine_is_silent
from aldeamo_async.sandbox import Fault, Sandbox, Weather
from cli.conftest import HEADER, Cli, rows, serving
from cli.interrupts import heard, interrupting, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.postgres import PostgresServer

    Write = Callable[..., Path]


@pytest.fixture
def url(postgres_url: str) -> str:
    return f"{postgres_url}&campaign=promo&lease=1"


@contextmanager
def loaded(url: str, path: Path, sandbox: Sandbox) -> Iterator[Cli]:
    """The command line with a campaign loaded, and an API to send it to."""
    with serving(sandbox) as base_url:
        cli = Cli("asyncio", base_url)
        cli.json("campaign", "load", url, path)
        yield cli


def test_start_work_and_look(write: Write, url: str, postgres_url: str) -> None:
    """Started and left, worked off by a worker until it is done, and then it is over."""
    sandbox = Sandbox()
    with loaded(url, write(HEADER, *rows(700)), sandbox) as cli:
        started = cli("campaign", "run", url, "--cluster", "--detach")
        assert started.exit_code == 0
        assert "2 chunks for the workers: aldeamo worker URL" in started.stdout
        assert "pending           700" in started.stdout
        limit = ["--rate", 5000, "--shared-limit", postgres_url]
        worked = cli("worker", url, "--concurrency", 20, *limit, "--until-done")
        assert worked.exit_code == 0
        assert "This worker: 700 sent, 0 rejected, 0 unknown." in worked.stdout
        assert "Ended: nothing is left to send." in worked.stdout
        status = cli.json("campaign", "status", url)
        assert (status["counts"]["sent"], status["workers"]) == (700, [])
        again = cli("--json", "campaign", "run", url, "--cluster")
        assert again.exit_code == 0
        assert json.loads(again.stdout)["chunks"] == 0
        assert cli("worker", url, "--until-done").exit_code == 0
    assert (sandbox.delivered, sandbox.duplicates) == (700, 0)


@contextmanager
def worker(cli: Cli, url: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A worker in a process of its own, which says in the end what it has sent."""
    command = [sys.executable, "-m", "aldeamo_async", "worker", url, "--json", *options]
    environment = os.environ | {"ALDEAMO_API_KEY": "test-key", "ALDEAMO_BASE_URL": str(cli.url)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def workers(cli: Cli, url: str, count: int, *options: str) -> Iterator[list[subprocess.Popen[str]]]:
    """So many workers, all at their posts."""
    with ExitStack() as stack:
        started = [stack.enter_context(worker(cli, url, *options)) for _ in range(count)]
        until(lambda: sum(one["alive"] for one in at_work(cli, url)) == count)
        yield started


def at_work(cli: Cli, url: str) -> list[dict[str, Any]]:
    """The workers, as the status of the campaign shows them."""
    found: list[dict[str, Any]] = cli.json("campaign", "status", url)["workers"]
    return found


@pytest.mark.slow
def test_two_workers_keep_one_rate(write: Write, url: str, postgres_url: str) -> None:
    """With --shared-limit, --rate is that of all workers together, and the status shows them all.

    There are four chunks, of which one worker takes three at the most: each has something to send.
    """
    rate, count, warm = 500, 2000, 300
    sandbox = Sandbox()
    limit = ["--rate", str(rate), "--shared-limit", postgres_url, "--limit-name", "promo"]
    with (
        loaded(url, write(HEADER, *rows(count)), sandbox) as cli,
        workers(cli, url, 2, "--concurrency", "20", *limit) as crew,
    ):
        cli("campaign", "run", url, "--cluster", "--detach")
        until(lambda: sandbox.delivered == count)
        until(lambda: sum(one["recorded"] for one in at_work(cli, url)) == count)
        for process in crew:
            process.terminate()
        reports = [json.loads(process.communicate(timeout=30)[0]) for process in crew]
        assert [process.returncode for process in crew] == [0, 0]
        with psycopg.connect(postgres_url) as connection:
            kept = connection.execute(
                "SELECT rate, count(*) FROM aldeamo_limits JOIN aldeamo_limit_workers USING (name) "
                "WHERE name = 'promo' GROUP BY rate"
            ).fetchall()
    assert kept == [(rate, 2)]
    sent = [report["sent"] for report in reports]
    assert (sum(sent), min(sent) > 0) == (count, True)
    assert sandbox.duplicates == 0
    # However busy the machine is, no permit comes early. Two equal halves at a rate each: 1.7 s.
    moments = [delivery.at for delivery in sandbox.deliveries]
    assert moments[-1] - moments[warm] > 0.85 * (count - warm) / rate


def test_whoever_starts_it_may_watch(write: Write, url: str) -> None:
    """Without --detach the start watches the workers, and ends as the campaign does."""
    sandbox = Sandbox(weather=Weather.sequence([Fault.STATUS_FALSE]))
    with loaded(url, write(HEADER, *rows(60)), sandbox) as cli:
        cli("campaign", "run", url, "--cluster", "--detach")
        with worker(cli, url, "--until-done") as process:
            watched = cli("--json", "campaign", "run", url, "--cluster", "--max-attempts", 3)
            out, _ = process.communicate(timeout=60)
        assert (watched.exit_code, process.returncode) == (3, 3)
        assert json.loads(out)["sent"] == 59
        assert json.loads(watched.stdout)["status"]["counts"]["rejected"] == 1


def test_whoever_watches_may_leave(write: Write, url: str) -> None:
    """Ctrl-C ends the watching alone."""
    with loaded(url, write(HEADER, *rows(5)), Sandbox()) as cli:
        status = lambda: cli.json("campaign", "status", url)  # noqa: E731
        with interrupting(lambda: heard() == 0):
            left = cli("campaign", "run", url, "--cluster")
        assert left.exit_code == 130
        assert "The workers go on." in left.stdout
        assert status()["counts"]["pending"] == 5


def test_a_worker_that_is_told_to_end(write: Write, url: str) -> None:
    """SIGTERM: what is in flight is finished, nothing is unknown, and the rest is the others'."""
    sandbox = Sandbox(latency=0.02)
    with loaded(url, write(HEADER, *rows(600)), sandbox) as cli:
        cli("campaign", "run", url, "--cluster", "--detach")
        with interrupting(lambda: sandbox.delivered > 5):
            ended = cli("worker", url, "--concurrency", 5)
        assert ended.exit_code == 130
        assert "in flight are finishing" in ended.stderr
        counts = cli.json("campaign", "status", url)["counts"]
        assert counts["sent"] == sandbox.delivered < 600
        assert counts["pending"] == 600 - sandbox.delivered


def test_a_worker_with_a_wrong_key(write: Write, url: str) -> None:
    """It ends by itself, with the exit code of a refused key."""
    with loaded(url, write(HEADER, *rows(5)), Sandbox()) as cli:
        cli("campaign", "run", url, "--cluster", "--detach")
        ended = cli("worker", url, key="another-key")
        assert ended.exit_code == 5
        assert "refuses the key" in ended.stdout


def test_a_database_that_stays_away(
    write: Write, url: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the URL's patience is over a worker ends, with words instead of a traceback."""
    monkeypatch.setattr(_queue, "_POOL_SECONDS", 0.3)
    sandbox = Sandbox(latency=0.02)
    impatient = f"{url}&patience=0.2"
    with loaded(impatient, write(HEADER, *rows(600)), sandbox) as cli:
        cli("campaign", "run", impatient, "--cluster", "--detach")

        def pull_the_plug() -> None:
            until(lambda: sandbox.delivered > 5)
            postgres_server.stop()

        thread = Thread(target=pull_the_plug)
        thread.start()
        ended = cli("worker", impatient, "--concurrency", 5)
        thread.join()
    assert ended.exit_code == 1
    assert "Nothing is sent without its mark, so the run stops here" in ended.stderr


def test_what_may_have_arrived(write: Write, url: str) -> None:
    """A worker of a campaign with unknown messages ends as campaign run does."""
    weather = Weather.sequence([Fault.BAD_GATEWAY_DELIVERED])
    with loaded(url, write(HEADER, *rows(5)), Sandbox(weather=weather)) as cli:
        cli("campaign", "run", url, "--cluster", "--detach")
        assert cli("worker", url, "--until-done", "--concurrency", 1).exit_code == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cluster", "--rate", 5, "--ordered"], "--rate, --ordered cannot be given"),
        (["--cluster", "--concurrency", 5], "--concurrency cannot be given"),
        (["--cluster", "--max-unknown", 5, "--max-rejected", 5], "--max-rejected, --max-unknown"),
        (["--detach"], "it needs --cluster"),
        (["--cluster"], "need a campaign in PostgreSQL"),
    ],
)
def test_what_cannot_be_given(options: list[Any], words: str, tmp_path: Path) -> None:
    """What the workers decide, or only one process can keep, is refused before anything is done."""
    cli = Cli("asyncio")
    result = cli("campaign", "run", f"sqlite:///{tmp_path}/promo.db", *options)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_workers_need_asyncio(url: str) -> None:
    """On trio a worker says that it cannot."""
    result = Cli("trio")("worker", url)
    assert result.exit_code == 2
    assert "asyncio" in result.stderr


def test_workers_need_their_extra(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without procrastinate the command says how to install it."""
    for name in [name for name in sys.modules if name.startswith("aldeamo_async.campaigns._clus")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "procrastinate", None)
    result = Cli("asyncio")("worker", url)
    assert result.exit_code == 2
    assert "pip install 'aldeamo-async[cluster]'" in result.stderr


def test_what_the_engine_says_is_for_those_who_ask() -> None:
    """The engine's own log is silenced while a command runs, and only then."""
    logger = logging.getLogger("procrastinate")
    before = logger.level
    with _engine_is_silent():
        assert not logger.isEnabledFor(logging.CRITICAL)
    assert logger.level == before


def test_the_fleet_in_words() -> None:
    """The status names each worker with its rate, and those that went silent."""
    counts = dict.fromkeys(State, 0)
    nobody = CampaignStatus(counts=counts, aside={}, reasons={})
    assert fleet_lines(nobody) == []
    workers = (Worker("host:1:aa", True, 2.0, 500, 40.0), Worker("host:2:bb", False, 90.0, 7, 3.0))
    some = CampaignStatus(counts=counts, aside={}, reasons={}, fleet=Fleet(workers, 900, 2))
    first, *rest = fleet_lines(some)
    assert first == "1 of 2 workers alive, 40/s in all; 900 messages in 2 leases."
    assert "40/s" in rest[0]
    assert "silent" in rest[1]
    assert "90 s ago" in rest[1]
