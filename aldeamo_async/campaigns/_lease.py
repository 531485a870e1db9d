"""The leases of one run: taken, renewed, and doubted in time.

Rule 1: a lease counts from before the ledger was asked, on the monotonic clock of this machine, so
it never ends later here than at the ledger.
Rule 2: a process that was stopped for longer than a lease finds out here, before it sends: what it
marked may have been taken over, settled and sent by somebody else.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ._ledger import Ledger
    from ._nouns import Job

BEAT_SECONDS: Final = 10.0  # at most; a third of a lease where leases are short
LOST: Final = "its leases were lost to another run"


def beat_seconds(ledger: Ledger) -> float:
    """Return the seconds between two heartbeats: two may be missed."""
    return min(BEAT_SECONDS, ledger.lease / 3)


class Lease:
    """What one run holds, under a token of its own."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._since: float | None = None
        self.token = secrets.token_hex(8)

    @property
    def is_fresh(self) -> bool:
        """Whether what was claimed is surely still ours."""
        since = self._since
        return since is not None and anyio.current_time() - since < self._ledger.lease

    async def claim(self, limit: int, chunk: int | None = None) -> Sequence[Job]:
        """Claim messages."""
        asked = anyio.current_time()
        jobs = await self._ledger.claim(self.token, limit, chunk)
        if self._since is None:  # a later claim makes those before it no fresher
            self._since = asked
        return jobs

    async def renew(self) -> bool:
        """Extend everything that is held; ``False``: it was lost. Before a claim nothing is."""
        if self._since is None:
            return True
        asked = anyio.current_time()
        kept = await self._ledger.renew(self.token)
        if kept:
            self._since = asked
        return kept

    async def is_ours(self) -> bool:
        """Make sure of the lease, asking the ledger where this clock cannot tell.

        After an outage of the ledger everybody's lease is old, and nobody's was taken.
        """
        while not self.is_fresh:
            if not await self.renew():
                return False
        return True

    async def keep(self, lost: Callable[[], None], beat: Callable[[], Awaitable[None]]) -> None:
        """Renew again and again, until that fails; ``beat`` goes along."""
        while True:
            await anyio.sleep(beat_seconds(self._ledger))
            if not await self.renew():
                lost()
            await beat()
