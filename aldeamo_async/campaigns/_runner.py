"""What runs in one campaign object: one whole run, or any number of chunks at once.

Rule 1: whole runs and chunks are not mixed in one process: each believes that it paces the others.
Rule 2: the chunks share one room and one view of the network, so that ten of them hammer no harder
than one.
Rule 3: what could not be recorded for want of a ledger is recorded before anything else is sent.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from attrs import evolve

from .._errors import CampaignError, UsageError
from ._chunk import ChunkRun, Room, Shared
from ._clients import Client, sender_of
from ._lease import beat_seconds
from ._pace import Pace
from ._report import ChunkReport, Progress, RunReport
from ._run import Rules, Run, Surroundings
from ._sender import Sender, check_ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._ledger import Ledger
    from ._nouns import Result


class Runner:
    """Starts runs, knows which there are, and stops them."""

    def __init__(self, ledger: Ledger, client: Client) -> None:
        self._ledger = ledger
        self._client = client
        self._whole: Run | None = None
        self._chunks: set[ChunkRun] = set()
        self._shared: Shared | None = None
        self._unrecorded: list[tuple[str, Result]] = []
        self._is_ours = False  # the ledger holds a message, and this client can send it
        self._roll = RollCall(ledger, self._recorded)
        self._whole_runs = 0  # messages that whole runs finished
        self._chunks_before = Progress()

    @property
    def is_running(self) -> bool:
        """Whether anything runs."""
        return self._whole is not None or bool(self._chunks)

    @property
    def progress(self) -> Progress | None:
        """The numbers of the whole run if there is one, else of all the chunks so far, if any."""
        if self._whole is not None:
            return self._whole.progress
        return None if self._shared is None else self._of_chunks()

    def stop(self, reason: str) -> None:
        """End what runs early."""
        for run in self._all():
            run.stop(reason)

    async def run(self, rules: Rules) -> RunReport:
        """Carry out one whole run."""
        around = self._surroundings()
        if self.is_running:
            raise UsageError(
                "This campaign is running already; its run() must end before the next."
            )
        self._whole = run = Run(around, _fitting(rules, around.sender))
        try:
            await self.check_ledger(around.sender)
            await self._record_late()
            return await run.run()
        finally:
            self._whole = None
            self._whole_runs += run.progress.done

    async def run_chunk(self, chunk: int, rules: Rules) -> ChunkReport:
        """Work one chunk off."""
        around = self._surroundings()
        if self._whole is not None:
            raise UsageError(
                "This campaign is running as a whole; its run() takes every chunk by itself."
            )
        if self._shared is None:
            pace = Pace(around.sender.limiter, None, rules.clock, Progress())
            self._shared = Shared(Room(), pace)
        run = ChunkRun(chunk, around, _fitting(rules, around.sender), self._shared)
        self._chunks.add(run)
        try:
            await self.check_ledger(around.sender)
            await self._record_late()
            return await run.work_off()
        finally:
            self._chunks.discard(run)
            self._chunks_before.add(run.progress)

    async def beat(self) -> None:
        """Tell the ledger that this process lives, if it is time."""
        await self._roll.beat()

    async def aclose(self) -> None:
        """Strike this process off the roll."""
        await self._roll.sign_off()

    def _all(self) -> list[Run]:
        return [*self._chunks, *([] if self._whole is None else [self._whole])]

    def _recorded(self) -> int:
        """Return how many messages this process has finished."""
        whole = 0 if self._whole is None else self._whole.progress.done
        return self._whole_runs + whole + self._of_chunks().done

    def _of_chunks(self) -> Progress:
        found = Progress()
        for progress in (self._chunks_before, *(run.progress for run in self._chunks)):
            found.add(progress)
        return found

    def _surroundings(self) -> Surroundings:
        sender = sender_of(self._client)
        return Surroundings(sender, self._ledger, self._unrecorded, self._roll.beat)

    async def check_ledger(self, sender: Sender) -> None:
        """Raise ``CampaignError`` where the ledger's messages are not of the client's kind."""
        self._is_ours = self._is_ours or await check_ledger(self._ledger, sender)

    async def _record_late(self) -> None:
        """Write down the results that an earlier run could not."""
        while self._unrecorded:
            late = self._unrecorded.pop()
            try:
                await self._ledger.record(*late)
            except BaseException:
                self._unrecorded.append(late)
                raise


class RollCall:
    """Tells the ledger now and then that this process lives, and what it has done."""

    def __init__(self, ledger: Ledger, recorded: Callable[[], int]) -> None:
        self._ledger = ledger
        self._recorded = recorded
        self._last: float | None = None
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"

    async def beat(self) -> None:
        """Beat, unless the last beat is still young."""
        now = anyio.current_time()
        if self._last is None or now - self._last >= beat_seconds(self._ledger) / 2:
            self._last = now
            await self._ledger.beat(self.name, self._recorded())

    async def sign_off(self) -> None:
        """Leave in order, if the ledger can still hear it."""
        if self._last is not None:
            with anyio.CancelScope(shield=True), suppress(CampaignError):
                await self._ledger.leave(self.name)


def _fitting(rules: Rules, sender: Sender) -> Rules:
    """Return the rules with no more in flight than the client can carry."""
    at_once = sender.at_once
    return rules if at_once is None else evolve(rules, concurrency=min(at_once, rules.concurrency))
