"""Where the store's clock stands against the worker's own, from nothing but round trips.

Rule: only two clocks take part, the worker's monotonic one and the store's. The wall clock of the
worker may be wrong by any amount, or be set in between.
"""

from __future__ import annotations

import math

DRIFT = 1e-4  # seconds per second; quartz keeps within 100 ppm
MEMORY = 0.9  # share of a long way that is still believed one round trip later


class Offset:
    """Bounds of (own clock - store's clock), narrowed by every round trip.

    The store read its clock between ``sent`` and ``got``. Each trip bounds the difference; the
    intersection of all is at least as narrow as the quickest trip. The upper bound is believed, so
    that no slot is used too early; it is late by no more than the way back of that trip.
    """

    __slots__ = ("_at", "_high", "_low", "way")

    def __init__(self) -> None:
        self._low = -math.inf
        self._high = math.inf
        self._at = math.inf
        self.way = 0.0  # seconds of a round trip lately, the slower ones

    def learn(self, sent: float, got: float, store: float) -> None:
        """Take note of one round trip in which the store's clock read ``store``."""
        first = self._at == math.inf
        aged = 0.0 if first else max(0.0, got - self._at) * DRIFT
        low = max(self._low - aged, sent - store)
        high = min(self._high + aged, got - store)
        if low > high:  # another server, or its clock was set
            low, high = sent - store, got - store
        self._low, self._high, self._at = low, high, got
        if first:  # it connected on its way, which says nothing of the others
            return
        self.way = max(got - sent, MEMORY * self.way + (1 - MEMORY) * (got - sent))

    def own(self, store: float) -> float:
        """Return a time of the store on the worker's clock; only after a first trip."""
        return store + self._high
