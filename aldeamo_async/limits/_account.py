"""The arithmetic of one account's limit, as every store does it: who may send when.

Rule 1: time is the store's own clock, in seconds; the clocks of workers are never asked.
Rule 2: slots are dated, at least ``1 / rate`` apart over all workers, and no date is given twice.
Rule 3: this is the reference; what the stores do in Lua and PL/pgSQL must come to the same numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from attrs import frozen

from ._brake import CLIMB, CUT
from ._bucket import NO_HINT

if TYPE_CHECKING:
    from collections.abc import Iterable

SPAN: Final = 0.1  # seconds of the account's rate that all workers together lease at one time
ALIVE: Final = 10.0  # seconds for which a worker that asked counts as present
SETTLE: Final = 1.0  # seconds until those who come back after an outage change over, together
SILENCE: Final = 1.0  # seconds without a question, after which all were cut off, not one alone


@frozen(kw_only=True)
class LeaseRequest:
    """What a worker asks of a store in one round trip.

    ``name`` is the account, ``worker`` the one who asks. ``want`` slots are asked for (0: none, a
    sign of life), at least ``least`` of them in one piece, none of which may begin more than
    ``ahead`` seconds from now, nor less than ``lead`` seconds behind what the burst would allow
    (the way back takes that long). ``rate`` (slots per second) and ``burst`` are what this worker
    believes; with ``declare`` they are news and replace the account's. ``freeze`` asks for a
    freeze of so many seconds, ``refused`` reports that so many seconds ago the server refused a
    request; ``None`` where there is nothing to say. ``recovering`` says that the last round
    trip of this worker failed, so that it may be pacing itself.
    """

    name: str
    worker: str
    want: int
    least: int = 1
    ahead: float = 0.0
    lead: float = 0.0
    rate: float
    burst: float
    declare: bool = False
    freeze: float | None = None
    refused: float | None = None
    recovering: bool = False


@frozen(kw_only=True)
class Lease:
    """What a store answers: a block of ``granted`` slots, and how the account stands.

    All times are seconds on the store's clock: ``now``, ``start`` (the date of the first slot, or
    with ``granted`` 0 the first date that is free), ``frozen_until`` and ``settle_at``, when
    workers that were cut off change over. ``rate`` and ``burst`` are the account's, ``share`` is
    what the adaptive brake leaves of the rate (0 to 1), ``workers`` counts those who asked in the
    last 10 s.
    """

    granted: int
    start: float
    now: float
    frozen_until: float
    settle_at: float
    rate: float
    burst: float
    share: float
    workers: int

    @property
    def step(self) -> float:
        """The seconds between two slots; ``inf`` while the account is paused."""
        return 1.0 / (self.rate * self.share) if self.rate else math.inf


def lease_of(answer: Iterable[str | float]) -> Lease:
    """Read what a server answers: the fields of a lease in their order, as numbers or text."""
    granted, start, now, frozen_until, settle_at, rate, burst, share, workers = map(float, answer)
    return Lease(
        granted=int(granted),
        start=start,
        now=now,
        frozen_until=frozen_until,
        settle_at=settle_at,
        rate=rate,
        burst=burst,
        share=share,
        workers=int(workers),
    )


class Account:
    """The state of one account in a store, and the one operation on it."""

    def __init__(self, rate: float, burst: float) -> None:
        """Start with no slot given out, no freeze, and the brake off."""
        self.rate = rate
        self.burst = burst
        self.share = 1.0
        self.at = -math.inf
        self.free_from = -math.inf
        self.frozen_until = -math.inf
        self.cut_after = -math.inf
        self.settle_at = -math.inf
        self.workers: dict[str, float] = {}

    def lease(self, now: float, ask: LeaseRequest) -> Lease:
        """Take note of what the worker says, and give it what it may have at ``now``."""
        silent = now - self.at > SILENCE
        self._advance(now)
        if ask.declare and (ask.rate, ask.burst) != (self.rate, self.burst):
            self.rate, self.burst, self.share = ask.rate, ask.burst, 1.0
        self._brake(now, ask)
        self.workers[ask.worker] = now
        self.workers = {who: seen for who, seen in self.workers.items() if seen > now - ALIVE}
        if ask.recovering and silent:  # the first of all, who still pace themselves
            self.settle_at = now + SETTLE
            self.free_from = max(self.free_from, self.settle_at)
        granted, start = self._grant(now, ask)
        return Lease(
            granted=granted,
            start=start,
            now=now,
            frozen_until=self.frozen_until,
            settle_at=self.settle_at,
            rate=self.rate,
            burst=self.burst,
            share=self.share,
            workers=len(self.workers),
        )

    def _advance(self, now: float) -> None:
        """Let time pass, and the brake climb; a clock that went backwards takes all dates along."""
        if now < self.at:
            back = self.at - now
            self.free_from -= back
            self.frozen_until -= back
            self.cut_after -= back
            self.settle_at -= back
        else:
            unfrozen = now - max(self.at, self.frozen_until)
            if self.share < 1.0 and unfrozen > 0:
                self.share = min(1.0, self.share + CLIMB * unfrozen)
        self.at = now

    def _brake(self, now: float, ask: LeaseRequest) -> None:
        """Freeze as asked, never shorter than now; cut the rate once per freeze."""
        if ask.freeze is not None and now + ask.freeze > self.frozen_until:
            self.frozen_until = now + ask.freeze
            if now < self.cut_after:
                self.cut_after = max(self.cut_after, self.frozen_until)
        if ask.refused is None:
            return
        moment = now - ask.refused
        if moment >= self.cut_after:
            self.share *= CUT
            self.cut_after = max(moment + NO_HINT, self.frozen_until)

    def _grant(self, now: float, ask: LeaseRequest) -> tuple[int, float]:
        """Give out the next slots, unless they are too far ahead."""
        speed = self.rate * self.share
        if not speed:
            return 0, now
        start = max(self.free_from, self.frozen_until, now - (self.burst - 1) / speed + ask.lead)
        if ask.want < 1 or start - now > ask.ahead:
            return 0, start
        fair = int(speed * SPAN / len(self.workers))
        granted = min(ask.want, max(ask.least, fair, 1))
        self.free_from = start + granted / speed
        return granted, start
