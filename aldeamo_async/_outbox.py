"""The hand-over of outcomes: from many workers to whoever iterates, bounded, without idle yields.

Rule 1: who finds something, or room, does not wait: a yield for each outcome would let one through
in each round of the event loop, and then it is the reader, not the network, that workers wait for.
Rule 2: nothing put in is lost: a wake-up whose sleeper was cancelled goes to the next.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from anyio.lowlevel import current_token

from ._source import END, End
from ._turn import Turn, turns_of

if TYPE_CHECKING:
    from ._models import Outcome


class Sleepers:
    """Tasks that wait for a condition, woken one at a time in the order in which they came."""

    __slots__ = ("_kind", "_turns")

    def __init__(self) -> None:
        self._kind: type[Turn] | None = None  # known in the event loop of the first who sleeps
        self._turns: deque[Turn] = deque()

    async def wait(self) -> None:
        """Sleep until woken; look again then, for another may have been quicker."""
        self._kind = self._kind or turns_of(current_token())
        turn = self._kind()
        self._turns.append(turn)
        try:
            await turn.called()
        except BaseException:
            if turn in self._turns:
                self._turns.remove(turn)
            else:
                self.wake()
            raise

    def wake(self) -> None:
        """Wake the one who has slept longest, if anybody sleeps."""
        if self._turns:
            self._turns.popleft().call()

    def wake_all(self) -> None:
        """Wake everybody."""
        while self._turns:
            self.wake()


class Doorway:
    """Lets one task through at a time; without a yield where nobody is in it."""

    __slots__ = ("_taken", "_waiting")

    def __init__(self) -> None:
        self._taken = False
        self._waiting = Sleepers()

    async def __aenter__(self) -> None:
        while self._taken:
            await self._waiting.wait()
        self._taken = True

    async def __aexit__(self, *_: object) -> None:
        self._taken = False
        self._waiting.wake()


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
