"""Workers are killed, frozen and cut off from PostgreSQL, and the sandbox counts what arrived.

    python tests/campaigns/cluster_kill_test.py         # 12,000 messages, 3 workers x 20 in flight
    python tests/campaigns/cluster_kill_test.py --messages 3000 --kills 2 --zombies 2

A kill is `kill -9`, and another worker takes the dead one's place. A zombie is a SIGSTOP for longer
than the lease, then SIGCONT: by then others have taken over what it had marked. In the middle
PostgreSQL crashes and stays away for a while. The sandbox, in this process, is the judge.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from aldeamo_async import AsyncBotsClient, Outgoing
from aldeamo_async.campaigns import Campaign, State
from aldeamo_async.campaigns._cluster import Order, opened_queue, start
from aldeamo_async.sandbox import Sandbox, serve

if TYPE_CHECKING:
    from support.postgres import PostgresServer

WORKERS = 3
IN_FLIGHT = 20
LATENCY_SECONDS = 0.02  # on the server, so that a kill meets messages on the wire
FROZEN = 1.8  # leases that a zombie sleeps
SETTLED_SECONDS = 0.7  # after which nothing that was on the wire is any more
STUCK_SECONDS = 90.0


@dataclass(frozen=True)
class Scene:
    """What is to happen; `away` are the seconds that PostgreSQL is dead, `rate` is a worker's."""

    messages: int = 12_000
    kills: int = 8
    zombies: int = 10
    restarts: int = 1
    rate: float = 100.0
    lease: float = 3.0
    away: float = 4.0
    seed: int = 1

    def steps(self) -> list[str]:
        """The kills and zombies in some order, with the crash of PostgreSQL in the middle."""
        steps = ["kill"] * self.kills + ["zombie"] * self.zombies
        random.Random(self.seed).shuffle(steps)
        middle = len(steps) // 2
        return [*steps[:middle], *["restart"] * self.restarts, *steps[middle:]]


COLUMNS = (
    *("messages", "kills", "zombies", "restarts", "duplicates", "sent", "unknown"),
    *("unknown, delivered", "lost", "sent, not delivered", "sent while down", "seconds"),
)


@dataclass
class Audit:
    """What the sandbox and the ledger say in the end."""

    messages: int
    kills: int = 0
    zombies: int = 0
    restarts: int = 0
    duplicates: int = 0
    lost: int = 0
    sent_not_delivered: int = 0
    unknown_delivered: int = 0
    sent_while_down: int = 0
    seconds: float = 0.0
    states: dict[str, int] = field(default_factory=dict)
    said: str = ""

    def row(self) -> list[object]:
        events = [self.messages, self.kills, self.zombies, self.restarts, self.duplicates]
        states = [self.states["sent"], self.states["unknown"], self.unknown_delivered]
        rest = [self.lost, self.sent_not_delivered, self.sent_while_down, round(self.seconds)]
        return [*events, *states, *rest]

    @property
    def kept(self) -> bool:
        """Whether the protocol kept its word."""
        faults = self.duplicates + self.lost + self.sent_not_delivered + self.sent_while_down
        in_flight = IN_FLIGHT * (self.kills + self.zombies)
        return not faults and self.states["unknown"] <= in_flight


def show(cells: list[Any] | tuple[str, ...]) -> None:
    """Print a line of the table."""
    print("  ".join(f"{c:>{max(len(n), 5)}}" for c, n in zip(cells, COLUMNS, strict=True)))


class Crew:
    """The workers: processes that come and go."""

    def __init__(self, scene: Scene, url: str, base_url: str) -> None:
        where = ["--base-url", base_url, "--rate", str(scene.rate)]
        self._command = [sys.executable, "-m", "aldeamo_async", "worker", url, *where]
        self._command += ["--concurrency", str(IN_FLIGHT), "--until-done"]
        self._frozen_seconds = FROZEN * scene.lease
        self.living: list[subprocess.Popen[str]] = []
        self.frozen: dict[int, float] = {}
        self.ended: list[tuple[int, str]] = []

    def hire(self) -> None:
        environment = os.environ | {"ALDEAMO_API_KEY": "test-key"}
        worker = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.living.append(worker)

    def awake(self) -> list[subprocess.Popen[str]]:
        return [one for one in self.living if one.pid not in self.frozen and one.poll() is None]

    def kill(self, one: subprocess.Popen[str]) -> None:
        one.kill()
        self._part(one)

    def freeze(self, one: subprocess.Popen[str]) -> None:
        one.send_signal(signal.SIGSTOP)
        self.frozen[one.pid] = time.monotonic() + self._frozen_seconds

    def thaw(self) -> None:
        for one in self.living:
            if self.frozen.get(one.pid, float("inf")) < time.monotonic():
                one.send_signal(signal.SIGCONT)
                del self.frozen[one.pid]

    def replace(self) -> None:
        """Hire another for whoever came while PostgreSQL was away, said so, and left."""
        for one in [one for one in self.living if one.poll() == 1]:
            self._part(one)
            self.ended.pop()
            self.hire()

    def dismiss(self) -> list[int]:
        """Wait for the end of all; return their exit codes."""
        for one in list(self.living):
            self._part(one)
        return [code for code, _ in self.ended if code != -signal.SIGKILL]

    def kill_all(self) -> None:
        for one in self.living:
            one.kill()
            one.communicate()

    def _part(self, one: subprocess.Popen[str]) -> None:
        _, said = one.communicate(timeout=STUCK_SECONDS)
        self.living.remove(one)
        self.ended.append((one.returncode, said))


