"""The slots that a worker holds: blocks of dates, each of which it may use once.

Rule 1: a slot is used at its date or a little later, never before it.
Rule 2: a slot that nobody used in time is forfeited; its date belongs to the past.
Rule 3: no clock is read here; dates are seconds on the worker's own clock.
"""

from __future__ import annotations

import math
from collections import deque

ROUNDING = 1e-6  # of a slot, and seconds; what floats lose on the way from the store's clock


class Run:
    """``left`` slots, the first at ``date``, ``step`` seconds apart."""

    __slots__ = ("date", "left", "step")

    def __init__(self, date: float, step: float, left: float) -> None:
        self.date = date
        self.step = step
        self.left = left

    @property
    def last(self) -> float:
        """The date of the last slot."""
        return self.date + max(0.0, self.left - 1) * self.step

    def due(self, now: float) -> float:
        """Return how many slots have come."""
        if self.date > now + ROUNDING:
            return 0.0
        if now + ROUNDING >= self.last:
            return self.left
        return math.floor((now - self.date + ROUNDING) / self.step) + 1.0

    def pass_over(self, n: float) -> None:
        """Go past ``n`` slots."""
        self.left -= n
        self.date += n * self.step


class Slots:
    """Blocks of slots in the order of their dates.

    ``held`` slots are there, ``used`` were taken and ``lost`` forfeited since the counters were
    last set to 0.
    """

    __slots__ = ("held", "lost", "runs", "used")

    def __init__(self) -> None:
        self.runs: deque[Run] = deque()
        self.held = 0.0
        self.used = 0.0
        self.lost = 0.0

    @property
    def first(self) -> float:
        """The date of the next slot; ``inf`` without any."""
        return self.runs[0].date if self.runs else math.inf

    @property
    def last(self) -> float:
        """The date of the last slot; ``-inf`` without any."""
        return self.runs[-1].last if self.runs else -math.inf

    def add(self, date: float, step: float, n: float) -> None:
        """Hold ``n`` more slots, later than all others."""
        self.runs.append(Run(date, step, n))
        self.held += n

    def put_back(self, date: float, n: float) -> None:
        """Hold ``n`` slots again that were due at ``date`` and not used."""
        self.runs.appendleft(Run(date, 0.0, n))
        self.held += n
        self.used -= n

    def clear(self) -> None:
        """Hold nothing any more."""
        self.lost += self.held
        self.held = 0.0
        self.runs.clear()

    def expire(self, oldest: float) -> None:
        """Forfeit what is dated before ``oldest``."""
        while self.runs and self.runs[0].date < oldest:
            run = self.runs[0]
            late = run.left
            if run.last >= oldest:
                late = min(late, math.ceil((oldest - run.date) / run.step))
            self.lost += late
            self._pass(run, late)

    def due(self, now: float, enough: float = math.inf) -> float:
        """Return how many slots have come, counting no further than ``enough``."""
        found = 0.0
        for run in self.runs:
            here = run.due(now)
            found += here
            if here < run.left or found >= enough:
                break
        return found

    def due_at(self, n: float) -> float:
        """Return the time at which ``n`` slots have come; ``inf`` if fewer are held."""
        for run in self.runs:
            if n <= run.left + ROUNDING:
                return run.date + max(0.0, n - 1) * run.step
            n -= run.left
        return math.inf

    def take(self, now: float, n: float) -> float | None:
        """Use ``n`` slots that have come and return the date of the last, or ``None``."""
        if self.due(now, n) < n - ROUNDING:
            return None
        date = self.runs[0].date
        left = n
        while left > ROUNDING:
            run = self.runs[0]
            part = min(left, run.left)
            date = run.date + max(0.0, part - 1) * run.step
            self._pass(run, part)
            left -= part
        self.used += n
        return date

    def _pass(self, run: Run, n: float) -> None:
        """Go past ``n`` slots of the first run."""
        run.pass_over(n)
        self.held -= n
        if run.left <= ROUNDING:
            self.runs.popleft()
            self.held = self.held - run.left if self.runs else 0.0
