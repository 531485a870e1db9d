"""The arithmetic of the bucket: numbers in, numbers out, no clock."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aldeamo_async._errors import UsageError
from aldeamo_async.limits._bucket import EPSILON, Bucket, smooth_burst


def test_a_burst_is_smooth_by_default() -> None:
    """Twenty milliseconds of rate, and at least one permit."""
    assert [smooth_burst(rate) for rate in (0, 20, 1000, 10_000)] == [1, 1, 20, 200]
    assert Bucket(1000).burst == 20
    assert Bucket(1000).tokens == 20


def test_tokens_are_earned_up_to_the_burst() -> None:
    """Time adds rate x seconds, and an idle bucket holds no more than its burst."""
    bucket = Bucket(10, 5, 0)
    bucket.advance(100)
    assert bucket.tokens == 0
    bucket.advance(100.3)
    assert bucket.tokens == pytest.approx(3)
    bucket.advance(200)
    assert bucket.tokens == 5


def test_permits_are_taken_only_when_they_are_there() -> None:
    """A take that fails changes nothing, and wait says when it will succeed."""
    bucket = Bucket(10, 5)
    assert bucket.take(0, 5)
    assert not bucket.take(0, 1)
    assert bucket.wait(0, 1) == pytest.approx(0.1)
    assert bucket.wait(0, 1, ahead=4) == pytest.approx(0.5)
    assert bucket.take(0.1, 1)
    assert bucket.tokens == pytest.approx(0)


def test_a_late_timer_keeps_half_a_permit_beyond_the_burst_at_most() -> None:
    """Somebody who waited all along loses nothing to a late wake-up, up to 10 ms of rate."""
    late, idle = Bucket(20, 1, 0), Bucket(20, 1, 0)
    late.advance(0)
    idle.advance(0)
    late.advance(0.06, waited=True)
    idle.advance(0.06)
    assert (late.tokens, idle.tokens) == (pytest.approx(1.2), 1)
    fast = Bucket(1000, 1, 0)
    fast.advance(0)
    fast.advance(10, waited=True)
    assert fast.tokens == 1.5


def test_trap_14_a_rate_of_zero_is_a_pause() -> None:
    """Paused: nothing is granted, not even a full bucket, and the wait has no end."""
    bucket = Bucket(0)
    assert not bucket.take(0, 1)
    assert bucket.wait(0, 1) == math.inf
    bucket.set_rate(5, 10)
    assert bucket.take(5, 1)


def test_trap_14_a_clock_that_goes_backwards_earns_nothing_and_breaks_nothing() -> None:
    """A step back of an hour counts as no time passed; a freeze keeps what was left of it."""
    bucket = Bucket(10, 10, 0)
    bucket.advance(5000)
    bucket.advance(5000.5)
    bucket.advance(1400)
    assert bucket.tokens == pytest.approx(5)
    bucket.freeze(1400, 3)
    bucket.advance(100)
    assert bucket.frozen_for(100) == pytest.approx(3)
    assert not bucket.take(102.9, 1)
    assert bucket.take(103.1, 1)


def test_a_machine_that_slept_wakes_up_with_no_more_than_the_burst() -> None:
    """SIGSTOP for a day: one burst, then the rate."""
    bucket = Bucket(100, 10)
    assert bucket.take(0, 10)
    assert bucket.take(86_400, 10)
    assert not bucket.take(86_400, 1)


@pytest.mark.parametrize("number", [-1, -0.5, math.nan, True, -math.inf])
def test_numbers_that_make_no_sense_are_refused_by_name(number: float) -> None:
    """Negative, NaN and bool: a usage error that names the argument."""
    for name, build in {
        "rate": lambda: Bucket(number),
        "burst": lambda: Bucket(1, number),
        "initial": lambda: Bucket(1, 1, number),
        "freeze_max": lambda: Bucket(1, freeze_max=number),
        "seconds": lambda: Bucket(1).freeze(0, number),
    }.items():
        with pytest.raises(UsageError, match=f"^{name} is "):
            build()


def test_a_burst_below_one_and_an_initial_above_the_burst_are_refused() -> None:
    """Both would make a bucket that cannot do what it says."""
    with pytest.raises(UsageError, match=r"burst is 0\.5"):
        Bucket(10, 0.5)
    with pytest.raises(UsageError, match="initial is 6"):
        Bucket(10, 5, 6)


def test_a_refused_set_rate_changes_nothing() -> None:
    """An invalid number leaves rate and burst as they were."""
    bucket = Bucket(10, 5)
    with pytest.raises(UsageError):
        bucket.set_rate(0, 20, math.nan)
    assert (bucket.rate, bucket.burst) == (10, 5)


def test_a_given_burst_stays_and_a_smooth_one_follows_the_rate() -> None:
    """set_rate without a burst keeps the kind of burst that was there."""
    given_burst, smooth = Bucket(1000, 7), Bucket(1000)
    for bucket in (given_burst, smooth):
        bucket.set_rate(0, 5000)
    assert (given_burst.burst, smooth.burst) == (7, 100)
    smooth.set_rate(0, 5000, 9)
    smooth.set_rate(0, 10_000)
    assert smooth.burst == 9


def test_a_lower_burst_takes_the_tokens_above_it() -> None:
    """The change holds at once: no grant out of the old, larger bucket."""
    bucket = Bucket(100, 50)
    bucket.set_rate(0, 100, 2)
    assert bucket.tokens == 2


def test_a_question_larger_than_the_burst_has_become_is_granted_on_credit() -> None:
    """A waiter for 50 is not stuck for ever when the burst falls to 10: a debt follows it."""
    bucket = Bucket(10, 50, 0)
    bucket.advance(0)
    bucket.set_rate(0, 10, 10)
    assert bucket.wait(0, 50) == pytest.approx(1)
    assert bucket.take(1, 50)
    assert bucket.tokens == pytest.approx(-40)
    assert bucket.wait(1, 1) == pytest.approx(4.1)


def test_a_freeze_empties_the_bucket_and_earns_nothing() -> None:
    """No refill during a freeze, and no burst after it."""
    bucket = Bucket(100, 50)
    bucket.freeze(0, 2)
    assert bucket.tokens == 0
    assert not bucket.take(1.9, 1)
    assert bucket.wait(1.5, 1) == pytest.approx(0.5 + 0.01)
    bucket.advance(2.1)
    assert bucket.tokens == pytest.approx(10)


def test_a_freeze_is_never_shortened_and_is_capped() -> None:
    """The longest freeze wins; a server that asks for 49 days gets freeze_max."""
    bucket = Bucket(10, freeze_max=120)
    bucket.freeze(0, 5)
    bucket.freeze(1, 2)
    assert bucket.frozen_for(1) == 4
    bucket.freeze(1, math.inf)
    assert bucket.frozen_for(1) == 120
    bucket.freeze(2, 49 * 86_400)
    assert bucket.frozen_for(2) == 120


def test_a_freeze_of_zero_seconds_does_nothing() -> None:
    """It neither empties the bucket nor forfeits permits."""
    bucket = Bucket(10, 5)
    bucket.freeze(0, 0)
    assert (bucket.tokens, bucket.epoch) == (5, 0)


def test_a_debt_outlives_a_freeze() -> None:
    """What was granted on credit is still owed afterwards."""
    bucket = Bucket(10, 50)
    bucket.set_rate(0, 10, 10)
    assert bucket.take(0, 30)
    bucket.freeze(0, 1)
    assert bucket.tokens == pytest.approx(-20)


def test_refusals_in_one_freeze_cut_once() -> None:
    """Fifty requests in flight are refused: one cut; the next freeze cuts again."""
    bucket = Bucket(100)
    for moment in range(50):
        bucket.throttle(moment / 100, 1)
    assert bucket.brake.level == pytest.approx(70)
    assert bucket.frozen_for(0.5) == pytest.approx(0.99)
    bucket.throttle(1.48, 1)
    assert bucket.brake.level == pytest.approx(70)
    bucket.throttle(2.49, 1)
    assert bucket.brake.level == pytest.approx(49, rel=0.01)


def test_a_freeze_that_goes_on_holds_the_next_cut_back() -> None:
    """A refusal inside the same freeze, lengthened meanwhile, is not a second one."""
    bucket = Bucket(100)
    bucket.throttle(0, 1)
    bucket.freeze(0.9, 3)
    bucket.throttle(3.5, 0)
    assert bucket.brake.level == pytest.approx(70)


def test_refusals_without_a_wait_cut_once_a_second() -> None:
    """Retry-After: 0 freezes nothing, empties the bucket, and cannot drive the rate to nothing."""
    bucket = Bucket(100)
    for moment in range(90):
        bucket.throttle(moment / 100, 0)
    assert bucket.brake.level == pytest.approx(70, rel=0.02)
    assert bucket.tokens <= 2
    assert bucket.frozen_for(0.9) == 0


@pytest.mark.parametrize("nonsense", [None, math.nan, -3.0])
def test_a_refusal_without_a_usable_wait_freezes_for_a_second(nonsense: float | None) -> None:
    """No hint, or one that is no duration: 1 s, and never an error."""
    bucket = Bucket(100)
    bucket.throttle(10, nonsense)
    assert bucket.frozen_for(10) == 1


def test_a_bucket_that_is_not_adaptive_freezes_only() -> None:
    """The rate stays what was configured."""
    bucket = Bucket(100, adaptive=False)
    bucket.throttle(0, 2)
    assert bucket.brake.level == 100
    assert bucket.frozen_for(0) == 2


def test_the_climb_pauses_during_a_freeze() -> None:
    """The rate after a long freeze is the rate that was cut, not one that climbed in silence."""
    bucket = Bucket(100)
    bucket.throttle(0, 60)
    bucket.advance(61)
    assert bucket.brake.level == pytest.approx(71)


def test_set_rate_lifts_the_brake_and_keeps_the_freeze() -> None:
    """The new rate is believed; the server's wait still counts."""
    bucket = Bucket(100)
    bucket.throttle(0, 5)
    bucket.set_rate(1, 40)
    assert bucket.brake.level == 40
    assert bucket.frozen_for(1) == 4


