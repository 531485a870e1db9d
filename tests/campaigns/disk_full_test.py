"""The disk becomes full in the middle of a run; then there is space again.

    python tests/campaigns/disk_full_test.py             # a limit on file sizes, for any user
    python tests/campaigns/disk_full_test.py --tmpfs     # a real ENOSPC; needs the right to mount

Nothing may have gone out without its mark, the error must say what happened, and the next run must
finish the campaign with nothing doubled.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from aldeamo_async import AsyncBotsClient, CampaignError, Outgoing
from aldeamo_async.campaigns import Campaign, RunReport, State
from aldeamo_async.sandbox import Sandbox, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_FLIGHT = 50
FULL = 3  # the exit code of a child that found its disk full
TMPFS_BYTES = 12_000_000  # the write-ahead log alone may grow to 4 MB
SPARE_BYTES = 100_000  # that the limit leaves for the file to grow


@dataclass
class Found:
    """What there was to see."""

    error: str
    out_without_mark: int
    delivered_before: int
    after: RunReport
    duplicates: int

    @property
    def passed(self) -> bool:
        counts = self.after.status.counts
        said = "disk is full" in self.error or "limit on file sizes" in self.error
        finished = counts[State.PENDING] == counts[State.ATTEMPTING] == 0
        few = counts[State.UNKNOWN] <= IN_FLIGHT
        return said and finished and few and not (self.out_without_mark or self.duplicates)


async def live(path: str, url: str, limit: str) -> int:
    """One life of the campaign; with a limit on file sizes if it is above 0."""
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    client = AsyncBotsClient("test-key", base_url=url)
    try:
        async with client, Campaign.open(f"sqlite:///{path}", client) as campaign:
            await campaign.run(concurrency=IN_FLIGHT)
    except CampaignError as error:
        print(error)
        return FULL
    return 0


async def through_a_full_disk(folder: Path, count: int, *, tmpfs: bool) -> Found:
    """Fill the disk under a run, look, make space, and run again."""
    path = folder / "promo.db"
    ballast = folder / "ballast"
    sandbox = Sandbox(latency=0.01)
    async with serve(sandbox) as url, AsyncBotsClient("test-key", base_url=url) as client:
        async with Campaign.open(f"sqlite:///{path}", client) as campaign:
            await campaign.load(Outgoing("sms", "573000000001", f"Hola {n}") for n in range(count))
        size = path.stat().st_size
        if tmpfs:
            ballast.write_bytes(bytes(TMPFS_BYTES - size - SPARE_BYTES))
        limit = 0 if tmpfs else size + SPARE_BYTES
        command = [sys.executable, __file__, "--live", str(path), url, str(limit)]
        done = await anyio.run_process(command, check=False)
        assert done.returncode == FULL, done
        delivered = {delivery.text for delivery in sandbox.deliveries}
        ballast.unlink(missing_ok=True)
        async with Campaign.open(f"sqlite:///{path}", client) as campaign:
            lines = await campaign._ledger.lines(0, count)
            unmarked = {line.text for line in lines if line.state is State.PENDING}
            report = await campaign.run(concurrency=IN_FLIGHT)
    return Found(
        done.stdout.decode(), len(delivered & unmarked), len(delivered), report, sandbox.duplicates
    )


@contextmanager
def small_tmpfs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        size = f"size={TMPFS_BYTES}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
@pytest.mark.real_clock
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_run_survives_a_full_disk(tmp_path: Path, anyio_backend: str) -> None:
    """Nothing goes out unmarked, the error says why, and with space the campaign is finished."""
    found = await through_a_full_disk(tmp_path, 2500, tmpfs=False)
    assert found.delivered_before < 2500
    assert found.passed, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=2500)
    parser.add_argument("--tmpfs", action="store_true")
    parser.add_argument("--live", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.live:
        sys.exit(anyio.run(live, *options.live))

    async def look(folder: Path) -> Found:
        return await through_a_full_disk(folder, options.messages, tmpfs=options.tmpfs)

    if options.tmpfs:
        with small_tmpfs() as folder:
            found = anyio.run(look, folder)
    else:
        with tempfile.TemporaryDirectory() as name:
            found = anyio.run(look, Path(name))
    print(f"the run said: {found.error.strip()}")
    print(f"delivered before it stopped: {found.delivered_before}")
    print(f"of these without a mark: {found.out_without_mark}")
    states = {str(state): number for state, number in found.after.status.counts.items()}
    print(f"after the next run: {states}; duplicates: {found.duplicates}")
    sys.exit(0 if found.passed else 1)


if __name__ == "__main__":
    main()
