"""The run loop: claim, permit, durable mark, send, record.

Rule 1: nothing is sent whose mark is not durable, and a marked message runs to its end: it is
shielded from cancellation, and its call's deadline bounds it.
Rule 2: the permit comes before the mark, so that a kill leaves no more unknowns than there are
messages in flight; and what was marked is sent only while the lease is fresh.
Rule 3: one task takes messages and permits, in the ledger's order; an error of the ledger ends the
run, and is raised after everything in flight was seen to.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Final

import anyio
from attrs import field, frozen

from .._errors import AuthError, CampaignError, NotSent, UsageError
from .._models import Outcome, Rejected
from ._judge import judge
from ._lease import LOST, Lease
from ._ledger import Ledger
from ._lines import ClientLines
from ._nouns import CHUNK, Job, Result, State
from ._pace import Pace
from ._report import Progress, RunReport, status_of
from ._sender import Sender
from ._window import SendWindow

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from ..limits import Permit

# Seconds between two looks for something that is due: where many runs share a ledger, another may
# finish, or give back, what this one waits for.
_DUE_SECONDS_MIN: Final = 0.05
_DUE_SECONDS_MAX: Final = 5.0


@frozen(kw_only=True)
class Rules:
    """How a run goes about its work, and when it stops."""

    concurrency: int = 200
    ordered: bool = False
    window: SendWindow | None = None
    max_rejected: int | None = None
    max_unknown: int | None = None
    max_attempts: int = 25
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def __attrs_post_init__(self) -> None:
        for name in ("concurrency", "max_attempts", "max_rejected", "max_unknown"):
            value = getattr(self, name)
            if value is None and name.startswith("max_"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} must be a whole number above 0, not {value!r}.")


@frozen
class Surroundings:
    """What the runs of one campaign share.

    ``unrecorded`` are results that could not be written down yet; ``beat`` tells the ledger that
    this process lives.
    """

    sender: Sender
    ledger: Ledger
    unrecorded: list[tuple[str, Result]]
    beat: Callable[[], Awaitable[None]]


class Run:
    """One run of one campaign. ``stop()`` ends it early: what is in flight is finished and
    recorded."""

    def __init__(self, around: Surroundings, rules: Rules) -> None:
        self._sender = around.sender
        self._ledger = around.ledger
        self._around = around
        self._rules = rules
        self._lease = Lease(around.ledger)
        self._token = self._lease.token
        self._chunk: deque[Job] = deque()
        self._lines = ClientLines() if rules.ordered else None
        self._failure: Exception | None = None
        self._stopped: str | None = None
        self._taken_over = 0
        self._feeding = anyio.CancelScope()
        self._fed = anyio.Event()
        self._changed = anyio.Event()
        # The ledger had nothing due until then, unless a message of this run became pending since.
        self._nothing_until, self._stale = -math.inf, False
        self.progress = Progress()
        self._pace = Pace(around.sender.limiter, rules.window, rules.clock, self.progress)

    def stop(self, reason: str) -> None:
        """Start nothing more; the first reason counts."""
        if self._stopped is None:
            self._stopped = reason
        self._feeding.cancel()

    async def run(self) -> RunReport:
        """Send everything that is due, and wait for what is not, until nothing is pending or a
        rule says stop."""
        began = perf_counter()
        await self._carry_out()
        return await self._report(perf_counter() - began)

    async def _carry_out(self) -> None:
        """Take over from the dead, send, and let go."""
        await self._around.beat()
        await self._bury()
        try:
            async with anyio.create_task_group() as around:
                around.start_soon(self._beat)
                await self._send_all(around)
                around.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True), suppress(CampaignError):
                await self._ledger.release(self._token)
        if self._failure is not None:
            raise self._failure

    async def _bury(self) -> None:
        """Take over what dead runs left."""
        self._taken_over += await self._ledger.take_over(self._token)

    async def _send_all(self, around: TaskGroup) -> None:
        """Feed from a task that may be cancelled, send from tasks that may not."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as sending:
                around.start_soon(self._feed, sending)
                await self._fed.wait()

    async def _beat(self) -> None:
        """Keep the leases, and look for runs that died; without leases nothing more is started."""
        try:
            await self._lease.keep(self._lost, self._at_each_beat)
        except CampaignError as error:
            self._fail(error)

    async def _at_each_beat(self) -> None:
        await self._around.beat()
        await self._bury()

    def _lost(self) -> None:
        self._chunk.clear()
        self.stop(LOST)

    async def _report(self, seconds: float) -> RunReport:
        done = self.progress
        await self._bury()
        return RunReport(
            sent=done.sent,
            rejected=done.rejected,
            unknown=done.unknown,
            put_off=done.put_off,
            taken_over=self._taken_over,
            attempts=done.attempts,
            seconds=seconds,
            rate=done.done / seconds if seconds > 0 else 0.0,
            reasons=dict(done.reasons),
            phases=done.phases(),
            stopped=self._stopped,
            status=status_of(await self._ledger.counts(), await self._ledger.next_due()),
        )

    # ── the task that takes ───────────────────────────────────────────────────────────────────────

    async def _feed(self, sending: TaskGroup) -> None:
        try:
            with self._feeding:
                while (job := await self._next()) and (permit := await self._permit()):
                    self.progress.in_flight += 1
                    sending.start_soon(self._serve, job, permit)
        except Exception as error:  # noqa: BLE001 - raised by run(), after what is in flight
            self._fail(error)
        except anyio.get_cancelled_exc_class():
            self._stopped = "cancelled"
            raise
        finally:
            self._fed.set()

    async def _permit(self) -> Permit | None:
        """Wait until the next message may start; ``None``: none may."""
        return await self._pace.permit()

    async def _next(self) -> Job | None:
        """Return the next message to send, once there is room for it; ``None`` when nothing is
        left."""
        while True:
            if self.progress.in_flight >= self._rules.concurrency:
                await self._next_change().wait()
            elif self._lines is not None and (freed := self._lines.freed()) is not None:
                return freed
            elif self._lines is not None and self._lines.full:
                await self._next_change().wait()
            elif self._chunk:
                job = self._chunk.popleft()
                if await self._may_go(job):
                    return job
            elif not await self._claim():
                return None

    async def _may_go(self, job: Job) -> bool:
        """Tell whether a message may start now; in an ordered run it may have to wait for its
        client."""
        if self._lines is None:
            return True
        wait = self._lines.wait(job, anyio.current_time())
        if wait > 0:
            await self._ledger.put_off(self._token, [job.id], wait)
            return False
        return self._lines.start(job)

    async def _claim(self) -> bool:
        """Fill the chunk, waiting until something is due; ``False`` when nothing is pending any
        more."""
        # Asked before the ledger is: what is in flight can become pending while it answers.
        changed, idle = self._next_change(), not self.progress.in_flight
        if idle or self._stale or anyio.current_time() >= self._nothing_until:
            self._stale, self._nothing_until = False, -math.inf
            await self._take()
            if self._chunk:
                return True
            due = await self._ledger.next_due()
            if idle:
                if due is None:
                    return False
                self.progress.waiting = "put-off messages to come up again"
            soon = math.inf if due is None else due
            wait = min(max(soon, _DUE_SECONDS_MIN), _DUE_SECONDS_MAX)
            self._nothing_until = anyio.current_time() + wait
        with anyio.CancelScope(deadline=self._nothing_until):
            await changed.wait()
        self.progress.waiting = None
        return True

    async def _take(self, chunk: int | None = None) -> None:
        """Claim messages, of a chunk or of all; none is started that is not the client's kind."""
        self._chunk.extend(self._sender.jobs(await self._lease.claim(CHUNK, chunk)))

    def _next_change(self) -> anyio.Event:
        """Return what is set when the next message is done."""
        self._changed = anyio.Event()
        return self._changed

    # ── the tasks that send ───────────────────────────────────────────────────────────────────────

    async def _serve(self, job: Job, permit: Permit) -> None:
        result = None
        try:
            result = await self._attempt(job, permit)
        except Exception as error:  # noqa: BLE001 - raised by run(), after what is in flight
            self._fail(error)
        finally:
            self.progress.in_flight -= 1
        if self._lines is not None:
            await self._next_in_line(self._lines, job, result)
        self._stale |= result is None or result.state is State.PENDING
        self._changed.set()

    async def _attempt(self, job: Job, permit: Permit) -> Result | None:
        """Mark, send and record one message; ``None`` if it was not ours to send."""
        spent, began = self.progress.spent, perf_counter()
        try:
            marked = await self._ledger.mark(self._token, job.id)
            if marked and not await self._lease.is_ours():
                self._lost()
        except BaseException:
            permit.release()
            raise
        at_mark = perf_counter()
        spent("mark", at_mark - began)
        if not marked or self._stopped is not None:
            permit.release()
            if marked:
                await self._write(Result(job.id, State.PENDING, attempts=0))
            return None
        outcome = await self._sender.send(job.outgoing, permit)
        at_answer = perf_counter()
        spent("send", at_answer - at_mark)
        result = self._judged(job, outcome)
        await self._write(result)
        spent("record", perf_counter() - at_answer)
        return result

    async def _write(self, result: Result) -> None:
        try:
            await self._ledger.record(self._token, result)
        except CampaignError:
            self._around.unrecorded.append((self._token, result))
            raise

    def _judged(self, job: Job, outcome: Outcome) -> Result:
        if (
            isinstance(outcome, Rejected)
            and isinstance(outcome.error, UsageError)
            and self._sender.is_gone()
        ):
            self._fail(outcome.error)
            return Result(job.id, State.PENDING, attempts=0)
        refused_seconds = self._sender.refused_seconds
        result = judge(job, outcome, self._rules.max_attempts, refused_seconds)
        self._note(result, outcome)
        return result

    def _note(self, result: Result, outcome: Outcome) -> None:
        """Count a result, and stop where a rule says so."""
        done, rules = self.progress, self._rules
        done.attempts += result.attempts
        if result.reason:
            done.reasons[result.reason] += 1
        if isinstance(outcome, Rejected):
            self._weigh(outcome)
        if result.state is State.SENT:
            done.sent += 1
            self._pace.network_is_up()
        elif result.state is State.PENDING:
            done.put_off += 1
        elif result.state is State.REJECTED:
            done.rejected += 1
            if rules.max_rejected is not None and done.rejected >= rules.max_rejected:
                self.stop(f"{done.rejected} messages were rejected (max_rejected)")
        else:
            done.unknown += 1
            if rules.max_unknown is not None and done.unknown >= rules.max_unknown:
                self.stop(f"the fate of {done.unknown} messages is unknown (max_unknown)")

    def _weigh(self, outcome: Rejected) -> None:
        """Look at what a rejection says of all the messages to come."""
        if isinstance(outcome.error, AuthError):
            self.stop(f"{self._sender.refused_key}: {outcome.error}")
        if isinstance(outcome.error, NotSent):
            self._pace.network_is_down()

    async def _next_in_line(self, lines: ClientLines, job: Job, result: Result | None) -> None:
        """Let the client's next message go, or put all of them off behind this one."""
        if result is None or result.state is not State.PENDING:
            lines.finish(job)
            return
        behind = lines.put_off(job, anyio.current_time() + result.delay)
        try:
            await self._ledger.put_off(self._token, [later.id for later in behind], result.delay)
        except CampaignError as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Keep the first error, and start nothing more."""
        self._failure = self._failure or error
        self.stop("an error")
        self._changed.set()