def test_unlimited_grants_everything_and_can_still_be_frozen() -> None:
    """No limit is configured: a million permits at one instant, none during a freeze."""
    bucket = Bucket(math.inf, adaptive=False)
    assert all(bucket.take(0, 1000) for _ in range(1000))
    assert bucket.tokens == math.inf
    bucket.freeze(0, 1)
    assert not bucket.take(0.5, 1)
    assert bucket.wait(0.5, 1) == 0.5
    assert bucket.take(1, 1)
    bucket.advance(2)
    assert bucket.tokens == math.inf


def test_unlimited_with_a_burst_bounds_one_request_only() -> None:
    """A burst on an unlimited rate is the most in one call; there is no rate to hold."""
    bucket = Bucket(math.inf, 10)
    assert all(bucket.take(0, 10) for _ in range(5))
    assert bucket.tokens == 10
    assert bucket.wait(0, 10, ahead=100) == 0


def test_the_brake_of_an_unlimited_rate_starts_from_what_was_measured() -> None:
    """300 permits in the last second and a refusal: 210/s from then on, without a burst."""
    bucket = Bucket(math.inf)
    for moment in range(900):
        bucket.take(moment / 300, 1)
    bucket.throttle(3, 1)
    assert bucket.brake.level == pytest.approx(210, rel=0.01)
    assert bucket.tokens == 0
    assert bucket.cap == pytest.approx(4.2, rel=0.01)
    assert bucket.take(6, 4)
    assert not bucket.take(6, 1)


