"""The adaptive brake: a rate that a refusal cuts and time restores.

Rule 1: time comes in as seconds that passed while the bucket was open; no clock is read here.
Rule 2: what is earned over a climbing rate is its exact integral, so a climb never over-grants.
"""

from __future__ import annotations

import math
import sys

CUT = 0.7  # share of the rate that a refusal leaves; TCP CUBIC keeps the same share
CLIMB = 0.01  # of the ceiling, regained per second: a full cut heals in half a minute
UNKNOWN_CEILING = 50.0  # permits/s that pace the climb where no rate is configured
LEAST_MEASURED = 1.0  # permits/s; a lone refused call says nothing of the sustainable rate


class Brake:
    """The effective rate below a ceiling ``top``: multiplicative cut, additive climb.

    Off (``level == top``) until the first cut. ``top`` may be ``inf``; the level is then ``inf``
    too until a cut gives it a number, and climbs without end from there.
    """

    __slots__ = ("climb", "level", "top")

    def __init__(self, top: float) -> None:
        """Start with the brake off."""
        self.top = top
        self.level = top
        self.climb = 0.0

    def cut(self, base: float) -> None:
        """Cut to a share of ``base``, the rate in permits per second that was refused."""
        ceiling = max(base, UNKNOWN_CEILING) if self.top == math.inf else self.top
        self.climb = max(self.climb, CLIMB * ceiling, sys.float_info.min)
        self.level = CUT * base

    def run(self, seconds: float) -> float:
        """Let ``seconds`` pass and return the permits earned in them."""
        if self.level >= self.top:
            return math.inf if self.top == math.inf else self.top * seconds
        climbing = min(seconds, (self.top - self.level) / self.climb)
        earned = (self.level + self.climb * climbing / 2) * climbing
        if climbing < seconds:
            self.level = self.top
            return earned + self.top * (seconds - climbing)
        self.level = min(self.top, self.level + self.climb * seconds)
        return earned

    def time_for(self, permits: float) -> float:
        """Return the seconds in which ``permits`` (above 0) are earned: the inverse of ``run``."""
        if self.level >= self.top:
            return permits / self.top if self.top else math.inf
        level, climb = self.level, self.climb
        seconds = 2 * permits / (level + math.sqrt(level * level + 2 * climb * permits))
        climbing = (self.top - level) / climb
        if seconds <= climbing:
            return seconds
        return climbing + (permits - (level + climb * climbing / 2) * climbing) / self.top


class Meter:
    """The permits taken in the last second of open time, from two counts and an age."""

    __slots__ = ("_age", "_before", "_current")

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._age = 0.0
        self._current = 0.0
        self._before = 0.0

    def run(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._age += seconds
        if self._age >= 1.0:
            self._before = self._current if self._age < 2.0 else 0.0
            self._current = 0.0
            self._age %= 1.0

    def count(self, n: float) -> None:
        """Count ``n`` permits as taken now."""
        self._current += n

    def rate(self) -> float:
        """Return the permits per second over the last second."""
        return self._before * (1.0 - self._age) + self._current
