"""The gate in front of the lanes: so many inside, the others in line.

Rule 1: first come, first served; nobody walks past the line.
Rule 2: a place is never lost: the turn of one who gave up in the same moment goes to the next.
"""

from __future__ import annotations

from collections import OrderedDict

from .._turn import Turn


class Gate:
    """Lets ``size`` tasks in at a time; the others wait, each as a ``turn``."""

    def __init__(self, size: int, turn: type[Turn] = Turn) -> None:
        self.size = size
        self._turn = turn
        self._line: OrderedDict[Turn, None] = (
            OrderedDict()
        )  # a deque would search for one who gives up
        self.busy: int = 0

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    async def enter(self, deadline: float) -> bool:
        """Take a place, waiting until ``deadline`` at most; ``False`` where there was none."""
        # With a place free nobody waits: leave() hands a place on before it frees one.
        if self.busy < self.size:
            self.busy += 1
            return True
        return await self._queue(deadline)

    async def _queue(self, deadline: float) -> bool:
        turn = self._turn()
        self._line[turn] = None
        entered = False
        try:
            await turn.wait(deadline)
            entered = turn.granted
        finally:
            if not entered:
                self._give_up(turn)
        return entered

    def _give_up(self, turn: Turn) -> None:
        self._line.pop(turn, None)
        if turn.granted:
            self.leave()

    def leave(self) -> None:
        """Give a place back: to the first in line, or free."""
        if self._line:
            turn, _ = self._line.popitem(last=False)
            turn.granted = True
            turn.call()
        else:
            self.busy -= 1

    def send_away(self) -> None:
        """Refuse everybody in line; those inside leave as they would."""
        while self._line:
            turn, _ = self._line.popitem(last=False)
            turn.call()