def test_a_second_brake_starts_from_what_is_used_not_from_what_would_be_allowed() -> None:
    """Long after the first refusal the allowed rate is far above the traffic; the cut is felt."""
    bucket = Bucket(math.inf)
    bucket.take(0, 1)
    bucket.throttle(0, 1)
    for moment in range(1000, 1100):
        bucket.take(moment, 5)
    bucket.throttle(1100, 1)
    assert bucket.brake.level == pytest.approx(3.5, rel=0.01)


def test_an_unlimited_burst_under_the_brake_is_granted_on_credit() -> None:
    """A request larger than the braked bucket still gets through, and is paid for afterwards."""
    bucket = Bucket(math.inf)
    bucket.throttle(0, 1)
    assert bucket.wait(1, 500) < 2
    assert bucket.take(4, 500)
    assert bucket.tokens < -490


def test_a_refund_fills_up_to_the_burst_and_not_after_a_freeze() -> None:
    """Unused permits come back, never above the burst, and are worth nothing after a freeze."""
    bucket = Bucket(10, 5)
    assert bucket.take(0, 4)
    assert bucket.refund(2, bucket.epoch)
    assert bucket.tokens == 3
    assert bucket.refund(4, bucket.epoch)
    assert bucket.tokens == 5
    old = bucket.epoch
    bucket.freeze(0, 1)
    assert not bucket.refund(4, old)
    assert bucket.tokens == 0


def test_a_refund_never_takes_away_what_a_late_timer_kept() -> None:
    """Tokens just above the burst stay; giving back cannot cost."""
    bucket = Bucket(20, 1, 0)
    bucket.advance(0)
    bucket.advance(0.06, waited=True)
    bucket.refund(1, 0)
    assert bucket.tokens == pytest.approx(1.2)


def test_a_batch_is_five_milliseconds_half_a_burst_or_what_is_queued() -> None:
    """One timer serves a few milliseconds of rate, never more than somebody asked for."""
    assert Bucket(10_000).batch(1000) == 50
    assert Bucket(10_000).batch(3) == 3
    assert Bucket(10_000, 20).batch(1000) == 10


@given(
    st.floats(0.01, 1e5), st.floats(1, 1000), st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 50)
)
def test_after_the_wait_the_permits_are_there(
    rate: float, burst: float, share: float, start: float, frozen: float
) -> None:
    """`wait` keeps its word: not a moment later than it said, and hardly one before."""
    n = max(share * burst, 0.01)
    bucket = Bucket(rate, burst, 0)
    bucket.freeze(start, frozen)
    wait = bucket.wait(start, n)
    if wait > 1e-3:
        assert not bucket.take(start + wait * 0.999 - 1e-6, n + 1e-5)
    assert bucket.take(start + wait + 1e-8, n, waited=True)


