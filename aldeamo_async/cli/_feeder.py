"""Rows from a blocking file or pipe into the event loop.

Rule 1: the file is read by a thread of its own, at most `AHEAD` rows ahead: the loop never waits
for a disk, and memory does not grow with the file.
Rule 2: `stop` ends the stream for its reader at once, even while the thread is stuck in a read from
a terminal; a thread that never returns from it is a daemon and does not hold the process.
"""

from __future__ import annotations

import queue
from collections import deque
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import anyio.to_thread

from .._files import FileFault

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

AHEAD: Final = 1024  # rows
BATCH: Final = 256  # rows for one hop between threads, so that a hop costs a row next to nothing
LOOK_UP_SECONDS: Final = 0.1  # how often a waiting side looks whether it was stopped


class Feeder(Generic[T]):
    """An async iterator over a blocking iterable. ``fault`` is what ended it before its time."""

    def __init__(self, source: Iterable[T]) -> None:
        self._source = source
        self._queue: queue.Queue[T | None] = queue.Queue(AHEAD)
        self._ready: deque[T | None] = deque()
        self._stopped = Event()
        self._thread = Thread(target=self._read, name="aldeamo-rows", daemon=True)
        self.fault: FileFault | None = None

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End the stream now; what was read ahead is dropped."""
        self._stopped.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, ``timeout`` seconds at most."""
        self.stop()
        self._thread.join(timeout)

    def __aiter__(self) -> Feeder[T]:
        return self

    async def __anext__(self) -> T:
        while not self._ready and not self._stopped.is_set():
            self._ready.extend(await anyio.to_thread.run_sync(self._take))
        if self._stopped.is_set() or (row := self._ready.popleft()) is None:
            self.stop()
            raise StopAsyncIteration
        return row

    def _take(self) -> list[T | None]:
        """Return what is there, after waiting a little for the first row."""
        rows: list[T | None] = []
        try:
            rows.append(self._queue.get(timeout=LOOK_UP_SECONDS))
            while len(rows) < BATCH:
                rows.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return rows

    def _read(self) -> None:
        try:
            for row in self._source:
                if not self._put(row):
                    return
        except FileFault as fault:
            self.fault = fault
        self._put(None)

    def _put(self, row: T | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(row, timeout=LOOK_UP_SECONDS)
            except queue.Full:
                continue
            return True
        return False
