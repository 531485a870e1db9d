"""The hand-over of outcomes: from many workers to whoever iterates, bounded, without idle yields.

Rule 1: who finds something, or room, does not wait: a yield for each outcome would let one through
in each round of the event loop, and then it is the reader, not the network, that workers wait for.
Rule 2: nothing put in is lost: a wake-up whose sleeper was cancelled goes to the next.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import anyio

from ._source import END, End

if TYPE_CHECKING:
    from ._models import Outcome


class Sleepers:
    """Tasks that wait for a condition, woken one at a time in the order in which they came."""

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events: deque[anyio.Event] = deque()

    async def wait(self) -> None:
        """Sleep until woken; look again then, for another may have been quicker."""
        event = anyio.Event()
        self._events.append(event)
        try:
            await event.wait()
        except BaseException:
            if event.is_set():
                self.wake()
            else:
                self._events.remove(event)
            raise

    def wake(self) -> None:
        """Wake the one who has slept longest, if anybody sleeps."""
        if self._events:
            self._events.popleft().set()

    def wake_all(self) -> None:
        """Wake everybody."""
        while self._events:
            self.wake()


class Outbox:
    """A queue of at most ``size`` outcomes, with an end."""

    __slots__ = ("_ended", "_outcomes", "_readers", "_size", "_writers")

    def __init__(self, size: int) -> None:
        self._size: Final = size
        self._outcomes: deque[Outcome] = deque()
        self._readers = Sleepers()
        self._writers = Sleepers()
        self._ended = False

    async def put(self, outcome: Outcome) -> None:
        """Add an outcome, once there is room."""
        while len(self._outcomes) >= self._size:
            await self._writers.wait()
        self._outcomes.append(outcome)
        self._readers.wake()

    async def get(self) -> Outcome | End:
        """Take the oldest outcome, once there is one; the end once there is none to come."""
        while not self._outcomes:
            if self._ended:
                return END
            await self._readers.wait()
        self._writers.wake()
        return self._outcomes.popleft()

    def end(self) -> None:
        """Say that nothing more will come."""
        self._ended = True
        self._readers.wake_all()