class BucketMachine(RuleBasedStateMachine):
    """Any sequence of operations at any times; every window of time is checked for its bound."""

    @initialize(
        rate=st.floats(0.1, 1000), burst=st.floats(1, 50), share=st.floats(0, 1), data=st.data()
    )
    def build(self, rate: float, burst: float, share: float, data: Any) -> None:
        self.bucket = Bucket(rate, burst, burst * share)
        self.now = data.draw(st.sampled_from([0.0, 1e6]), label="clock starts at")
        self.bucket.advance(self.now)
        self.level_at_start = self.bucket.tokens
        self.largest = burst
        self.earned = 0.0  # the most that the configured rate can have earned
        self.log: list[tuple[float, float, float]] = []  # earned so far, net taken, largest burst
        self.permits: list[tuple[float, int]] = []
        self.net = 0.0
        self.frozen_until = -math.inf

    @rule(seconds=st.floats(0, 3) | st.sampled_from([0.0, 0.001, 60.0]), waited=st.booleans())
    def pass_time(self, seconds: float, waited: bool) -> None:
        open_from = max(self.now, self.frozen_until)
        self.now += seconds
        self.earned += self.bucket.rate * max(0.0, self.now - open_from)
        self.bucket.advance(self.now, waited=waited)

    @rule(share=st.floats(0.01, 1.0))
    def take(self, share: float) -> None:
        n = share * self.bucket.burst
        wait = self.bucket.wait(self.now, n)
        taken = self.bucket.take(self.now, n)
        assert taken == (wait == 0)
        if taken:
            assert self.now >= self.frozen_until
            self._note(n)
            self.permits.append((n, self.bucket.epoch))

    @precondition(lambda self: self.permits)
    @rule(data=st.data())
    def give_back(self, data: Any) -> None:
        n, epoch = self.permits.pop(data.draw(st.integers(0, len(self.permits) - 1)))
        before = self.bucket.tokens
        worth = self.bucket.refund(n, epoch)
        assert worth == (epoch == self.bucket.epoch)
        back = self.bucket.tokens - before
        assert 0 <= back <= (n if worth else 0) + EPSILON
        self._note(-back)

    @rule(seconds=st.floats(0, 200))
    def freeze(self, seconds: float) -> None:
        self.bucket.freeze(self.now, seconds)
        self._froze(seconds)

    @rule(retry_after=st.none() | st.floats(-1, 5))
    def throttle(self, retry_after: float | None) -> None:
        before = self.bucket.brake.level
        self.bucket.throttle(self.now, retry_after)
        assert self.bucket.brake.level >= before * 0.7 * (1 - 1e-9)
        self._froze(1.0 if retry_after is None or retry_after < 0 else retry_after)

    def _froze(self, seconds: float) -> None:
        until = self.now + min(seconds, 120.0)
        if until > self.now:
            self.frozen_until = max(self.frozen_until, until)

    @rule(rate=st.floats(0, 1000), burst=st.none() | st.floats(1, 50))
    def set_rate(self, rate: float, burst: float | None) -> None:
        self.bucket.set_rate(self.now, rate, burst)
        self.largest = max(self.largest, self.bucket.burst)

    @rule(back=st.floats(0, 1e4))
    def step_back(self, back: float) -> None:
        before = self.bucket.tokens
        self.now -= back
        self.frozen_until -= back
        self.bucket.advance(self.now)
        assert self.bucket.tokens <= before + EPSILON

    def _note(self, n: float) -> None:
        self.net += n
        self.log.append((self.earned, self.net, n))

    def _rounding(self) -> float:
        return 1e-6 * (1 + self.earned + len(self.log))

    @invariant()
    def no_window_of_time_grants_more_than_rate_times_time_plus_burst(self) -> None:
        # For every window from just before one entry to just after another: what was taken in it
        # (less what came back) against what was earned in it, the burst, and the half permit that
        # a late timer may keep. The lowest start seen so far makes it one pass over all windows.
        lowest = math.inf
        for earned, net, n in self.log:
            lowest = min(lowest, net - n - earned)
            assert (net - earned) - lowest <= self.largest + 0.5 + self._rounding()

    @invariant()
    def tokens_add_up(self) -> None:
        assert self.bucket.tokens <= self.level_at_start + self.earned - self.net + self._rounding()
        assert self.bucket.tokens <= self.bucket.cap + 0.5
        assert self.bucket.brake.level <= self.bucket.rate

    @invariant()
    def frozen_as_long_as_asked(self) -> None:
        assert self.bucket.frozen_for(self.now) == pytest.approx(
            max(0.0, self.frozen_until - self.now), abs=1e-6
        )


TestBucketMachine = BucketMachine.TestCase
TestBucketMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
