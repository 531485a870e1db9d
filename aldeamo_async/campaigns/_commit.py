"""Group commit: one write to disk for all who wait for one.

Rule 1: whoever comes first leads: it commits everything that is queued by then; the rest follow,
and the first of those who came in the meantime leads next. No task runs in the background, and
nobody lingers.
Rule 2: a failure is the failure of everyone in the batch, each with an error of its own.
Rule 3: from its place in the queue on nobody is cancelled: a write that may have happened is
waited for.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._nouns import Result

OpT = TypeVar("OpT")


class Mark(NamedTuple):
    """That a token is about to send a message."""

    token: str
    message: int


class Record(NamedTuple):
    """What became of a message that a token had marked."""

    token: str
    result: Result


class _Ticket(Generic[OpT]):
    __slots__ = ("called", "error", "leads", "op", "value")

    def __init__(self, op: OpT) -> None:
        self.op = op
        self.called = anyio.Event()
        self.leads = False
        self.value: Any = None
        self.error: Exception | None = None

    def outcome(self) -> Any:
        if self.error is not None:
            raise copy.copy(self.error)
        return self.value


class GroupCommit(Generic[OpT]):
    """Hands batches to ``apply`` in a worker thread, one batch at a time, in the order of
    submission.

    ``apply`` returns a value or an ``Exception`` for each operation; if it raises, all of them
    failed.
    """

    def __init__(self, apply: Callable[[Sequence[OpT]], Sequence[Any]]) -> None:
        self._apply = apply
        self._queue: list[_Ticket[OpT]] = []
        self._led = False
        self._thread: anyio.CapacityLimiter | None = None

    async def submit(self, op: OpT) -> Any:
        """Have an operation carried out; return its value or raise its error."""
        ticket = _Ticket(op)
        self._queue.append(ticket)
        if self._led:
            await _wait(ticket.called)
        else:
            self._led = ticket.leads = True
        if ticket.leads:
            with anyio.CancelScope(shield=True):
                await self._lead()
        return ticket.outcome()

    async def _lead(self) -> None:
        """Commit what is queued, and hand the lead on."""
        batch, self._queue = self._queue, []
        if self._thread is None:
            self._thread = anyio.CapacityLimiter(1)
        try:
            values = await anyio.to_thread.run_sync(
                self._apply, [ticket.op for ticket in batch], limiter=self._thread
            )
        except Exception as error:  # noqa: BLE001 - raised again by everyone who waits
            values = [error] * len(batch)
        for ticket, value in zip(batch, values, strict=True):
            if isinstance(value, Exception):
                ticket.error = value
            else:
                ticket.value = value
            ticket.called.set()
        self._led = bool(self._queue)
        if self._queue:
            self._queue[0].leads = True
            self._queue[0].called.set()


async def _wait(event: anyio.Event) -> None:
    """Wait whatever comes. A scope is made only where somebody cancels: it costs more than the
    wait."""
    try:
        await event.wait()
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await event.wait()
