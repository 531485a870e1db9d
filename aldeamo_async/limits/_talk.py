"""The worker's side of the talk with the store: when to ask, for how much, what an answer means.

Rule 1: one question is on its way at a time; it carries everything there is to say.
Rule 2: the next lease is asked for before the present one ends, so that there is no gap.
Rule 3: no slot is used that was promised long ago: shortly before it, the store is asked again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from ._account import SPAN, Lease, LeaseRequest
from ._appetite import Appetite
from ._offset import Offset
from ._outage import AHEAD
from ._slots import ROUNDING

if TYPE_CHECKING:
    from ._lease_bucket import LeaseBucket

OVERDUE: Final = 1.5  # seconds without an answer, after which the store counts as down
IDLE: Final = 0.1  # seconds without demand, after which a worker asks small again
PAUSED: Final = 1.0  # seconds between two looks at an account whose rate is 0
LEAST_WAIT: Final = 0.002  # seconds between two questions of which the first got nothing
MARGIN: Final = 0.005  # seconds; how much too early a lease is asked for, whatever its size


class Talk:
    """Questions and answers for one :class:`LeaseBucket`."""

    def __init__(self, bucket: LeaseBucket, name: str, worker: str) -> None:
        self.bucket = bucket
        self.name = name
        self.worker = worker
        self.forfeited = 0.0
        self._offset = Offset()
        self._appetite = Appetite()
        self._wanted = 0
        self._ahead = AHEAD
        self._drops = 0
        self._heard = -math.inf
        self._span = 0.0
        self._not_before = -math.inf
        self._hungry_since: float | None = None

    def ask(self, now: float, queued: float, least: float) -> LeaseRequest | None:
        """Return a question to the store, for ``queued`` permits of which ``least`` at once."""
        bucket = self.bucket
        alone = bucket.outage.pacing(now) is not None
        bucket.expire(now, least)
        want = 0 if alone else self._want(now, queued)
        again_at = self._again_at()
        if not (want or alone or bucket.news.pressing or now >= again_at):
            if again_at < math.inf:
                bucket.look_at = again_at
            return None
        hungry = 0.0 if self._hungry_since is None else now - self._hungry_since
        self._wanted, self._ahead, self._drops = want, AHEAD + hungry, bucket.drops
        bucket.asking = True
        bucket.look_at = now + OVERDUE
        plain = LeaseRequest(
            name=self.name,
            worker=self.worker,
            want=want,
            least=max(1, math.ceil(least)),
            ahead=self._ahead,
            lead=self._offset.way,
            rate=bucket.rate,
            burst=bucket.burst,
            recovering=alone or bucket.outage.trouble != "",
        )
        return bucket.news.add_to(plain, now)

    def _want(self, now: float, queued: float) -> int:
        """Return how many slots to ask for: those that are missing, and for a busy worker more."""
        slots, appetite = self.bucket.slots, self._appetite
        missing = math.ceil(queued - slots.held - ROUNDING)
        if missing <= 0 and (slots.held <= 0 or appetite.size <= 1):
            return 0
        if slots.held <= 0 and self._hungry_since is None and now > self.bucket.used_at + IDLE:
            appetite.rest()
        else:
            appetite.settle(slots.used, slots.lost, self.bucket.level * SPAN)
        self.forfeited += slots.lost
        slots.used = slots.lost = 0.0
        return max(missing, int(appetite.size))

    def _again_at(self) -> float:
        """Return when to ask again about a slot that was promised long before its date."""
        first = self.bucket.slots.first
        return first - AHEAD / 2 if first - self._heard > AHEAD else math.inf

    def answer(self, sent: float, got: float, now: float, lease: Lease) -> bool:
        """Take in an answer; return whether the store did not answer before.

        The question left at ``sent`` and the answer came at ``got``, on the worker's clock.
        """
        bucket = self.bucket
        bucket.asking = False
        bucket.news.told()
        self._offset.learn(sent, got, lease.now)
        self._heard = got
        bucket.workers = lease.workers
        if not bucket.news.rate:
            bucket.rate, bucket.burst, bucket.share = lease.rate, lease.burst, lease.share
        frozen_until = self._offset.own(lease.frozen_until)
        if frozen_until > max(now, bucket.frozen_until + MARGIN):
            bucket.freeze_until(now, frozen_until)
        bucket.horizon = self._offset.own(lease.start) + lease.granted * lease.step
        if lease.granted:
            self._hold(lease)
        elif self._wanted:
            self._be_patient(now, lease)
        back = bucket.outage.end(self._offset.own(lease.settle_at))
        self._plan()
        return back

    def _hold(self, lease: Lease) -> None:
        """Hold the slots, unless a freeze or another rate came in between."""
        self._hungry_since = None
        self._not_before = -math.inf
        self._span = lease.granted * lease.step
        date = self._offset.own(lease.start)
        current = self._drops == self.bucket.drops or date >= self.bucket.frozen_until
        if current and not self.bucket.news.rate:
            self.bucket.slots.add(date, lease.step, lease.granted)
        else:
            self.bucket.slots.lost += lease.granted

    def _be_patient(self, now: float, lease: Lease) -> None:
        """Find out when to ask again, after all slots near enough were taken.

        Whoever went without may look further ahead the longer it waits, or a worker nearer to the
        store would be first every time. Half of the way is where the two meet.
        """
        bucket = self.bucket
        if not bucket.level:
            self._not_before = now + PAUSED
        elif now < bucket.frozen_until - AHEAD:
            self._hungry_since = None
            self._not_before = bucket.frozen_until - AHEAD
        else:
            self._hungry_since = now if self._hungry_since is None else self._hungry_since
            too_far = lease.start - lease.now - self._ahead
            self._not_before = now + max(LEAST_WAIT, too_far / 2)

    def fail(self, now: float, trouble: str) -> bool:
        """Take note that a round trip failed; return whether the store answered before."""
        bucket = self.bucket
        bucket.asking = False
        bucket.news.keep()
        first = bucket.outage.fail(now, trouble, bucket.level, bucket.workers)
        self._plan()
        return first

    def _plan(self) -> None:
        """Find the time of the next question."""
        bucket, slots = self.bucket, self.bucket.slots
        if bucket.outage.trouble:
            bucket.look_at = bucket.outage.probe_at
        elif bucket.news.pressing:
            bucket.look_at = -math.inf
        elif bucket.outage.local is not None:
            bucket.look_at = bucket.outage.settle_at
        else:
            at = self._not_before
            if slots.held > 0:
                early = max(2 * self._offset.way + MARGIN, self._span / 2)
                at = max(at, slots.last - early)
            bucket.look_at = min(at, self._again_at())
