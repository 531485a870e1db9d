"""A campaign is killed again and again, and the sandbox on the other side counts what arrived.

    python tests/campaigns/kill_test.py                    # 20,000 messages, kill -9 ten times
    python tests/campaigns/kill_test.py --signal TERM      # stopped politely ten times
    python tests/campaigns/kill_test.py --messages 2000 --kills 3

The table has a row for the protocol, and one for the control: a copy of the ledger, in this file
alone, that does not write its mark. The control shows that the test can fail: it must have
duplicates.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from aldeamo_async import AsyncBotsClient, Outgoing
from aldeamo_async.campaigns import Campaign, Result, SqliteLedger, State
from aldeamo_async.sandbox import Sandbox, serve

if TYPE_CHECKING:
    from collections.abc import Sequence

IN_FLIGHT = 100
LATENCY_SECONDS = 0.02  # on the server, so that a kill meets messages on the wire
START_SECONDS = 60.0  # for a child to get going on a busy machine


class UnmarkedLedger(SqliteLedger):
    """The control: a ledger that says it marked and did not; the result alone is written."""

    async def mark(self, token: str, message: int) -> bool:
        return True

    async def record(self, token: str, result: Result) -> None:
        await super().mark(token, result.id)
        await super().record(token, result)


LEDGERS = {"mark before POST": SqliteLedger, "no mark (control)": UnmarkedLedger}


@dataclass
class Audit:
    """What the sandbox and the ledger say in the end."""

    protocol: str
    messages: int
    kills: int = 0
    duplicates: int = 0
    states: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    sent_not_delivered: int = 0
    unknown_delivered: int = 0
    unknown_after_stop: list[int] = field(default_factory=list)

    @property
    def unknown(self) -> int:
        return self.states["unknown"]

    def row(self) -> list[object]:
        states = [self.states[name] for name in ("sent", "rejected", "unknown")]
        counted = [self.unknown_delivered, self.lost, self.sent_not_delivered]
        return [self.protocol, self.messages, self.kills, self.duplicates, *states, *counted]


COLUMNS = (
    "protocol",
    "messages",
    "kills",
    "duplicates",
    "sent",
    "rejected",
    "unknown",
    "unknown, delivered",
    "lost",
    "sent, not delivered",
)


def show(cells: Sequence[object]) -> None:
    """Print a line of the table."""
    widths = [max(len(name), 17 if name == "protocol" else 5) for name in COLUMNS]
    print(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)), flush=True
    )


def rows_of(count: int) -> list[Outgoing]:
    return [Outgoing("sms", f"5730000000{n % 100:02}", f"Hola {n}") for n in range(count)]


# ── the child: one life of a campaign ─────────────────────────────────────────────────────────────


async def live(path: str, url: str, protocol: str) -> None:
    """Run the campaign until it is done, or a SIGTERM asks for its end."""
    client = AsyncBotsClient("test-key", base_url=url, timeout=30.0)
    opened = Campaign.open(LEDGERS[protocol](path), client)
    async with client, opened as campaign, anyio.create_task_group() as tasks:
        tasks.start_soon(stop_on_sigterm, campaign)
        await campaign.run(concurrency=IN_FLIGHT)
        tasks.cancel_scope.cancel()


async def stop_on_sigterm(campaign: Campaign) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            campaign.stop("SIGTERM")


# ── the parent: the killer and the judge ──────────────────────────────────────────────────────────


async def audited(
    folder: Path, protocol: str, count: int, kills: int, by: signal.Signals, seed: int
) -> Audit:
    """Put one campaign through all its deaths, and look at what is left."""
    dice = random.Random(seed)
    path = folder / f"{by.name}-{seed}-{LEDGERS[protocol].__name__}.db"
    sandbox = Sandbox(latency=LATENCY_SECONDS)
    audit = Audit(protocol, count)
    async with serve(sandbox) as url, AsyncBotsClient("test-key", base_url=url) as client:
        async with Campaign.open(LEDGERS[protocol](path), client) as campaign:
            await campaign.load(rows_of(count))
        command = [sys.executable, __file__, "--live", str(path), url, protocol]
        while True:
            child = await anyio.to_thread.run_sync(subprocess.Popen, command)
            share = (count - sandbox.delivered) / (kills - audit.kills + 1)
            goal = sandbox.delivered + share * dice.uniform(0.2, 1.3)
            last = audit.kills == kills
            await anyio.to_thread.run_sync(wait, child, sandbox, None if last else goal)
            if child.poll() is None:
                child.send_signal(by)
                audit.kills += 1
            code = await anyio.to_thread.run_sync(child.wait)
            if by is signal.SIGTERM:
                audit.unknown_after_stop.append(await unknowns_in(path, client, protocol))
            if code == 0 and (last or by is signal.SIGKILL):
                break
        async with Campaign.open(LEDGERS[protocol](path), client) as campaign:
            await judge(campaign, sandbox, audit)
    return audit


def wait(child: subprocess.Popen[bytes], sandbox: Sandbox, goal: float | None) -> None:
    """Wait for the child's own end, or for so many deliveries."""
    until = time.monotonic() + START_SECONDS
    while child.poll() is None and (goal is None or sandbox.delivered < goal):
        if goal is not None and time.monotonic() > until:
            raise TimeoutError("The campaign does not get on.")
        time.sleep(0.001)


