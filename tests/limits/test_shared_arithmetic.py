"""The parts of a shared limit that are plain numbers: slots, offset, appetite, news, outage."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldeamo_async._errors import UsageError
from aldeamo_async.limits._account import LeaseRequest
from aldeamo_async.limits._appetite import Appetite
from aldeamo_async.limits._bucket import Bucket
from aldeamo_async.limits._lease_bucket import LeaseBucket
from aldeamo_async.limits._news import News
from aldeamo_async.limits._offset import Offset
from aldeamo_async.limits._outage import Outage
from aldeamo_async.limits._pace import Pace
from aldeamo_async.limits._shown import shown
from aldeamo_async.limits._slots import Slots

ASK = LeaseRequest(name="a", worker="w", want=1, rate=10.0, burst=1.0)


def slots(*runs: tuple[float, float, float]) -> Slots:
    held = Slots()
    for date, step, n in runs:
        held.add(date, step, n)
    return held


def test_a_slot_is_used_at_its_date_and_not_before() -> None:
    """Each slot of a block comes one step after the one before."""
    held = slots((10.0, 0.5, 3))
    assert held.take(9.99, 1) is None
    assert held.take(10.0, 1) == 10.0
    assert held.take(10.4, 1) is None
    assert held.take(11.0, 2) == 11.0
    assert (held.held, held.used, held.first, held.last) == (0, 3, math.inf, -math.inf)


def test_many_slots_at_once_come_from_several_blocks() -> None:
    """A request for five takes the last two of one block and the first three of the next."""
    held = slots((1.0, 1.0, 2), (10.0, 1.0, 4))
    assert held.due_at(5) == 12.0
    assert held.due_at(7) == math.inf
    assert held.take(11.9, 5) is None
    assert held.take(12.0, 5) == 12.0
    assert held.held == 1


def test_fractions_of_a_slot_add_up() -> None:
    """Half a slot twice is one slot; the next comes a step later."""
    held = slots((1.0, 1.0, 2))
    assert held.take(1.0, 0.5) is not None
    assert held.take(1.5, 0.5) is not None
    assert held.take(1.5, 1) is None
    assert held.take(2.0, 1) == 2.0


def test_what_is_too_old_is_forfeited() -> None:
    """Slots dated before the limit are lost, across blocks, and counted."""
    held = slots((1.0, 1.0, 3), (10.0, 1.0, 3))
    held.expire(2.5)
    assert (held.lost, held.first) == (2, 3.0)
    held.expire(11.0)
    assert (held.lost, held.first, held.held) == (4, 11.0, 2)
    held.clear()
    assert (held.lost, held.held, held.due(99.0)) == (6, 0, 0)


def test_a_slot_that_comes_back_keeps_its_date() -> None:
    """What was taken and returned is due at once, and as old as before."""
    held = slots((1.0, 1.0, 2))
    assert held.take(1.0, 1) == 1.0
    held.put_back(1.0, 1)
    assert (held.due(1.5), held.used) == (1, 0)
    held.expire(1.1)
    assert (held.held, held.first) == (1, 2.0)


@given(st.floats(-1e6, 1e6), st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1))
def test_a_time_of_the_store_is_never_early_and_hardly_late(
    skew: float, ways: list[tuple[float, float]]
) -> None:
    """Whatever the two clocks say, it is late by no more than the quickest round trip."""
    offset, now = Offset(), 1_000.0
    for there, back in ways:
        offset.learn(now, now + there + back, now + there + skew)
        now += there + back
    quickest = min(there + back for there, back in ways)
    late = offset.own(now + skew) - now
    assert -1e-6 <= late <= quickest + 1e-4 * (now - 1_000.0) + 1e-6


def test_the_offset_follows_a_store_whose_clock_was_set() -> None:
    """A clock that jumps is believed at once."""
    offset = Offset()
    offset.learn(10.0, 10.5, 500.0)  # the first one connected
    offset.learn(11.0, 11.1, 900.0)
    assert offset.own(900.0) == pytest.approx(11.1)
    assert offset.way == pytest.approx(0.1)


def test_a_busy_worker_asks_for_twice_as_much_until_it_loses_slots() -> None:
    """1, 2, 4, 8; after a loss what was used, and from then on an eighth more."""
    appetite = Appetite()
    sizes = []
    for _ in range(4):
        appetite.settle(appetite.size, 0, 100)
        sizes.append(appetite.size)
    assert sizes == [2, 4, 8, 16]
    appetite.settle(8, 8, 100)
    assert appetite.size == 8
    appetite.settle(8, 0, 100)
    assert appetite.size == 9
    appetite.settle(1, 0, 100)
    assert appetite.size == 9
    appetite.settle(9, 0, 5)
    assert appetite.size == 5
    appetite.rest()
    assert appetite.size == 1


def test_news_are_told_once_and_kept_when_the_trip_failed() -> None:
    """A freeze and a refusal are in one request; after a failure they are in the next as well."""
    news = News()
    first = news.add_to(ASK, 0.0)
    assert (first.declare, first.freeze, first.refused) == (True, None, None)
    news.told()
    assert not news.pressing
    news.frozen_until, news.refused_at = 20.0, 9.0
    assert news.pressing
    told = news.add_to(ASK, 10.0)
    assert (told.declare, told.freeze, told.refused) == (False, 10.0, 1.0)
    assert not news.pressing
    news.frozen_until = 15.0  # a shorter one came in between
    news.keep()
    again = news.add_to(ASK, 12.0)
    assert (again.freeze, again.refused) == (8.0, 3.0)
    news.keep()
    late = news.add_to(ASK, 30.0)
    assert (late.freeze, late.refused) == (0.0, 21.0)
    news.told()
    assert news.add_to(ASK, 31.0) == ASK
    news.keep()
    news.rate = True
    assert news.pressing


def test_an_outage_leaves_the_careful_share_after_all_slots_are_past() -> None:
    """Four workers at 100/s: 20/s for each, from 0.3 s on, and nobody's burst."""
    outage = Outage(degrade=True)
    assert outage.pacing(0.0) is None
    assert outage.fail(10.0, "gone", 100.0, 4)
    assert not outage.fail(10.1, "still gone", 100.0, 4)
    local = outage.pacing(10.2)
    assert local is not None
    assert local.rate == pytest.approx(20.0)
    assert local.wait(10.2, 1) == pytest.approx(0.1 + 1 / 20)
    assert outage.end(11.0)
    assert not outage.end(11.0)
    assert outage.pacing(10.9) is local
    assert outage.pacing(11.0) is None


