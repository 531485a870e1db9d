"""Bulk in memory: lazy, bounded, as completed, and honest about every single message."""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aldeamo_async import (
    ApiError,
    DeliveryUnknown,
    NotSent,
    Outcome,
    Outgoing,
    Rejected,
    RetryPolicy,
    Sent,
    TokenBucket,
    Unknown,
    UsageError,
)
from aldeamo_async.transports import LaneTransport
from support.clients import (
    MAYBE,
    UNSENT,
    Carrier,
    drain,
    later,
    messages,
    no,
    opened,
    scripted,
    slowly,
    taking,
    unbraked,
    yes,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aldeamo_async.transports import Exchange, WireRequest


class Watched:
    """An iterable that counts what was taken from it."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items
        self.taken = 0

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            self.taken += 1
            yield item


async def settle() -> None:
    """Let every task run until it waits, without any virtual time passing."""
    for _ in range(20):
        await checkpoint()


async def test_every_message_has_one_outcome() -> None:
    """Each of the three outcomes comes out with its own message, and nothing is raised."""

    def act(number: int, _: WireRequest) -> Exchange:
        return (yes(number), no(), MAYBE)[number % 3]

    async with opened(Carrier(act)) as client:
        found: dict[str, Outcome] = {}
        async with client.send_many(messages(30), concurrency=1) as outcomes:
            async for outcome in outcomes:
                found[outcome.outgoing.text] = outcome
        assert outcomes.taken == 30
        stats = client.stats()
    assert [type(found[f"Hola {n}"]) for n in range(30)] == [Sent, Rejected, Unknown] * 10
    assert (stats.sent, stats.rejected, stats.unknown, stats.in_flight) == (10, 10, 10, 0)


async def test_each_outcome_explains_itself() -> None:
    """Receipts, errors and histories stand on the outcomes."""
    async with (
        opened(scripted(yes(5), no(9), MAYBE)) as client,
        client.send_many(messages(3), concurrency=1) as outcomes,
    ):
        sent, rejected, unknown = [outcome async for outcome in outcomes]
    assert isinstance(sent, Sent)
    assert sent.receipt.message_id == "5"
    assert isinstance(rejected, Rejected)
    assert isinstance(rejected.error, ApiError)
    assert rejected.error.code == 9
    assert isinstance(unknown, Unknown)
    assert isinstance(unknown.error, DeliveryUnknown)
    assert [len(outcome.attempts) for outcome in (sent, rejected, unknown)] == [1, 1, 1]


async def test_outcomes_come_as_they_complete() -> None:
    """A quick message overtakes a slow one that started before it."""

    async def act(number: int) -> Exchange:
        await anyio.sleep((3, 1, 2)[number])
        return yes()

    async with (
        opened(Carrier(lambda number, _: act(number))) as client,
        client.send_many(messages(3)) as outcomes,
    ):
        texts = [outcome.outgoing.text async for outcome in outcomes]
    first, second, third = sorted(texts, key=texts.index)
    assert (first, second, third) != ("Hola 0", "Hola 1", "Hola 2")
    assert len(set(texts)) == 3


@pytest.mark.parametrize("concurrency", [1, 7, 50])
async def test_never_more_in_flight_than_allowed(concurrency: int) -> None:
    """`concurrency` is a bound, and it is used in full."""
    carrier = taking(1)
    async with (
        opened(carrier) as client,
        client.send_many(messages(200), concurrency=concurrency) as outcomes,
    ):
        assert len([outcome async for outcome in outcomes]) == 200
    assert carrier.most == concurrency


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True, "3", None])
async def test_a_concurrency_that_is_no_number_is_refused(concurrency: Any) -> None:
    """`concurrency` is a whole number above 0, said before anything is taken."""
    source = Watched(messages(3))
    async with opened(scripted()) as client:
        with pytest.raises(UsageError, match="concurrency"):
            client.send_many(source, concurrency=concurrency)
    assert source.taken == 0


@pytest.mark.parametrize("source", [5, None, "Hola", b"Hola", {"channel": "sms"}])
async def test_a_source_that_is_none_is_refused(source: Any) -> None:
    """A text, a mapping or a lone value is no source, and the error says so."""
    async with opened(scripted()) as client:
        with pytest.raises(UsageError, match="iterable or async iterable"):
            client.send_many(source)


# ── lazy ──


async def test_nothing_is_taken_before_the_run_is_opened() -> None:
    """`send_many` alone takes nothing."""
    source = Watched(messages(3))
    async with opened(scripted()) as client:
        client.send_many(source)
        await settle()
    assert source.taken == 0


async def test_the_source_is_read_no_further_than_there_are_workers() -> None:
    """While none of the messages is answered, no more than `concurrency` were taken."""
    source = Watched(messages(1000))
    async with (
        opened(taking(10)) as client,
        client.send_many(source, concurrency=5) as outcomes,
    ):
        await settle()
        assert source.taken == outcomes.taken == 5


async def test_an_async_source_is_not_read_ahead_either() -> None:
    """The same holds for a source that is awaited."""
    asked = 0

    async def source() -> AsyncIterator[Outgoing]:
        nonlocal asked
        for outgoing in messages(1000):
            asked += 1
            yield outgoing

    async with (
        opened(taking(10)) as client,
        client.send_many(source(), concurrency=5) as outcomes,
    ):
        await settle()
        assert asked == outcomes.taken == 5


async def test_a_slow_reader_holds_the_run_back() -> None:
    """What is not fetched fills a buffer of `concurrency`, then the workers; then nothing moves."""
    source = Watched(messages(1000))
    async with (
        opened(scripted()) as client,
        client.send_many(source, concurrency=5) as outcomes,
    ):
        await anyio.sleep(3600)
        assert source.taken == 10
        assert client.stats().sent == 10
        async for _ in outcomes:
            break
        await settle()
        assert source.taken <= 12


async def test_a_reader_that_never_reads_can_leave() -> None:
    """Nobody has to iterate: leaving ends the run."""
    source = Watched(messages(1000))
    async with opened(scripted()) as client:
        async with client.send_many(source, concurrency=5):
            await anyio.sleep(1)
        assert client.stats().in_flight == 0
    assert source.taken == 10


async def test_outcomes_are_not_kept() -> None:
    """A message that was reported is let go of."""
    alive: weakref.WeakSet[Tracked] = weakref.WeakSet()
    most = 0
    carrier = scripted()
    async with opened(carrier) as client:
        source = (_tracked(alive, number) for number in range(300))
        async with client.send_many(source, concurrency=4) as outcomes:
            async for outcome in outcomes:
                del outcome
                carrier.requests.clear()
                most = max(most, len(alive))
    assert most <= 3 * 4


class Tracked(str):
    """A text that a weak set can see."""

    __slots__ = ("__weakref__",)


def _tracked(alive: weakref.WeakSet[Tracked], number: int) -> Outgoing:
    text = Tracked(f"Hola {number}")
    alive.add(text)
    return Outgoing("sms", "573000000001", text)


# ── bad rows and bad sources ──


async def test_a_bad_row_is_rejected_and_the_rest_goes_on() -> None:
    """Rows of the wrong type or with wrong fields are outcomes like any other, without I/O."""
    good = list(messages(2))
    bad: list[Any] = [
        None,
        {"channel": "sms"},
        ("sms", "573000000001", "Hola"),
        "Hola",
        5,
        Outgoing("pigeon", "573000000001", "Hola"),
        Outgoing("sms", 5.0, "Hola"),  # type: ignore[arg-type]
        Outgoing("sms", "Ana", "Hola"),
        Outgoing("sms", "573000000001", ""),
        Outgoing("sms", "573000000001", "\ud800"),
    ]
    carrier = scripted()
    async with opened(carrier, limiter=TokenBucket(1000)) as client:
        async with client.send_many([good[0], *bad, good[1]], concurrency=3) as outcomes:
            found = [outcome async for outcome in outcomes]
        limiter = client.stats().limiter
    assert sum(isinstance(outcome, Sent) for outcome in found) == 2
    rejected = [outcome for outcome in found if isinstance(outcome, Rejected)]
    assert len(rejected) == len(bad)
    for outcome in rejected:
        assert isinstance(outcome.error, UsageError)
        assert outcome.attempts == ()
        assert outcome.error.__traceback__ is None
        assert outcome.error.__context__ is None
    assert len(carrier.requests) == 2
    assert limiter.granted - limiter.refunded == 2


@pytest.mark.parametrize("ordered", [False, True])
async def test_bad_rows_alone_are_all_reported(ordered: bool) -> None:
    """A run of nothing but mistakes ends with an outcome for each."""
    rows: list[Any] = [None] * 50
    async with (
        opened(scripted()) as client,
        client.send_many(rows, concurrency=4, ordered=ordered) as outcomes,
    ):
        assert len([outcome async for outcome in outcomes]) == 50


async def test_a_message_that_the_transport_cannot_carry_is_rejected_alone() -> None:
    """What a transport refuses before any I/O is one rejected row, and its permit comes back."""

    def act(number: int, _: WireRequest) -> Exchange:
        if number == 1:
            raise UsageError("The URL is too long. Nothing was sent.")
        return yes()

    async with opened(Carrier(act), limiter=TokenBucket(1000)) as client:
        async with client.send_many(messages(3), concurrency=1) as outcomes:
            found = [outcome async for outcome in outcomes]
        stats = client.stats()
    assert [type(outcome) for outcome in found] == [Sent, Rejected, Sent]
    assert stats.limiter.granted - stats.limiter.refunded == 2
    assert (stats.rejected, stats.cancelled) == (1, 0)


async def test_a_transport_s_refusal_keeps_the_attempts_before_it() -> None:
    """A message refused on its second attempt still shows the first."""

    def act(number: int, _: WireRequest) -> Exchange:
        if number == 1:
            raise UsageError("This transport is closed. Nothing was sent.")
        return UNSENT

    async with opened(Carrier(act)) as client:
        with pytest.raises(UsageError, match="closed") as caught:
            await client.send("sms", "573000000001", "Hola")
    assert len(caught.value.attempts) == 1


def failing(after: int) -> Iterator[Outgoing]:
    yield from messages(after)
    raise OSError("the disk is gone")


async def failing_slowly(after: int) -> AsyncIterator[Outgoing]:
    for outgoing in messages(after):
        await anyio.sleep(0.1)
        yield outgoing
    raise OSError("the disk is gone")


@pytest.mark.parametrize("make_source", [failing, failing_slowly])
@pytest.mark.parametrize("concurrency", [1, 4, 100])
async def test_a_source_that_fails_is_reported_last(make_source: Any, concurrency: int) -> None:
    """Everything that was taken has its outcome first; then the source's own error comes."""
    found: list[Outcome] = []
    async with (
        opened(taking(1)) as client,
        client.send_many(make_source(10), concurrency=concurrency) as outcomes,
    ):
        with pytest.raises(OSError, match="the disk is gone"):
            await drain(outcomes, found)
        assert [outcome async for outcome in outcomes] == []
    assert len(found) == 10
    assert all(isinstance(outcome, Sent) for outcome in found)


async def test_a_source_whose_iterator_fails_is_reported() -> None:
    """An async iterable that cannot even begin raises its own error to the reader."""

    class Broken:
        def __aiter__(self) -> Any:
            raise OSError("no file")

    async with opened(scripted()) as client, client.send_many(Broken()) as outcomes:
        with pytest.raises(OSError, match="no file"):
            await anext(outcomes)


async def test_a_source_that_fails_to_close_is_reported() -> None:
    """An error of an async source's own clean-up is not lost."""

    async def source() -> AsyncIterator[Outgoing]:
        try:
            for outgoing in messages(100):
                yield outgoing
        finally:
            raise OSError("cannot close")

    async with (
        opened(taking(1)) as client,
        client.send_many(source(), concurrency=2) as outcomes,
    ):
        await anext(outcomes)
        outcomes.stop()
        with pytest.raises(OSError, match="cannot close"):
            await drain(outcomes)


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_programming_error_ends_the_run_after_the_others(ordered: bool) -> None:
    """A bug below stops the taking; what was taken is still sent, and the bug is raised last."""

    def act(number: int, _: WireRequest) -> Exchange:
        if number == 3:
            raise TypeError("a bug")
        return yes()

    source = Watched(messages(1000, clients=2))
    found: list[Outcome] = []
    async with opened(Carrier(act)) as client:
        async with client.send_many(source, concurrency=2, ordered=ordered) as outcomes:
            with pytest.raises(TypeError, match="a bug"):
                await drain(outcomes, found)
        assert client.stats().in_flight == 0
    assert len(found) == source.taken - 1
    assert source.taken < 100


async def test_the_first_of_several_bugs_is_the_one_raised() -> None:
    """Later ones are most often the same; none hides the first."""

    async def act(number: int) -> Exchange:
        await anyio.sleep(1 + number)
        raise TypeError(f"bug {number}")

    async with (
        opened(Carrier(lambda number, _: act(number))) as client,
        client.send_many(messages(100), concurrency=3) as outcomes,
    ):
        with pytest.raises(TypeError, match="bug 0"):
            await drain(outcomes)
        assert [outcome async for outcome in outcomes] == []


async def test_a_limiter_that_fails_ends_the_run() -> None:
    """An error of a limiter is the run's, not a hang."""

    class Broken(TokenBucket):
        def try_acquire(self, n: float = 1) -> Any:
            raise RuntimeError("no store")

    async with (
        opened(scripted(), limiter=Broken(1)) as client,
        client.send_many(messages(3)) as outcomes,
    ):
        with pytest.raises(RuntimeError, match="no store"):
            await anext(outcomes)


# ── async and slow sources ──


async def test_a_slow_source_is_waited_for() -> None:
    """Messages go out as the source makes them."""
    carrier = scripted()
    async with opened(carrier) as client, client.send_many(slowly(4, 10)) as outcomes:
        assert len([outcome async for outcome in outcomes]) == 4
    assert carrier.times == [10, 20, 30, 40]


async def test_an_async_source_may_hold_scopes_open_between_its_items() -> None:
    """A source with a task group and a time-out around its items runs in one task, start to end."""
    closed = []

    async def source() -> AsyncIterator[Outgoing]:
        with anyio.fail_after(1000):
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                for outgoing in messages(20):
                    await anyio.sleep(1)
                    yield outgoing
                group.cancel_scope.cancel()
        closed.append(anyio.get_current_task().id)

    async with (
        opened(taking(2)) as client,
        client.send_many(source(), concurrency=3) as outcomes,
    ):
        assert len([outcome async for outcome in outcomes]) == 20
    assert len(closed) == 1


async def test_an_async_generator_is_closed_when_the_run_is_left() -> None:
    """Its clean-up runs at once, not whenever the garbage collector comes by."""
    closed = []

    async def source() -> AsyncIterator[Outgoing]:
        try:
            for outgoing in messages(1000):
                yield outgoing
        finally:
            closed.append(True)

    async with opened(taking(1)) as client:
        async with client.send_many(source(), concurrency=3) as outcomes:
            async for _ in outcomes:
                break
        assert closed == [True]


async def test_an_async_iterator_that_is_no_generator_serves() -> None:
    """Any async iterable will do; only generators are closed."""
    put, get = anyio.create_memory_object_stream[Outgoing](10)
    for outgoing in messages(5):
        put.send_nowait(outgoing)
    put.close()
    async with opened(scripted()) as client, client.send_many(get, concurrency=2) as outcomes:
        assert len([outcome async for outcome in outcomes]) == 5
    get.close()


# ── stop and leave ──


async def test_stop_takes_no_more_and_finishes_what_was_taken() -> None:
    """After `stop()` the rest of the outcomes come, and then the end."""
    source = Watched(messages(1000))
    async with opened(taking(1)) as client, client.send_many(source, concurrency=5) as outcomes:
        await anext(outcomes)
        taken = source.taken
        outcomes.stop()
        outcomes.stop()
        rest = [outcome async for outcome in outcomes]
    assert source.taken == taken == outcomes.taken
    assert len(rest) == taken - 1


async def test_stop_ends_the_wait_for_a_source_that_hangs() -> None:
    """A source that brings nothing more does not hold the end of the run."""

    async def source() -> AsyncIterator[Outgoing]:
        for outgoing in messages(3):
            yield outgoing
        await anyio.sleep_forever()

    async with opened(scripted()) as client:
        with anyio.fail_after(60):
            async with client.send_many(source()) as outcomes:
                for _ in range(3):
                    await anext(outcomes)
                outcomes.stop()
                assert [outcome async for outcome in outcomes] == []


async def test_stop_lets_a_source_that_waits_clean_up_in_peace() -> None:
    """A source that is not being awaited is closed, not cancelled: its clean-up may wait."""
    closed = []

    async def source() -> AsyncIterator[Outgoing]:
        try:
            for outgoing in messages(1000):
                yield outgoing
        finally:
            await anyio.sleep(5)
            closed.append(anyio.current_time())

    async with (
        opened(taking(1)) as client,
        client.send_many(source(), concurrency=2) as outcomes,
    ):
        await anext(outcomes)
        outcomes.stop()
        assert [type(outcome) async for outcome in outcomes] == [Sent] * (outcomes.taken - 1)
    assert len(closed) == 1


async def test_stop_while_the_limiter_is_frozen_still_sends_what_was_taken() -> None:
    """A message that was taken waits out the freeze; nothing more is taken."""
    source = Watched(messages(1000))
    async with opened(scripted(), limiter=TokenBucket(1000)) as client:
        client._engine.limiter.freeze(50)
        async with client.send_many(source, concurrency=5) as outcomes:
            await settle()
            outcomes.stop()
            found = [outcome async for outcome in outcomes]
        assert anyio.current_time() >= 50
    assert len(found) == source.taken == 1


async def test_stop_before_the_run_is_opened_ends_it_at_once() -> None:
    """A run that was stopped first takes nothing, from either kind of source."""
    source = Watched(messages(3))
    async with opened(scripted()) as client:
        for stopped in (client.send_many(source), client.send_many(slowly(3, 1))):
            stopped.stop()
            async with stopped as outcomes:
                assert [outcome async for outcome in outcomes] == []
    assert source.taken == 0


@pytest.mark.parametrize("make_source", [messages, lambda count: slowly(count, 0.5)])
async def test_leaving_early_cancels_what_is_in_flight(
    make_source: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A break ends the run at once; what was on the wire is logged as maybe delivered."""
    carrier = taking(100)
    quick = Carrier(
        lambda number, request: carrier._act(number, request) if 0 < number < 5 else yes()
    )
    caplog.set_level(logging.WARNING, "aldeamo_async")
    async with opened(quick) as client:
        async with client.send_many(make_source(1000), concurrency=4) as outcomes:
            async for _ in outcomes:
                await anyio.sleep(10)
                break
        assert anyio.current_time() < 20
        assert quick.in_flight == 0
        stats = client.stats()
        assert (stats.in_flight, stats.cancelled) == (0, 4)
        await client.send("web", "573000000001", "Hola")
    cut_off = [r for r in caplog.records if "may have been delivered" in r.getMessage()]
    assert len(cut_off) == 4


async def test_an_error_in_the_body_goes_on_as_it_is() -> None:
    """The body's own exception is not wrapped in a group."""
    async with opened(taking(100)) as client:

        async def run() -> None:
            async with client.send_many(messages(1000)):
                await anyio.sleep(1)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await run()
        assert client.stats().in_flight == 0


@pytest.mark.parametrize("ticks", range(40))
async def test_a_cancellation_from_outside_leaves_nothing_behind(ticks: int) -> None:
    """At whatever tick it comes: no task, no permit, no half-open run, and no group."""
    unsent = 0

    async def fail_to_connect() -> Exchange:
        nonlocal unsent
        await checkpoint()
        unsent += 1  # from here on its permit comes back
        return UNSENT

    rest = (later("0"), MAYBE, *[yes()] * 100)
    carrier = Carrier(lambda number, _: rest[number - 1] if number else fail_to_connect())
    limiter = TokenBucket(1000, 1000)
    async with opened(carrier, limiter=limiter, retry=RetryPolicy(wait=lambda _: 0.0)) as client:
        async with anyio.create_task_group() as group:

            async def run() -> None:
                async with client.send_many(messages(50), concurrency=3) as outcomes:
                    await drain(outcomes)

            group.start_soon(run)
            for _ in range(ticks):
                await checkpoint()
            group.cancel_scope.cancel()
        stats = client.stats()
        assert stats.in_flight == carrier.in_flight == 0
        assert stats.limiter.granted - stats.limiter.refunded == len(carrier.requests) - unsent
        async with client.send_many(messages(20), concurrency=3) as outcomes:
            assert len([outcome async for outcome in outcomes]) == 20


async def test_a_run_that_is_left_puts_no_other_message_on_the_wire() -> None:
    """Workers that were about to begin another message begin none."""
    carrier = taking(1)
    async with opened(carrier) as client:
        async with client.send_many(messages(1000), concurrency=10) as outcomes:
            async for _ in outcomes:
                break
            begun = len(carrier.requests)
        await settle()
    assert len(carrier.requests) == begun


async def test_a_permit_that_comes_as_the_run_is_left_is_given_back() -> None:
    """Granted and left in the same moment: nothing goes out, and the permit is there again."""
    carrier = scripted()
    limiter = TokenBucket(1e-9, 1)
    held = limiter.try_acquire()
    assert held is not None
    async with opened(carrier, limiter=limiter) as client:
        async with client.send_many(messages(10), concurrency=3):
            await settle()
            assert limiter.snapshot().waiting == 1
            held.release()
        stats = limiter.snapshot()
    assert carrier.requests == []
    assert (stats.waiting, stats.granted - stats.refunded) == (0, 0)


async def test_outcomes_open_once() -> None:
    """A run is one run; opening it again, or reading it unopened or left, is an error."""
    async with opened(scripted()) as client:
        outcomes = client.send_many(messages(3))
        with pytest.raises(UsageError, match="Open the outcomes first"):
            await anext(outcomes)
        async with outcomes:
            assert aiter(outcomes) is outcomes
        with pytest.raises(UsageError, match="opened before"):
            async with outcomes:
                pass
        with pytest.raises(UsageError, match="were left"):
            await anext(outcomes)


async def test_several_readers_share_one_run() -> None:
    """Each outcome goes to exactly one of them."""
    found: list[str] = []
    async with (
        opened(taking(1)) as client,
        client.send_many(messages(50), concurrency=5) as outcomes,
    ):

        async def read() -> None:
            found.extend([outcome.outgoing.text async for outcome in outcomes])

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(read)
    assert sorted(found) == sorted(f"Hola {n}" for n in range(50))


async def test_closing_the_client_during_a_run_rejects_the_rest() -> None:
    """Over a closed transport every further message is provably unsent."""
    async with opened(LaneTransport(), base_url="http://127.0.0.1:9/bots") as client:
        async with client.send_many(slowly(3, 1)) as outcomes:
            await client.aclose()
            found = [outcome async for outcome in outcomes]
        with pytest.raises(UsageError, match="closed"):
            client.send_many(messages(1))
    assert [type(outcome) for outcome in found] == [Rejected] * 3
    assert all("Nothing was sent" in str(o.error) for o in found if isinstance(o, Rejected))


# ── limiter and deadline ──


async def test_the_limiter_paces_a_run() -> None:
    """Twenty a second are twenty a second, whatever the concurrency."""
    carrier = scripted()
    async with (
        opened(carrier, limiter=TokenBucket(20, 1)) as client,
        client.send_many(messages(101), concurrency=50) as outcomes,
    ):
        assert len([outcome async for outcome in outcomes]) == 101
    assert carrier.times[-1] == pytest.approx(5.0, rel=0.01)


async def test_a_slow_source_hoards_no_permits() -> None:
    """While a source thinks, no permit is held: the next message is not followed by a burst."""
    limiter = TokenBucket(1, 1)

    async def source() -> AsyncIterator[Outgoing]:
        for number, outgoing in enumerate(messages(8)):
            if number == 4:
                assert limiter.snapshot().granted == 4
                await anyio.sleep(100)
            yield outgoing

    carrier = scripted()
    async with (
        opened(carrier, limiter=limiter) as client,
        client.send_many(source(), concurrency=50) as outcomes,
    ):
        assert len([outcome async for outcome in outcomes]) == 8
    gaps = [b - a for a, b in zip(carrier.times, carrier.times[1:], strict=False)]
    assert min(gaps) >= 0.98


async def test_a_message_s_deadline_begins_with_its_permit() -> None:
    """At one a second and two hundred workers nobody is late, though the last waits minutes."""
    async with (
        opened(taking(1), limiter=TokenBucket(1, 1), deadline=5) as client,
        client.send_many(messages(200), concurrency=200) as outcomes,
    ):
        found = [outcome async for outcome in outcomes]
    assert all(isinstance(outcome, Sent) for outcome in found)
    assert anyio.current_time() >= 199


async def test_a_deadline_still_bounds_each_message_of_a_run() -> None:
    """Retries of a message count against its own deadline."""
    policy = RetryPolicy(wait=lambda _: 3.0, budget=10_000)
    carrier = taking(1, *[UNSENT] * 8)
    async with (
        opened(carrier, deadline=4, retry=policy) as client,
        client.send_many(messages(2), concurrency=1) as outcomes,
    ):
        found = [outcome async for outcome in outcomes]
    assert all(isinstance(outcome, Rejected) for outcome in found)
    assert all(isinstance(o.error, NotSent) for o in found if isinstance(o, Rejected))
    assert anyio.current_time() == 2.0


async def test_a_freeze_holds_the_whole_run() -> None:
    """A server's Retry-After stops every message, and none is lost."""
    carrier = scripted(*[yes()] * 10, later("30"))
    async with (
        opened(carrier, limiter=unbraked()) as client,
        client.send_many(messages(40), concurrency=1) as outcomes,
    ):
        found = [outcome async for outcome in outcomes]
    assert all(isinstance(outcome, Sent) for outcome in found)
    assert carrier.times[10:12] == [0.0, pytest.approx(30.0, abs=2)]
