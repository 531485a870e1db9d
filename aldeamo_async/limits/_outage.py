"""A worker without its store: its careful share of the rate, and the way back.

Rule 1: what all workers take together stays below the limit: each takes its part of what it knew,
less a fifth, and starts only when every slot that was given out is past.
Rule 2: all change over to leases at one moment, which the store names; nobody has both.
"""

from __future__ import annotations

import math
from typing import Final

from ._account import SPAN
from ._bucket import Bucket

AHEAD: Final = 0.2  # seconds; bounds what a dead worker wastes, and what a freeze misses elsewhere
PROBE: Final = 0.5  # seconds between two tries to reach a store that is down
CAUTION: Final = 0.8  # share of its part that a worker takes while it cannot ask


class Outage:
    """Whether the store answers, and what paces the worker if it does not.

    ``trouble`` is what went wrong last, empty while the store answers.
    """

    __slots__ = ("_degrade", "local", "probe_at", "settle_at", "trouble")

    def __init__(self, *, degrade: bool) -> None:
        self._degrade = degrade
        self.trouble = ""
        self.local: Bucket | None = None
        self.probe_at = -math.inf
        self.settle_at = math.inf

    def fail(self, now: float, trouble: str, rate: float, workers: int) -> bool:
        """Take note of a failed round trip; return whether it is the first.

        ``rate`` is what the brake left, ``workers`` how many there were; with 0 the store was never
        reached, nobody knows how many share the limit, and nothing may be granted.
        """
        first = not self.trouble
        self.trouble = trouble
        self.probe_at = now + PROBE
        self.settle_at = math.inf
        if self.local is None and self._degrade and workers and rate:
            self.local = Bucket(CAUTION * rate / workers, initial=0)
            self.local.freeze(now, AHEAD + SPAN)
        return first

    def end(self, settle_at: float) -> bool:
        """Take note that the store answers; return whether it did not before."""
        back = bool(self.trouble)
        self.trouble = ""
        if back and self.local is not None:
            self.settle_at = settle_at
        return back

    def pacing(self, now: float) -> Bucket | None:
        """Return the bucket that paces the worker at ``now``, if the store does not."""
        if now >= self.settle_at:
            self.local = None
            self.settle_at = math.inf
        return self.local