@dataclass
class Play:
    """One campaign, and all that happens to it; runs in a thread."""

    scene: Scene
    server: PostgresServer
    sandbox: Sandbox
    crew: Crew
    audit: Audit

    def run(self) -> None:
        """Take each step at some point on the way; return when nobody is at work any more."""
        dice = random.Random(self.scene.seed)
        steps = self.scene.steps()
        goal = share = self.scene.messages / (len(steps) + 2)
        last, seen = time.monotonic(), 0
        while self.crew.awake() or self.crew.frozen:
            time.sleep(0.002)
            self.crew.thaw()
            self.crew.replace()
            if self.sandbox.delivered > seen:
                seen, last = self.sandbox.delivered, time.monotonic()
            if time.monotonic() - last > STUCK_SECONDS:
                raise TimeoutError("The workers do not get on.")
            if steps and seen >= goal and (awake := self.crew.awake()):
                getattr(self, steps.pop(0))(dice.choice(awake))
                goal += share * dice.uniform(0.5, 1.1)

    def kill(self, one: subprocess.Popen[str]) -> None:
        self.crew.kill(one)
        self.crew.hire()
        self.audit.kills += 1

    def zombie(self, one: subprocess.Popen[str]) -> None:
        self.crew.freeze(one)
        self.audit.zombies += 1

    def restart(self, _: subprocess.Popen[str]) -> None:
        self.server.kill()
        time.sleep(SETTLED_SECONDS)
        before = self.sandbox.delivered
        time.sleep(self.scene.away - SETTLED_SECONDS)
        self.audit.sent_while_down += self.sandbox.delivered - before
        self.server.start()
        self.audit.restarts += 1


async def audited(scene: Scene, server: PostgresServer, database_url: str) -> Audit:
    """Put one campaign through all of it, and look at what is left."""
    sandbox, audit = Sandbox(latency=LATENCY_SECONDS), Audit(scene.messages)
    url = f"{database_url}&lease={scene.lease:g}"
    began = time.monotonic()
    async with serve(sandbox) as base_url, AsyncBotsClient("test-key", base_url=base_url) as client:
        async with Campaign.open(url, client) as campaign, opened_queue(url) as queue:
            await campaign.load(rows_of(scene.messages))
            await start(campaign, queue, Order())
        crew = Crew(scene, url, base_url)
        try:
            for _ in range(WORKERS):
                crew.hire()
            play = Play(scene, server, sandbox, crew, audit)
            await anyio.to_thread.run_sync(play.run)
            codes = await anyio.to_thread.run_sync(crew.dismiss)
        finally:
            await anyio.to_thread.run_sync(crew.kill_all)
        audit.seconds = time.monotonic() - began
        audit.said = "".join(said for _, said in crew.ended)
        async with Campaign.open(url, client) as campaign:
            await judge(campaign, sandbox, audit)
    assert set(codes) == {4 if audit.states["unknown"] else 0}, (codes, audit.said)
    return audit


def rows_of(count: int) -> list[Outgoing]:
    return [Outgoing("sms", f"5730000000{n % 100:02}", f"Hola {n}") for n in range(count)]


async def judge(campaign: Campaign, sandbox: Sandbox, audit: Audit) -> None:
    """Compare what the ledger says with what arrived."""
    arrived = {delivery.text for delivery in sandbox.deliveries}
    by_state: dict[str, set[str]] = {str(state): set() for state in State}
    after = 0
    while lines := await campaign.ledger.lines(after, 5000):
        for line in lines:
            by_state[str(line.state)].add(line.text)
        after = lines[-1].id
    audit.duplicates = sandbox.delivered - len(arrived)
    audit.states = {state: len(texts) for state, texts in by_state.items()}
    audit.lost = audit.messages - audit.states["sent"] - audit.states["unknown"]
    audit.sent_not_delivered = len(by_state["sent"] - arrived)
    audit.unknown_delivered = len(by_state["unknown"] & arrived)


# ── as a test, with fewer messages ────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.real_clock
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cluster_survives(
    anyio_backend: str, postgres_server: PostgresServer, postgres_url: str
) -> None:
    """A kill, a zombie and a crash of PostgreSQL: nothing lost, nothing doubled, and nothing sent
    while marks could not be made."""
    scene = Scene(
        messages=900, kills=1, zombies=1, rate=150.0, lease=1.0, away=1.2, seed=random.randrange(99)
    )
    audit = await audited(scene, postgres_server, postgres_url)
    assert (audit.kills, audit.zombies, audit.restarts) == (1, 1, 1)
    assert audit.kept, audit
    assert "Nothing is sent without its mark" in audit.said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for one in fields(Scene):
        parser.add_argument(f"--{one.name}", type=type(one.default), default=one.default)
    parser.add_argument("--show-stderr", action="store_true", help="print what the workers said")
    given = vars(parser.parse_args())
    show_stderr = given.pop("show_stderr")
    scene = Scene(**given)
    print(f"{WORKERS} workers x {IN_FLIGHT}, lease {scene.lease:g} s, seed {scene.seed}")
    show(COLUMNS)
    from support.postgres import running

    with running(durable=True) as server, server.database() as name:
        audit = anyio.run(audited, scene, server, server.url(name))
    show(audit.row())
    if show_stderr:
        print(audit.said)
    sys.exit(0 if audit.kept else 1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