@pytest.mark.parametrize(
    ("degrade", "rate", "workers"), [(False, 9, 2), (True, 9, 0), (True, 0, 2)]
)
def test_an_outage_grants_nothing_where_nothing_is_known(
    degrade: bool, rate: float, workers: int
) -> None:
    """Told to stay closed, without ever a look at the store, or while paused: no share at all."""
    outage = Outage(degrade=degrade)
    assert outage.fail(10.0, "gone", rate, workers)
    assert outage.pacing(99.0) is None
    assert outage.end(11.0)


@pytest.mark.parametrize(
    ("rate", "burst", "said"),
    [
        (math.inf, None, "nothing to share"),
        (-1, None, "rate is -1"),
        (math.nan, None, "rate is nan"),
        (True, None, "rate is True"),
        (5, 0.5, "burst is 0.5"),
        (5, -1, "burst is -1"),
    ],
)
def test_a_bad_limit_is_refused(rate: float, burst: float | None, said: str) -> None:
    """Infinite, negative, NaN, `bool`, or a burst below 1: a usage error that names it."""
    with pytest.raises(UsageError, match=said):
        LeaseBucket(rate, burst, adaptive=True, freeze_max=1.0, degrade=True)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("valkey://localhost:6379/0", "valkey://localhost:6379/0"),
        ("redis://:hush@h:1/0?password=hush", "redis://h:1/0"),
        ("postgresql://ana:hush@h/db?password=hush#hush", "postgresql://ana@h/db"),
        ("unix://:hush@/run/v.sock?db=1", "unix:///run/v.sock"),
    ],
)
def test_a_shown_url_holds_no_password(url: str, expected: str) -> None:
    """User, host and path stay; password and options go."""
    assert shown(url) == expected


@pytest.mark.parametrize("url", ["valkey://:hush@h:port/0", "redis://:hush@[::1/0"])
def test_a_broken_url_is_refused_without_being_quoted(url: str) -> None:
    """What cannot be taken apart may hold the password anywhere."""
    with pytest.raises(UsageError, match="makes no sense") as caught:
        shown(url)
    assert "hush" not in str(caught.value)
    assert caught.value.__context__ is None


def test_both_arithmetics_have_all_that_a_line_needs() -> None:
    """The bucket of one process and the slots of a shared limit are paces; a number is none."""
    shared = LeaseBucket(5, None, adaptive=True, freeze_max=1.0, degrade=True)
    assert isinstance(Bucket(5), Pace)
    assert isinstance(shared, Pace)
    assert not isinstance(5, Pace)
    shared.slots.add(10.0, 0.2, 3)
    shared.advance(10.0)
    assert shared.tokens == 1
    shared.advance(12.0, waited=True)
    assert shared.tokens == 0
