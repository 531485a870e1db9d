"""The arithmetic of the token bucket: ``now`` comes in, ``wait`` goes out.

Rule 1: no clock, no sleep, no task: everything can be tested with plain numbers.
Rule 2: over any stretch of time, what is granted is at most rate x time + burst (+ what came back).
"""

from __future__ import annotations

import math

from .._errors import UsageError
from ._brake import LEAST_MEASURED, Brake, Meter

SMOOTH = 0.02  # seconds of rate in the default burst: forgives a timer 15 ms late at any rate
BATCH = 0.005  # seconds of rate granted per wake-up when many wait: 200 timers a second, not 10,000
LATE = 0.010  # seconds of lateness that a burst of one permit forgives; epoll rounds up by 1 ms
LATE_MOST = 0.5  # permits; below one, so that no whole permit beyond the burst can slip through
EPSILON = 1e-6  # permits; float rounding of a time, taken as debt and so never added up
NO_HINT = 1.0  # seconds to freeze when a refusal names none, and the least time between two cuts


def smooth_burst(rate: float) -> float:
    """Return the default burst for ``rate``: enough to forgive late timers, no more."""
    return max(1.0, rate * SMOOTH)


class Bucket:
    """Tokens, rate, freeze and brake, at the time of the last ``advance``.

    ``rate`` is in permits per second (``inf``: unlimited, 0: paused); ``burst=None`` is smooth and
    follows the rate. ``epoch`` counts the times the bucket was emptied: a permit of an earlier
    epoch is worth nothing. ``at`` is ``inf`` until the first use, so a bucket can be built before
    its clock runs.
    """

    def __init__(
        self,
        rate: float,
        burst: float | None = None,
        initial: float | None = None,
        *,
        adaptive: bool = True,
        freeze_max: float = 120.0,
    ) -> None:
        """Build a bucket that starts with ``initial`` tokens (default: a full burst)."""
        self._smooth = burst is None
        self._configure(rate, burst)
        self.tokens = self.burst if initial is None else amount("initial", initial)
        if self.tokens > self.burst:
            raise UsageError(f"initial is {initial:g}, above the burst of {self.burst:g}")
        self.adaptive = adaptive
        self.freeze_max = amount("freeze_max", freeze_max)
        self.at = math.inf
        self.epoch = 0
        self.frozen_until = -math.inf
        self._next_cut = -math.inf

    def _configure(self, rate: float, burst: float | None) -> None:
        rate = amount("rate", rate)
        burst = smooth_burst(rate) if burst is None else amount("burst", burst)
        if burst < 1:
            raise UsageError(f"burst is {burst:g}: below 1, no single permit could ever be granted")
        self.rate = rate
        self.burst = burst
        self.brake = Brake(rate)
        self._meter = Meter() if rate == math.inf else None

    @property
    def level(self) -> float:
        """What the brake leaves of the rate, in permits per second."""
        return self.brake.level

    @property
    def cap(self) -> float:
        """The most tokens an idle bucket holds; smooth where only the brake sets a limit."""
        return self.burst if self.burst < math.inf else smooth_burst(self.brake.level)

    def advance(self, now: float, *, waited: bool = False) -> None:
        """Move to ``now``: earn tokens for the time in which the bucket was open.

        ``waited`` says that somebody wanted them all along: a late timer then keeps a little more
        than the burst, or a rate of 20/s with a burst of 1 would give 19.6/s.
        """
        if now == self.at:
            return
        passed = now - (self.at if self.at > self.frozen_until else self.frozen_until)
        if now < self.at:
            passed = self._rewind(now)
        self.at = now
        if passed < 0:
            return
        self.tokens += self.brake.run(passed)
        if self._meter is not None:
            self._meter.run(passed)
        cap = self.cap
        if self.tokens > cap:
            late = min(LATE_MOST, self.brake.level * LATE) if waited else 0.0
            self.tokens = min(self.tokens, cap + late)

    def _rewind(self, now: float) -> float:
        """Take a clock that went backwards, or the first use, as no time passed."""
        back = now - self.at
        if back > -math.inf:
            self.frozen_until += back
            self._next_cut += back
        return now - max(now, self.frozen_until)

    def take(self, now: float, n: float, *, waited: bool = False) -> bool:
        """Take ``n`` permits if they are there.

        More than the cap (possible when the brake came on, or the burst was lowered, after the
        question) is granted from a full bucket and leaves a debt.
        """
        self.advance(now, waited=waited)
        if now < self.frozen_until or not self.rate:
            return False
        if self.brake.level < math.inf:
            there = self.tokens + EPSILON
            if there < n and there < self.cap:
                return False
            self.tokens -= n
        if self._meter is not None:
            self._meter.count(n)
        return True

    def frozen_for(self, now: float) -> float:
        """Return the seconds that a freeze still lasts."""
        return max(0.0, self.frozen_until - now)

    def wait(self, now: float, n: float, ahead: float = 0.0) -> float:
        """Return the seconds until ``n`` permits are there, after ``ahead`` others went."""
        if not self.rate:
            return math.inf
        frozen = self.frozen_for(now)
        missing = ahead + min(n, self.cap) - self.tokens
        if missing <= EPSILON or self.brake.level == math.inf:
            return frozen
        return frozen + self.brake.time_for(missing)

    def batch(self, queued: float) -> float:
        """Return how many of ``queued`` permits are worth waiting for with one timer."""
        return min(queued, self.cap / 2, self.brake.level * BATCH)

    def refund(self, n: float, epoch: float) -> bool:
        """Put ``n`` unused permits of ``epoch`` back; return whether they are worth anything."""
        if epoch != self.epoch:
            return False
        self.tokens = max(self.tokens, min(self.tokens + n, self.cap))
        return True

    def freeze(self, now: float, seconds: float) -> None:
        """Earn and grant nothing until ``now + seconds`` (capped); never shorten a freeze."""
        self.advance(now)
        until = now + min(amount("seconds", seconds), self.freeze_max)
        if until <= max(now, self.frozen_until):
            return
        if now < self._next_cut:
            self._next_cut = max(self._next_cut, until)
        self.frozen_until = until
        self._empty()

    def throttle(self, now: float, retry_after: float | None) -> None:
        """Freeze after a refusal and, once per freeze, cut the rate.

        The number is the server's, so a negative or NaN one is tolerated: it counts as none.
        """
        hint = retry_after if retry_after is not None and retry_after >= 0 else NO_HINT
        self.freeze(now, hint)
        if not self.adaptive or now < self._next_cut:
            return
        self._next_cut = max(now + NO_HINT, self.frozen_until)
        base = self.brake.level
        if self._meter is not None:
            base = min(base, max(self._meter.rate(), LEAST_MEASURED))
        self.brake.cut(base)
        self._empty()

    def _empty(self) -> None:
        self.tokens = min(self.tokens, 0.0)
        self.epoch += 1

    def set_rate(self, now: float, rate: float, burst: float | None = None) -> None:
        """Change the rate from ``now`` on; it is believed: the brake is off, a freeze stays."""
        self.advance(now)
        smooth = self._smooth and burst is None
        self._configure(rate, None if smooth else self.burst if burst is None else burst)
        self._smooth = smooth
        self.tokens = min(self.tokens, self.cap)

    def excuse(self) -> str:
        """Return nothing: whatever delays a permit here is the rate or a freeze."""
        return ""


def amount(name: str, value: float) -> float:
    """Return ``value`` as a float, or say what is wrong with it."""
    if isinstance(value, bool) or not value >= 0:
        raise UsageError(f"{name} is {value!r}: give a number, 0 or more")
    return float(value)
