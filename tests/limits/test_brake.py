"""The adaptive brake and the meter, as plain arithmetic."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldeamo_async.limits._brake import Brake, Meter

rates = st.floats(0.01, 1e6)
spans = st.floats(0.0, 1e4)


def braked(top: float, *bases: float) -> Brake:
    brake = Brake(top)
    for base in bases:
        brake.cut(base)
    return brake


def test_a_brake_that_is_off_earns_the_configured_rate() -> None:
    """Before the first cut the effective rate is the ceiling."""
    brake = Brake(50)
    assert brake.level == 50
    assert brake.run(2) == 100
    assert brake.time_for(25) == 0.5


def test_a_cut_leaves_seven_tenths_and_one_percent_of_the_ceiling_comes_back_each_second() -> None:
    """The level after a cut of 100/s is 70/s, and 75/s five seconds later."""
    brake = braked(100, 100)
    assert brake.level == pytest.approx(70)
    assert brake.run(5) == pytest.approx(70 * 5 + 0.5 * 1 * 25)
    assert brake.level == pytest.approx(75)


def test_the_climb_ends_at_the_ceiling() -> None:
    """Thirty seconds after a cut the brake is off again, and earns exactly the ceiling."""
    brake = braked(100, 100)
    assert brake.run(40) == pytest.approx(85 * 30 + 100 * 10)
    assert brake.level == 100


def test_an_unlimited_rate_is_unlimited_until_a_cut_gives_it_a_number() -> None:
    """An infinite ceiling earns without end; after a cut it climbs by 1 % of what was refused."""
    brake = Brake(math.inf)
    assert brake.run(0) == math.inf
    assert brake.time_for(1e9) == 0
    brake.cut(1000)
    assert brake.level == pytest.approx(700)
    brake.run(100)
    assert brake.level == pytest.approx(700 + 100 * 10)


def test_an_unlimited_rate_that_was_cut_to_almost_nothing_climbs_by_half_a_permit_a_second() -> (
    None
):
    """One refused call in a quiet minute must not cost the next hour."""
    brake = braked(math.inf, 1)
    brake.run(10)
    assert brake.level == pytest.approx(0.7 + 10 * 0.5)


def test_a_later_cut_at_a_lower_rate_does_not_slow_the_climb() -> None:
    """The pace of the climb is that of the highest rate that was refused."""
    brake = braked(math.inf, 1000, 10)
    brake.run(1)
    assert brake.level == pytest.approx(7 + 10)


def test_a_ceiling_of_zero_earns_nothing_and_never_will() -> None:
    """A paused rate has no finite wait, cut or not."""
    for brake in (Brake(0), braked(0, 0)):
        assert brake.run(1000) == 0
        assert brake.time_for(1) == math.inf


def test_the_smallest_positive_rate_can_be_cut() -> None:
    """A rate that has almost no digits left divides by nothing that is zero."""
    brake = braked(1e-322, 1e-322)
    assert brake.time_for(1) > 0
    assert brake.run(1) >= 0


@given(rates, st.floats(0.001, 1.0), st.lists(spans, min_size=1, max_size=8))
def test_what_is_earned_does_not_depend_on_how_often_one_looks(
    top: float, share: float, parts: list[float]
) -> None:
    """The sum over the parts of a stretch of time is what the whole earns."""
    whole, pieces = braked(top, top * share), braked(top, top * share)
    assert sum(pieces.run(part) for part in parts) == pytest.approx(whole.run(sum(parts)))
    assert pieces.level == pytest.approx(whole.level)


@given(rates, st.floats(0.001, 1.0), st.floats(0.001, 1e6), st.booleans())
def test_time_for_is_the_inverse_of_run(
    base: float, share: float, permits: float, unlimited: bool
) -> None:
    """After the time that so many permits take, exactly so many were earned."""
    brake = braked(math.inf if unlimited else base, base * share)
    assert brake.run(brake.time_for(permits)) == pytest.approx(permits, rel=1e-6)


@given(rates, st.floats(0.001, 1.0), spans)
def test_a_climb_never_earns_more_than_the_ceiling(top: float, share: float, span: float) -> None:
    """Whatever the cut and the time, the ceiling bounds both the level and what is earned."""
    brake = braked(top, top * share)
    assert brake.run(span) <= top * span * (1 + 1e-9)
    assert brake.level <= top


def test_the_meter_tells_the_rate_of_the_last_second() -> None:
    """A steady 100/s measures as 100/s at any moment after the first second."""
    meter = Meter()
    for tick in range(1, 351):
        meter.count(1)
        meter.run(0.01)
        if tick > 100:
            assert meter.rate() == pytest.approx(100, abs=1.01)


def test_the_meter_forgets_what_is_older_than_two_seconds() -> None:
    """After a pause the old traffic no longer counts; within a second it fades."""
    meter = Meter()
    meter.count(60)
    assert meter.rate() == 60
    meter.run(1.5)
    assert meter.rate() == pytest.approx(30)
    meter.run(3)
    assert meter.rate() == 0
