"""Sending many: a bounded set of workers between a lazy source and an iterator of outcomes.

Rule 1: memory is constant: at most ``concurrency`` messages in flight, as many outcomes not yet fetched, and nothing
taken from the source before a worker is free for it.
Rule 2: a message is taken, then given its permit, one worker at a time: messages start in the source's order, and no
permit grows old while a slow source makes up its mind.
Rule 3: nothing is raised for one message; an error of the source itself is raised last, after every outcome.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from enum import Enum
from types import TracebackType
from typing import Final, Self, TypeAlias

import anyio
from anyio.abc import TaskGroup

from ._errors import UsageError
from ._models import Outcome, Outgoing
from ._order import Order
from .limits import Permit, RateLimiter

Source: TypeAlias = Iterable[Outgoing] | AsyncIterable[Outgoing]
SendOne: TypeAlias = Callable[[Outgoing, Permit], Awaitable[Outcome]]


class _End(Enum):
    """The end of a source; a source may well hold ``None`` by mistake, and that is no end."""

    END = "end"


_END: Final = _End.END
# Messages held back for busy clients in an ordered run, for each worker; enough to get past one talkative client.
_HELD_BACK_PER_WORKER: Final = 10


class Outcomes:
    """The outcomes of one ``send_many``, as they complete: an async context manager and an async iterator.

    ``taken`` counts the messages taken from the source. Leaving the ``async with`` early cancels what is in flight;
    ``stop()`` and reading on to the end does not.
    """

    def __init__(
        self, send: SendOne, limiter: RateLimiter, source: Source, *, concurrency: int, ordered: bool
    ) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise UsageError(f"concurrency must be a whole number above 0, not {concurrency!r}.")
        self._send = send
        self._limiter = limiter
        self._source = _Source(source)
        self._order = Order(concurrency * _HELD_BACK_PER_WORKER) if ordered else None
        self._concurrency = concurrency
        self._workers = 0
        self._working = 0
        self._failure: Exception | None = None
        self._tasks: TaskGroup | None = None
        self.taken = 0

    def stop(self) -> None:
        """Take nothing more from the source; what was taken is still sent, and its outcomes come."""
        self._source.end()

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise UsageError("These outcomes were opened before; call send_many again.")
        self._turn = anyio.Lock()
        self._room = anyio.Event()
        self._put, self._get = anyio.create_memory_object_stream[Outcome](self._concurrency)
        self._tasks = await anyio.create_task_group().__aenter__()
        self._add_worker()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tasks is not None  # noqa: S101 - __aenter__ has run
        self._tasks.cancel_scope.cancel()
        self._get.close()
        # The workers raise nothing of their own, so the body's error goes on as it is, outside any group.
        await self._tasks.__aexit__(None, None, None)

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self

    async def __anext__(self) -> Outcome:
        if self._tasks is None:
            raise UsageError("Open the outcomes first: async with client.send_many(source) as outcomes.")
        try:
            return await self._get.receive()
        except anyio.EndOfStream:
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        raise StopAsyncIteration

    def _add_worker(self) -> None:
        """Add a worker as long as there may be work for it."""
        assert self._tasks is not None  # noqa: S101 - called by workers only
        if self._workers < self._concurrency:
            self._workers += 1
            self._working += 1
            self._tasks.start_soon(self._work)

    async def _work(self) -> None:
        """Send message after message until the source ends; the last worker to leave closes the stream."""
        try:
            while (taken := await self._take()) is not None:
                self._add_worker()
                await self._deliver(*taken)
        except Exception as error:  # noqa: BLE001 - kept and raised to the reader, after every outcome
            self._failure = self._failure or error
            self._source.end()
        finally:
            self._working -= 1
            if self._working == 0:
                self._put.close()

    async def _deliver(self, outgoing: Outgoing, permit: Permit) -> None:
        """Send a message and, in an ordered run, those that were held back behind it."""
        await self._put.send(await self._send(outgoing, permit))
        if self._order is None:
            return
        following = self._order.finish(outgoing)
        self._room.set()
        while following is not None:
            await self._put.send(await self._send(following, await self._limiter.acquire()))
            following = self._order.finish(following)
            self._room.set()

    async def _take(self) -> tuple[Outgoing, Permit] | None:
        """Take the next message and a permit for it, one worker at a time."""
        if self._turn.locked():
            await self._turn.acquire()
        else:  # without a yield: the way of an unlimited run over a plain iterable
            self._turn.acquire_nowait()
        try:
            outgoing = await self._next_free()
            if outgoing is _END:
                return None
            return outgoing, self._limiter.try_acquire() or await self._limiter.acquire()
        finally:
            self._turn.release()

    async def _next_free(self) -> Outgoing | _End:
        """Take the next message that may start now."""
        while True:
            while self._order is not None and self._order.full:
                self._room = anyio.Event()
                await self._room.wait()
            outgoing = await self._source.take()
            if outgoing is _END:
                return _END
            self.taken += 1
            if self._order is None or self._order.start(outgoing):
                return outgoing


class _Source:
    """One way to take from an iterable and an async iterable."""

    def __init__(self, source: Source) -> None:
        self._plain: Iterator[Outgoing] = iter(())
        self._waiting: AsyncIterator[Outgoing] | None = None
        self._scope: anyio.CancelScope | None = None
        if isinstance(source, AsyncIterable):
            self._waiting = aiter(source)
        elif isinstance(source, Iterable) and not isinstance(source, str | bytes | Mapping):
            self._plain = iter(source)
        else:
            kind = type(source).__name__
            raise UsageError(f"send_many takes an iterable or async iterable of Outgoing, not {kind}.")

    def end(self) -> None:
        """Take no more, and stop waiting for a slow source."""
        self._plain, self._waiting = iter(()), None
        if self._scope is not None:
            self._scope.cancel()

    async def take(self) -> Outgoing | _End:
        """Return the next message, or the end, for ever after the last."""
        if self._waiting is None:
            return next(self._plain, _END)
        with anyio.CancelScope() as self._scope:
            return await anext(self._waiting, _END)
        return _END
