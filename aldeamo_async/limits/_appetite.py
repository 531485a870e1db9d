"""How many slots a worker asks for at a time: what it used lately, and a little more.

Rule: an idle worker asks for what waits and no more, for a slot that it does not use is lost to
all; a busy one doubles until it either loses slots or reaches its share.
"""

from __future__ import annotations

GROWTH = 8.0  # after a loss, a lease grows by one part in so many


class Appetite:
    """The size of the next lease in slots, from what became of the last."""

    __slots__ = ("_careful", "size")

    def __init__(self) -> None:
        self.size = 1.0
        self._careful = False

    def rest(self) -> None:
        """Begin again: nobody wanted a slot for a while."""
        self.size = 1.0
        self._careful = False

    def settle(self, used: float, lost: float, most: float) -> None:
        """Size the next lease, at most ``most``, now that so many slots were used and lost."""
        if lost > 0:
            self.size = used
            self._careful = True
        elif used >= self.size / 2:
            self.size += max(1.0, self.size / GROWTH) if self._careful else self.size
        self.size = max(1.0, min(self.size, most))
