"""When the next round begins.

Rule: time comes in, the time to wait for goes out.
"""

from __future__ import annotations

import math
import random
from typing import Any, Final

from .._errors import UsageError
from .._settings import positive_seconds

GROWTH: Final = 1.5  # of the interval, for each round in which nothing happened


class Pace:
    """Rounds ``every`` so many seconds, further apart up to ``idle_max`` while nothing happens.

    Each interval is drawn within ``jitter`` (a part of it) around its middle, so that many
    processes do not ask at once. ``at`` is when the next round begins, on the loop's clock.
    """

    def __init__(self, every: float, idle_max: float | None, jitter: Any) -> None:
        self._every = positive_seconds("every", every)
        # A minute is as long as a person waits for a bot.
        longest = max(60.0, self._every) if idle_max is None else idle_max
        self._longest = positive_seconds("idle_max", longest)
        if self._longest < self._every:
            raise UsageError(f"idle_max is {idle_max:g} s, below every ({every:g} s).")
        if isinstance(jitter, bool) or not isinstance(jitter, int | float) or not 0 <= jitter < 1:
            raise UsageError(
                f"jitter is a part of the interval, from 0 to below 1, not {jitter!r}."
            )
        self._jitter = jitter
        self._interval = self._every
        self.at: float = -math.inf

    def begin(self, now: float) -> None:
        """Begin a round: set the time of the next one, for the case that nothing happens."""
        self.at = now + self._drawn()
        self._interval = min(self._longest, self._interval * GROWTH)

    def hurry(self, now: float) -> None:
        """Something happened: come back soon."""
        self._interval = self._every
        self.at = min(self.at, now + self._drawn())

    def _drawn(self) -> float:
        spread = random.uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311 - guards nothing
        return self._interval * spread