async def unknowns_in(path: Path, client: AsyncBotsClient, protocol: str) -> int:
    async with Campaign.open(LEDGERS[protocol](path), client) as campaign:
        return (await campaign.status()).counts[State.UNKNOWN]


async def judge(campaign: Campaign, sandbox: Sandbox, audit: Audit) -> None:
    """Compare what the ledger says with what arrived."""
    arrived = {delivery.text for delivery in sandbox.deliveries}
    by_state: dict[str, set[str]] = {str(state): set() for state in State}
    after = 0
    while lines := await campaign._ledger.lines(after, 5000):
        for line in lines:
            by_state[str(line.state)].add(line.text)
        after = lines[-1].id
    audit.duplicates = sandbox.duplicates
    audit.states = {state: len(texts) for state, texts in by_state.items()}
    settled = sum(audit.states[name] for name in ("sent", "rejected", "unknown"))
    audit.lost = audit.messages - settled
    audit.sent_not_delivered = len(by_state["sent"] - arrived)
    audit.unknown_delivered = len(by_state["unknown"] & arrived)


async def table(count: int, kills: int, by: signal.Signals, seed: int) -> list[Audit]:
    show(COLUMNS)
    audits = []
    with tempfile.TemporaryDirectory() as folder:
        for protocol in LEDGERS if by is signal.SIGKILL else ["mark before POST"]:
            audits.append(await audited(Path(folder), protocol, count, kills, by, seed))
            show(audits[-1].row())
            if by is signal.SIGTERM:
                print("unknown after each stop:", audits[-1].unknown_after_stop, flush=True)
    return audits


def passed(audits: list[Audit], by: signal.Signals) -> bool:
    """Whether the protocol kept its word, and the control shows that it might not have."""
    first = audits[0]
    bound = IN_FLIGHT * first.kills if by is signal.SIGKILL else 0
    kept = not (first.duplicates or first.lost or first.sent_not_delivered)
    return kept and first.unknown <= bound and all(a.duplicates for a in audits[1:])


# ── as tests, with fewer messages ─────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.real_clock
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
async def test_a_campaign_survives(by: signal.Signals, anyio_backend: str) -> None:
    """kill -9: nothing lost, nothing doubled, and the control doubles; SIGTERM: nothing unknown."""
    assert passed(await table(1500, 3, by, seed=1), by)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--live", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.live:
        anyio.run(live, *options.live)
        return
    by = signal.Signals[f"SIG{options.signal}"]
    print(f"{IN_FLIGHT} in flight, {by.name}, seed {options.seed}")
    audits = anyio.run(table, options.messages, options.kills, by, options.seed)
    sys.exit(0 if passed(audits, by) else 1)


if __name__ == "__main__":
    main()
