"""Sending many: a bounded set of workers between a lazy source and an iterator of outcomes.

Rule 1: memory is constant: at most ``concurrency`` messages in flight, as many outcomes not yet
fetched, and nothing taken from the source before a worker is free for it.
Rule 2: a message is taken, then given its permit, one worker at a time: permits go out in the
source's order, and none grows old while a slow source makes up its mind.
Rule 3: nothing is raised for one message; an error of the source itself is raised last, after every
outcome.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import anyio

from ._errors import UsageError
from ._models import Outcome, Outgoing
from ._order import Order
from ._outbox import Doorway, Outbox
from ._source import END, End, Source, as_source
from .limits import Permit, RateLimiter
from .limits._take import still_wanted

if TYPE_CHECKING:
    from types import TracebackType

    from anyio.abc import TaskGroup

SendOne: TypeAlias = Callable[[Outgoing, Permit], Awaitable[Outcome]]


# Messages held back for busy clients in an ordered run, for each worker; enough to get past one
# talkative client.
_HELD_BACK_PER_WORKER: Final = 10


class Outcomes:
    """The outcomes of one ``send_many``, as they complete: an async context manager and iterator.

    ``taken`` counts the messages taken from the source. Leaving the ``async with`` early cancels
    what is in flight; ``stop()`` and reading on to the end does not. An async generator that was
    given as the source is closed with the run.
    """

    def __init__(
        self,
        send: SendOne,
        limiter: RateLimiter,
        source: Source,
        *,
        concurrency: int,
        ordered: bool,
    ) -> None:
        self._send = send
        self._limiter = limiter
        self._source = as_source(source)
        self._concurrency = _whole(concurrency)
        self._order = Order(concurrency * _HELD_BACK_PER_WORKER) if ordered else None
        self._workers = 0
        self._working = 0
        self._doorway = Doorway()
        self._room = anyio.Event()
        self._outbox = Outbox(concurrency)
        self._left = False
        self._failure: Exception | None = None
        self._tasks: TaskGroup | None = None
        self.taken: int = 0

    def stop(self) -> None:
        """Take nothing more from the source; what was taken is still sent, outcomes and all."""
        self._source.stop()
        self._room.set()

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise UsageError("These outcomes were opened before; call send_many again.")
        self._tasks = await anyio.create_task_group().__aenter__()
        self._source.start(self._tasks)
        self._add_worker(self._tasks)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._tasks is not None  # noqa: S101 - __aenter__ has run
        self._tasks.cancel_scope.cancel()
        try:
            # The tasks raise nothing of their own, so the body's error goes on as it is, outside
            # any group.
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._left = True
            self._outbox.end()

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self

    async def __anext__(self) -> Outcome:
        if self._tasks is None:
            raise UsageError("Open the outcomes first: async with client.send_many(source) as ...")
        if self._left:
            raise UsageError("These outcomes were left; read them inside their 'async with'.")
        outcome = await self._outbox.get()
        if outcome is not END:
            return outcome
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        raise StopAsyncIteration

    def _add_worker(self, tasks: TaskGroup) -> None:
        """Add a worker as long as there may be work for it."""
        if self._workers < self._concurrency:
            self._workers += 1
            self._working += 1
            tasks.start_soon(self._work, tasks)

    async def _work(self, tasks: TaskGroup) -> None:
        """Send message after message until the source ends; the last worker ends the outcomes."""
        try:
            serve = self._deliver if self._order is None else self._serve_in_order
            while (taken := await self._take()) is not None:
                self._add_worker(tasks)
                await serve(*taken)
        except Exception as error:  # noqa: BLE001 - kept and raised to the reader, after every outcome
            self._fail(error)
        finally:
            self._working -= 1
            if self._working == 0:
                self._outbox.end()

    def _fail(self, error: Exception) -> None:
        """Keep the first error that no outcome can carry, and take nothing more."""
        self._failure = error if self._failure is None else self._failure
        self.stop()

    async def _take(self) -> tuple[Outgoing, Permit] | None:
        """Take the next message and a permit for it, one worker at a time."""
        async with self._doorway:
            outgoing = await self._next_free()
            if outgoing is END:
                return None
            return outgoing, self._limiter.try_acquire() or await self._limiter.acquire()

    async def _next_free(self) -> Outgoing | End:
        """Take the next message that may start now."""
        while True:
            while self._order is not None and self._order.full and not self._source.stopped:
                self._room = anyio.Event()
                await self._room.wait()
            outgoing = await self._source.take()
            if outgoing is END:
                return END
            self.taken += 1
            if self._order is None or self._order.start(outgoing):
                return outgoing

    async def _serve_in_order(self, outgoing: Outgoing, permit: Permit) -> None:
        """Send a message and those that are held back behind it."""
        await self._deliver(outgoing, permit)
        while self._order and (following := self._order.finish(outgoing)) is not None:
            self._room.set()
            outgoing = following
            await self._deliver(outgoing, await self._limiter.acquire())

    async def _deliver(self, outgoing: Outgoing, permit: Permit) -> None:
        """Send one message and hand its outcome on."""
        # A run that was left must not put another message on the wire on its way out.
        await still_wanted(permit)
        try:
            outcome = await self._send(outgoing, permit)
        except Exception as error:  # noqa: BLE001 - as in _work; those held back still go
            self._fail(error)
        else:
            await self._outbox.put(outcome)


def _whole(count: Any) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UsageError(f"concurrency must be a whole number above 0, not {count!r}.")
    return count
