"""The slots of a worker as a bucket: what it may grant now, and when it may grant more.

Rule 1: no clock, no sleep, no I/O: ``now`` comes in, ``wait`` goes out.
Rule 2: nothing is granted but slots that the store gave out, each at its date or a little later,
or, while the store is down, the worker's own careful share.
"""

from __future__ import annotations

import math
import sys
from typing import Final

from .._errors import UsageError
from ._bucket import BATCH, NO_HINT, amount, smooth_burst
from ._news import News
from ._outage import CAUTION, Outage
from ._slots import Slots

GRACE: Final = 0.02  # seconds by which a slot may be used late: timers on a busy machine are late


class LeaseBucket:
    """The :class:`Pace` of a shared limit.

    ``rate``, ``burst``, ``share`` (what the brake leaves of the rate) and ``workers`` are the
    account's, as last heard. ``horizon`` is the first date that nobody has, as far as known.
    ``look_at`` is the time from which there may be something to ask the store; ``drops`` counts how
    often all slots were dropped, so that a lease asked for earlier is known to be worth nothing.
    """

    def __init__(
        self, rate: float, burst: float | None, *, adaptive: bool, freeze_max: float, degrade: bool
    ) -> None:
        """Build a bucket that holds nothing and knows of no store."""
        self.rate, self.burst = shared_limit(rate, burst)
        self._smooth = burst is None
        self._adaptive = adaptive
        self._freeze_max = amount("freeze_max", freeze_max)
        self._degrade = degrade
        self.forget()

    def forget(self) -> None:
        """Hold nothing and know of no store: at the start, and in the child of a fork."""
        self.share = 1.0
        self.workers = 0
        self.slots = Slots()
        self.news = News()
        self.outage = Outage(degrade=self._degrade)
        self.at = self.epoch = self.frozen_until = self.used_at = -math.inf
        self.horizon = self.look_at = -math.inf
        self.asking = False
        self.drops = 0
        self._void_before = -math.inf
        self._next_cut = -math.inf

    @property
    def level(self) -> float:
        """What the brake leaves of the rate, in permits per second, for all workers together."""
        return self.rate * self.share

    @property
    def step(self) -> float:
        """The seconds between two slots; ``inf`` while paused."""
        return 1.0 / self.level if self.level else math.inf

    @property
    def tokens(self) -> float:
        """The slots that have come and are not used."""
        return self.slots.due(self.at)

    def advance(self, now: float, *, waited: bool = False) -> None:
        """Move to ``now`` and forfeit what is too old, whether somebody ``waited`` or not."""
        self.at = now
        self.expire(now, 1)

    def expire(self, now: float, n: float) -> None:
        """Forfeit slots that the burst no longer covers; whoever wants many needs older ones."""
        if self.slots.runs:
            late = self.burst - 1 + max(0.0, n - 1)
            self.slots.expire(now - GRACE - (late * self.step if late else 0.0))

    def take(self, now: float, n: float, *, waited: bool = False) -> bool:
        """Take ``n`` permits: slots that have come, or tokens of the own share in an outage."""
        self.at = now
        if now < self.frozen_until:
            return False
        if self.slots.runs:
            self.expire(now, n)
            date = self.slots.take(now, n)
            if date is not None:
                self.epoch = date
                self.used_at = now
                return True
        local = self.outage.pacing(now)
        if local is None or not local.take(now, n, waited=waited):
            return False
        self.epoch = -math.inf
        return True

    def refund(self, n: float, epoch: float) -> bool:
        """Take ``n`` slots back, the last dated ``epoch``; return whether they are worth anything.

        They keep their date, so nothing is gained by taking and returning.
        """
        if epoch < self._void_before:
            return False
        self.slots.put_back(epoch, n)
        self.expire(self.at, n)
        return True

    def frozen_for(self, now: float) -> float:
        """Return the seconds that a freeze still lasts."""
        return max(0.0, self.frozen_until - now)

    def wait(self, now: float, n: float, ahead: float = 0.0) -> float:
        """Return the least seconds until ``n`` permits are there, after ``ahead`` others went.

        It can take longer: what the account gives to other workers first is not known here.
        """
        frozen = self.frozen_for(now)
        due = self.slots.due_at(ahead + n)
        if due < math.inf:
            return max(frozen, due - now)
        local = self.outage.pacing(now)
        if local is not None:
            return max(frozen, local.wait(now, n, ahead))
        if not self.level or self.outage.trouble:
            return math.inf
        free = max(now + frozen, self.horizon, now - (self.burst - 1) * self.step)
        return max(frozen, free + (ahead + n - self.slots.held - 1) * self.step - now)

    def batch(self, queued: float) -> float:
        """Return how many of ``queued`` permits are worth waiting for with one timer."""
        return min(queued, self.level * BATCH, self.slots.held)

    def nap(self, now: float, n: float, queued: float) -> float:
        """Return the seconds after which the head of the line, who wants ``n``, looks again."""
        due_at, soon = self.slots.due_at, self.slots.first + BATCH  # the next may be far away
        until = max(due_at(n), min(due_at(self.batch(queued)), soon))
        local = self.outage.pacing(now)
        if local is not None:
            until = min(until, now + local.wait(now, max(n, local.batch(queued))))
        until = max(until, self.frozen_until)
        if self.look_at > now:  # otherwise it was looked at, and there was nothing to ask
            until = min(until, self.look_at)
        return until - now

    def freeze(self, now: float, seconds: float) -> None:
        """Grant nothing until ``now + seconds`` (capped), here at once and soon everywhere."""
        until = now + min(amount("seconds", seconds), self._freeze_max)
        if until <= max(now, self.frozen_until):
            return
        if now < self._next_cut:
            self._next_cut = max(self._next_cut, until)
        self.freeze_until(now, until)
        self.news.frozen_until = until
        self._press()

    def freeze_until(self, now: float, until: float) -> None:
        """Grant nothing until then; only for a time later than the present freeze."""
        self.frozen_until = until
        self._drop(now)
        if self.outage.local is not None:
            self.outage.local.freeze(now, until - now)

    def throttle(self, now: float, retry_after: float | None) -> None:
        """Freeze after a refusal and, once per freeze, have the account's rate cut."""
        hint = retry_after if retry_after is not None and retry_after >= 0 else NO_HINT
        self.freeze(now, hint)
        if not self._adaptive or now < self._next_cut:
            return
        self._next_cut = max(now + NO_HINT, self.frozen_until)
        self.news.refused_at = now
        self._drop(now)
        if self.outage.local is not None:
            self.outage.local.throttle(now, hint)
        self._press()

    def set_rate(self, now: float, rate: float, burst: float | None = None) -> None:
        """Change the account's rate, here at once, for others with their next lease."""
        smooth = self._smooth and burst is None
        self.rate, self.burst = shared_limit(
            rate, None if smooth else self.burst if burst is None else burst
        )
        self._smooth = smooth
        self.share = 1.0
        self.news.rate = True
        self._drop(now)
        if self.outage.local is not None:
            self.outage.local.set_rate(now, CAUTION * rate / self.workers)
        self._press()

    def _drop(self, now: float) -> None:
        """Use no slot held or asked for so far."""
        self.slots.clear()
        self.drops += 1
        self._void_before = now

    def _press(self) -> None:
        """Have the store told as soon as may be."""
        if not self.asking and not self.outage.trouble:
            self.look_at = -math.inf

    def excuse(self) -> str:
        """Return why nothing comes while the store is down."""
        return self.outage.trouble


def shared_limit(rate: float, burst: float | None) -> tuple[float, float]:
    """Return rate and burst, or say what is wrong with them."""
    rate = amount("rate", rate)
    if rate == math.inf:
        raise UsageError("a shared limit needs a rate: without one there is nothing to share")
    burst = smooth_burst(rate) if burst is None else min(amount("burst", burst), sys.float_info.max)
    if burst < 1:
        raise UsageError(f"burst is {burst:g}: below 1, no single permit could ever be granted")
    return rate, burst
