"""A worker: takes jobs, works their chunks off, and looks after the jobs that nobody has.

Rule 1: whatever is pending and held by nobody has a job that waits. Whoever is elected looks for
what has none, so no job that an engine loses is lost.
Rule 2: a worker that loses the database waits for it and begins anew; it sends nothing without a
mark, and its jobs are given to others after a lease.
Rule 3: asked to stop, it takes nothing more, lets what is in flight finish, and gives the rest
back.
"""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING, Final

import anyio
from procrastinate.exceptions import ProcrastinateException
from procrastinate.worker import Worker as Engine

from ..._errors import CampaignError
from .._lease import beat_seconds
from .._report import ChunkReport
from .._words import REFUSED_KEY

if TYPE_CHECKING:
    from .._campaign import Campaign
    from ._queue import Queue

_LOG: Final = logging.getLogger("aldeamo_async.campaigns")

CHUNKS_AT_ONCE: Final = 3  # while the last messages of one are on the wire, the next one begins
DONE: Final = "nothing is left to send"
_AGAIN_SECONDS_MIN: Final = 1.0  # before a chunk is looked at again
_AGAIN_SECONDS_ERROR: Final = 30.0
_POLL_SECONDS: Final = 5.0  # for jobs that come due; new ones are notified
_LOOK_SECONDS: Final = 0.5  # between two looks whether it is time to beat, to sweep or to end
_EAGER_SECONDS: Final = 2.0  # between two sweeps, where somebody waits for the end
_SWEEP_SHARE: Final = 4.0  # all sweeps of a campaign take at most a fifth of the time
_AWAY: Final = (ProcrastinateException, CampaignError)


class Worker:
    """Works a campaign off together with others of its kind.

    Args:
        campaign: an open campaign in PostgreSQL.
        queue: its open queue.
        concurrency: messages in flight.
        until_done: end when nothing is left to send; otherwise wait for more.
    """

    def __init__(
        self, campaign: Campaign, queue: Queue, *, concurrency: int, until_done: bool = False
    ) -> None:
        self._campaign = campaign
        self._queue = queue
        self._concurrency = concurrency
        self._until_done = until_done
        self._seconds = beat_seconds(campaign.ledger)
        self._stopping = anyio.Event()
        self._engine: Engine | None = None
        self._failure: CampaignError | None = None
        self.stopped: str | None = None
        queue.on_chunk(self._work_off)

    def stop(self, reason: str) -> None:
        """Take nothing more, and let what is in flight finish; the first reason counts."""
        self.stopped = self.stopped or reason
        self._stopping.set()
        self._campaign.stop(reason)
        if self._engine is not None:
            self._engine.stop()  # type: ignore[no-untyped-call]

    async def run(self) -> None:
        """Work until stopped, or done.

        Raises:
            CampaignError: the database was away for longer than the URL's patience.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tend)
            while not self._stopping.is_set():
                await self._take_jobs()
        if self._failure is not None:
            raise self._failure

    async def _take_jobs(self) -> None:
        """Take jobs until stopped, or until the database is lost; then wait until it is back."""
        self._engine = Engine(
            self._queue.app,
            queues=[self._queue.name],
            concurrency=CHUNKS_AT_ONCE,
            fetch_job_polling_interval=_POLL_SECONDS,
            delete_jobs="always",
            install_signal_handlers=False,
            update_heartbeat_interval=self._seconds,
            stalled_worker_timeout=self._campaign.ledger.lease,
        )
        try:
            await self._engine.run()  # type: ignore[no-untyped-call]
        except _AWAY as error:
            _LOG.info("the jobs are out of reach: %s", error)
        finally:
            self._engine = None
        try:
            if not self._stopping.is_set():
                await self._campaign.ledger.next_due()  # waits as long as the server is away
        except CampaignError as error:
            self._fail(error)

    def _fail(self, error: CampaignError) -> None:
        self._failure = self._failure or error
        self.stop("an error")

    async def _work_off(self, chunk: int) -> None:
        """Do one job: it always ends well, for what is left of it is a matter of the ledger."""
        order = await self._queue.order()
        if order is None:
            return
        if self._stopping.is_set():  # the engine was fetching this one as it was asked to stop
            await self._queue.enqueue([chunk])
            return
        try:
            report = await self._campaign.run_chunk(
                chunk,
                concurrency=self._concurrency,
                window=order.window,
                max_attempts=order.max_attempts,
            )
        except CampaignError as error:
            _LOG.warning("chunk %d: %s", chunk, error)
            report = ChunkReport(chunk=chunk, next_due=_AGAIN_SECONDS_ERROR)
        if report.next_due is not None:
            delay = 0.0 if self._stopping.is_set() else max(report.next_due, _AGAIN_SECONDS_MIN)
            await self._queue.enqueue([chunk], delay)
        if report.stopped is not None and report.stopped.startswith(REFUSED_KEY):
            self.stop(report.stopped)

    # ── looking after the jobs ────────────────────────────────────────────────────────────────────

    async def _tend(self) -> None:
        """Beat, and sweep when it is our turn, until stopped."""
        pause = self._seconds
        while not self._stopping.is_set():
            try:
                await self._campaign.beat()  # waits as long as the server is away
            except CampaignError as error:
                self._fail(error)
                return
            try:
                pause = await self._turn(pause)
            except _AWAY as error:
                _LOG.info("the jobs are out of reach: %s", error)
            await anyio.sleep(min(self._seconds / 2, _LOOK_SECONDS))

    async def _turn(self, pause: float) -> float:
        """Sweep if nobody has for a while; return how long nobody should after that."""
        done = self._campaign.progress
        eager = self._until_done and not (done and done.in_flight)  # it may be over
        ordered = await self._queue.elect(min(pause, _EAGER_SECONDS) if eager else pause)
        if ordered is None:
            if self._until_done and await self._queue.order() is None:
                self.stop(DONE)
            return pause
        began = perf_counter()
        await self._sweep(ordered)
        return max(self._seconds, _SWEEP_SHARE * (perf_counter() - began))

    async def _sweep(self, ordered: str) -> None:
        """See to everything that is held by nobody alive."""
        ledger = self._campaign.ledger
        await self._queue.recover(ledger.lease)
        await ledger.take_over("sweep")
        chunks = await self._campaign.chunks()
        await self._queue.enqueue(chunks)
        if not chunks and (await self._campaign.status()).done:
            await self._queue.close_order(ordered)
