"""What the commands that run a campaign share: what they show, and how they are interrupted.

Rule: a look every tenth of a second is soon enough for a person, and costs nothing.
"""

from __future__ import annotations

from typing import Final

from attrs import define

TICK_SECONDS: Final = 0.1  # how soon a Ctrl-C is seen, and how often the bar moves
INTERRUPTED: Final = "interrupted"


@define
class Shown:
    """What the screen shows of a run."""

    sent: int
    rejected: int
    unknown: int

    @property
    def rows(self) -> int:
        """Messages that are done."""
        return self.sent + self.rejected + self.unknown
