"""What the port promises, of every ledger: the same suite over all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import quote

import anyio
import anyio.lowlevel
import pytest

from aldeamo_async.campaigns import (
    Aside,
    Entry,
    Fleet,
    Ledger,
    MemoryLedger,
    PostgresLedger,
    Resolution,
    Result,
    SqliteLedger,
    State,
    Worker,
    span_of,
)
from aldeamo_async.campaigns._nouns import CHUNK
from support.campaigns import PHONE, HandClock, ServerClock, entries

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import PostgresServer

pytestmark = pytest.mark.real_clock

LEDGERS = ["memory", "sqlite", "postgres"]
ODD_TEXTS = ["nul \0 inside", "¡Hola! 👋🏽", "quotes \" ' \\ and {braces}", "a\r\nb\tc", "\x1f\x7f"]
# Long enough for every lease to run out, short enough to stay in the same day.
LATER_SECONDS = 3600.0

CAMPAIGNS = count(1)

Opened = Callable[[], AbstractAsyncContextManager[Ledger]]


@pytest.fixture(scope="module")
def server_clock(_postgres: PostgresServer) -> Iterator[tuple[str, ServerClock]]:
    """One database for all, in which each test has a campaign of its own, and its clock."""
    with _postgres.database() as name:
        clock = ServerClock(_postgres.url(name))
        yield _postgres.url(name), clock
        clock.close()


@pytest.fixture(params=LEDGERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which ledger a test is about."""
    name: str = request.param
    return name


@pytest.fixture
def clock(kind: str, request: pytest.FixtureRequest) -> HandClock:
    """The clock of the ledger."""
    return request.getfixturevalue("server_clock")[1] if kind == "postgres" else HandClock()


@pytest.fixture
def make(
    kind: str, clock: HandClock, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[], Ledger]:
    """Makes a ledger, of one and the same campaign."""
    if kind == "memory":
        memory = MemoryLedger(clock=clock)
        return lambda: memory
    if kind == "sqlite":
        return lambda: SqliteLedger(tmp_path / "promo.db", clock=clock)
    url, _ = request.getfixturevalue("server_clock")
    name = f"promo {next(CAMPAIGNS)}"
    return lambda: PostgresLedger(f"{url}&campaign={quote(name)}")


@pytest.fixture
def opened(make: Callable[[], Ledger]) -> Opened:
    """Opens one and the same ledger, one time after the other."""
    ledger = make()

    @asynccontextmanager
    async def open_it() -> AsyncIterator[Ledger]:
        await ledger.open()
        try:
            yield ledger
        finally:
            await ledger.aclose()

    return open_it


@pytest.fixture
async def both(make: Callable[[], Ledger]) -> AsyncIterator[tuple[Ledger, Ledger]]:
    """The same campaign, opened twice at the same time, as two machines do."""
    first, second = make(), make()
    await first.open()
    await second.open()
    yield first, second
    await first.aclose()
    await second.aclose()


async def states(ledger: Ledger) -> dict[str, int]:
    counts = await ledger.counts()
    return {str(state): number for state, number in counts.states.items() if number}


async def sent(ledger: Ledger, token: str, message: int) -> None:
    assert await ledger.mark(token, message)
    await ledger.record(token, Result(message, State.SENT, message_id="32"))


async def test_it_is_a_ledger(opened: Opened) -> None:
    """Each implements the port."""
    async with opened() as ledger:
        assert isinstance(ledger, Ledger)


async def test_what_is_added_comes_back_in_order(opened: Opened) -> None:
    """A claim returns the messages in the order of the input, with their texts untouched."""
    async with opened() as ledger:
        rows = [Entry(n, f"r{n}", "sms", PHONE, text) for n, text in enumerate(ODD_TEXTS, 1)]
        assert (await ledger.add("a.csv", rows)).added == len(rows)
        jobs = await ledger.claim("t1", 100)
        assert [job.outgoing.text for job in jobs] == ODD_TEXTS
        assert [job.outgoing.client_ref for job in jobs] == [row.client_ref for row in rows]
        assert [job.id for job in jobs] == sorted(job.id for job in jobs)
        assert {(job.outgoing.channel, job.outgoing.client_id) for job in jobs} == {("sms", PHONE)}


async def test_the_same_rows_again_add_nothing(opened: Opened) -> None:
    """Loading a file twice leaves one message, and one line, for each row."""
    async with opened() as ledger:
        assert (await ledger.add("a.csv", entries(5))).added == 5
        again = await ledger.add("a.csv", entries(7))
        assert (again.added, again.duplicates, again.conflicts) == (2, 5, ())
        assert len(await ledger.lines(0, 100)) == 7


async def test_a_duplicate_row_is_kept_aside(opened: Opened) -> None:
    """The same message in another row is one message, and two lines of the export."""
    async with opened() as ledger:
        await ledger.add("a.csv", entries(2))
        again = Entry(9, "ref-1", "sms", PHONE, "Hola 1")
        for _ in range(2):
            assert (await ledger.add("a.csv", [again])).duplicates == 1
        lines = await ledger.lines(0, 100)
        assert [(line.line, line.state) for line in lines] == [
            (1, State.PENDING),
            (2, State.PENDING),
            (9, Aside.DUPLICATE),
        ]
        assert "line 1" in lines[-1].detail


async def test_a_reference_names_one_message(opened: Opened) -> None:
    """Another message under a known reference is refused, and reported."""
    async with opened() as ledger:
        await ledger.add("a.csv", entries(1))
        other = Entry(2, "ref-1", "sms", PHONE, "Adiós")
        added = await ledger.add("a.csv", [other, *entries(1, start=3)])
        assert (added.added, added.duplicates, added.conflicts) == (1, 0, (other,))
        assert (await ledger.counts()).aside[Aside.CONFLICT] == 1
        assert await states(ledger) == {"pending": 2}


async def test_a_bad_row_is_never_claimed(opened: Opened) -> None:
    """A row with a problem is counted and exported, however often it is loaded, but never sent."""
    async with opened() as ledger:
        bad = Entry(1, "x", "sms", "", "", "A client id is empty.")
        for _ in range(2):
            await ledger.add("a.csv", [bad, *entries(1, start=2)])
        assert [job.outgoing.text for job in await ledger.claim("t1", 10)] == ["Hola 2"]
        assert (await ledger.counts()).aside == {
            Aside.INVALID: 1,
            Aside.DUPLICATE: 0,
            Aside.CONFLICT: 0,
        }
        lines = await ledger.lines(0, 10)
        assert [(line.line, line.state, line.detail) for line in lines] == [
            (1, Aside.INVALID, "A client id is empty."),
            (2, State.PENDING, ""),
        ]


async def test_lines_come_in_pages(opened: Opened) -> None:
    """An export reads on after the last id it saw."""
    async with opened() as ledger:
        await ledger.add("a.csv", entries(5))
        first = await ledger.lines(0, 3)
        rest = await ledger.lines(first[-1].id, 3)
        assert [line.line for line in (*first, *rest)] == [1, 2, 3, 4, 5]
        assert {line.source for line in first} == {"a.csv"}


async def test_two_claims_never_share_a_message(opened: Opened) -> None:
    """What one token holds, no other is given."""
    async with opened() as ledger:
        await ledger.add("", entries(5))
        mine = await ledger.claim("t1", 3)
        others = await ledger.claim("t2", 3)
        assert (len(mine), len(others)) == (3, 2)
        assert not {job.id for job in mine} & {job.id for job in others}
        assert await ledger.claim("t3", 3) == []


async def test_what_is_released_can_be_claimed(opened: Opened) -> None:
    """A token that lets go leaves what it did not mark to others."""
    async with opened() as ledger:
        await ledger.add("", entries(3))
        first, *_ = await ledger.claim("t1", 3)
        await ledger.claim("t2", 3)
        await sent(ledger, "t1", first.id)
        await ledger.release("t1")
        assert [job.id for job in await ledger.claim("t3", 3)] == [first.id + 1, first.id + 2]


async def test_only_the_holder_marks_and_only_once(opened: Opened) -> None:
    """A mark is a compare-and-set: of many who try, the one that holds the claim wins, once."""
    async with opened() as ledger:
        await ledger.add("", entries(1))
        (job,) = await ledger.claim("t1", 1)
        won: list[str] = []

        async def attempt(token: str) -> None:
            if await ledger.mark(token, job.id):
                won.append(token)

        async with anyio.create_task_group() as tasks:
            for token in ("t2", "t3", "t1", "t1"):  # the holder comes third, in a later batch
                tasks.start_soon(attempt, token)
        assert won == ["t1"]
        assert await states(ledger) == {"attempting": 1}


async def test_many_marks_and_results_at_once(opened: Opened) -> None:
    """Concurrent writers all get their own answer."""
    async with opened() as ledger:
        await ledger.add("", entries(50))
        jobs = await ledger.claim("t1", 50)
        async with anyio.create_task_group() as tasks:
            for job in jobs:
                tasks.start_soon(sent, ledger, "t1", job.id)
        assert await states(ledger) == {"sent": 50}


@pytest.mark.parametrize("state", [State.SENT, State.REJECTED, State.UNKNOWN])
async def test_a_result_stays(opened: Opened, clock: HandClock, state: State) -> None:
    """A result is on record with all its values after the ledger was opened anew."""
    async with opened() as ledger:
        await ledger.add("", entries(1))
        (job,) = await ledger.claim("t1", 1)
        await ledger.mark("t1", job.id)
        odd = "half a pair \ud83d"
        await ledger.record("t1", Result(job.id, state, 3, "ApiError 7", odd, "32"))
    async with opened() as ledger:
        (line,) = await ledger.lines(0, 1)
        assert (line.state, line.attempts, line.reason, line.message_id) == (
            state,
            3,
            "ApiError 7",
            "32",
        )
        assert line.detail.startswith("half a pair")
        assert line.updated == clock.now
        assert (await ledger.counts()).reasons == {state: {"ApiError 7": 1}}


async def test_a_result_needs_the_token_that_marked(opened: Opened) -> None:
    """A result of anybody else changes nothing."""
    async with opened() as ledger:
        await ledger.add("", entries(2))
        first, second = await ledger.claim("t1", 2)
        await ledger.mark("t1", first.id)
        await ledger.record("t2", Result(first.id, State.SENT))
        await ledger.record("t1", Result(second.id, State.SENT))
        assert await states(ledger) == {"pending": 1, "attempting": 1}


async def test_refused_for_now_comes_up_later(opened: Opened, clock: HandClock) -> None:
    """A message that goes back to pending is due after its delay, and not before."""
    async with opened() as ledger:
        await ledger.add("", entries(1))
        (job,) = await ledger.claim("t1", 1)
        await ledger.mark("t1", job.id)
        await ledger.record("t1", Result(job.id, State.PENDING, 2, "RateLimited", delay=20.0))
        assert await ledger.claim("t1", 1) == []
        assert await ledger.next_due() == 20.0
        clock.now += 20.0
        (again,) = await ledger.claim("t1", 1)
        assert (again.id, again.attempts) == (job.id, 2)


async def test_what_is_put_off_comes_up_later(opened: Opened, clock: HandClock) -> None:
    """A claimed message can be given back until later, by its holder alone."""
    async with opened() as ledger:
        await ledger.add("", entries(2))
        first, second = await ledger.claim("t1", 2)
        await ledger.put_off("t2", [first.id], 5.0)
        await ledger.put_off("t1", [second.id], 5.0)
        assert not await ledger.mark("t1", second.id)
        assert await ledger.mark("t1", first.id)
        clock.now += 5.0
        assert [job.id for job in await ledger.claim("t1", 2)] == [second.id]


async def test_a_message_given_back_unsent_has_no_attempt(opened: Opened) -> None:
    """A mark that nothing followed is taken back, count and all."""
    async with opened() as ledger:
        await ledger.add("", entries(1))
        (job,) = await ledger.claim("t1", 1)
        await ledger.mark("t1", job.id)
        await ledger.record("t1", Result(job.id, State.PENDING, attempts=0))
        assert (await ledger.claim("t1", 1))[0].attempts == 0


async def test_next_due_of_an_empty_ledger(opened: Opened) -> None:
    """Nothing pending is never due; something pending is due at once."""
    async with opened() as ledger:
        assert await ledger.next_due() is None
        await ledger.add("", entries(1))
        assert await ledger.next_due() == 0.0
        (job,) = await ledger.claim("t1", 1)
        await sent(ledger, "t1", job.id)
        assert await ledger.next_due() is None


async def test_the_marks_of_the_dead_become_unknown(opened: Opened, clock: HandClock) -> None:
    """What a dead run had marked is unknown; what it had only claimed is free."""
    async with opened() as ledger:
        await ledger.add("", entries(3))
        first, *_ = await ledger.claim("t1", 3)
        await ledger.mark("t1", first.id)
    clock.now += LATER_SECONDS
    ledger_again = opened()
    async with ledger_again as ledger:
        await ledger.release("t1")
        assert await ledger.take_over("t2") == 1
        assert await ledger.take_over("t2") == 0
        assert await states(ledger) == {"pending": 2, "unknown": 1}
        assert (await ledger.counts()).reasons == {State.UNKNOWN: {"interrupted": 1}}
        assert len(await ledger.claim("t2", 3)) == 2


async def test_my_own_marks_are_not_taken_over(opened: Opened, clock: HandClock) -> None:
    """A takeover leaves alone what its own token marked."""
    async with opened() as ledger:
        await ledger.add("", entries(1))
        (job,) = await ledger.claim("t1", 1)
        await ledger.mark("t1", job.id)
        clock.now += LATER_SECONDS
        assert await ledger.take_over("t1") == 0


async def test_one_who_comes_back_settles_its_own_unknown(opened: Opened, clock: HandClock) -> None:
    """A run that was only asleep still knows the fate of what was taken from it."""
    async with opened() as ledger:
        await ledger.add("", entries(1))
        (job,) = await ledger.claim("t1", 1)
        await ledger.mark("t1", job.id)
        clock.now += LATER_SECONDS
        await ledger.take_over("t2")
        await ledger.record("t1", Result(job.id, State.SENT))
        assert await states(ledger) == {"sent": 1}


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [
        (Resolution.HOLD, {"unknown": 2}),
        (Resolution.ASSUME_SENT, {"sent": 2}),
        (Resolution.RESEND, {"pending": 2}),
    ],
)
async def test_all_unknowns_are_settled(
    opened: Opened, resolution: Resolution, expected: dict[str, int]
) -> None:
    """One decision for all, after which late news from a dead run changes nothing."""
    async with opened() as ledger:
        await ledger.add("", entries(3))
        jobs = await ledger.claim("t1", 2)
        for job in jobs:
            await ledger.mark("t1", job.id)
            await ledger.record("t1", Result(job.id, State.UNKNOWN))
        assert await ledger.resolve(resolution) == 2
        assert await states(ledger) == {"pending": 1} | {
            state: number + (state == "pending") for state, number in expected.items()
        }
        if resolution is not Resolution.HOLD:
            await ledger.record("t1", Result(jobs[0].id, State.REJECTED))
            assert "rejected" not in await states(ledger)


async def test_one_unknown_is_settled(opened: Opened) -> None:
    """A decision can be about chosen messages, and only about unknown ones."""
    async with opened() as ledger:
        await ledger.add("", entries(3))
        first, second, third = await ledger.claim("t1", 3)
        for job in (first, second):
            await ledger.mark("t1", job.id)
            await ledger.record("t1", Result(job.id, State.UNKNOWN))
        assert [line.id for line in await ledger.unknowns(0, 10)] == [first.id, second.id]
        assert await ledger.resolve(Resolution.RESEND, [second.id, third.id]) == 1
        assert [line.id for line in await ledger.unknowns(0, 10)] == [first.id]
        assert await ledger.unknowns(first.id, 10) == []
        assert [job.id for job in await ledger.claim("t2", 9)] == [second.id]


async def test_renew_keeps_a_claim(opened: Opened, clock: HandClock) -> None:
    """A holder that renews in time keeps what it holds."""
    async with opened() as ledger:
        await ledger.add("", entries(1))
        (job,) = await ledger.claim("t1", 1)
        for _ in range(5):
            clock.now += 20.0
            assert await ledger.renew("t1")
        assert await ledger.claim("t2", 1) == []
        assert await ledger.mark("t1", job.id)


async def test_a_claim_of_a_chunk(opened: Opened) -> None:
    """A claim can be bound to one chunk: a slice of the messages that is the same for everyone."""
    async with opened() as ledger:
        await ledger.add("a.csv", entries(450))
        await ledger.add("b.csv", entries(700, start=451))
        first, last = span_of(2)
        assert [job.id for job in await ledger.claim("t1", 3, 2)] == [501, 502, 503]
        rest = await ledger.claim("t2", 2 * CHUNK, 2)
        assert {job.id for job in rest} == set(range(504, 1001))
        assert (first, last) == (501, 1000)
        assert await ledger.claim("t3", 9, 2) == []
        assert await ledger.claim("t3", 9, 4) == []
        assert len(await ledger.claim("t3", 2 * CHUNK, 3)) == 150
        assert [job.id for job in await ledger.claim("t4", 2)] == [1, 2]


async def test_chunks_with_something_to_send(opened: Opened, clock: HandClock) -> None:
    """A chunk is listed while a message of it is pending and nobody's, due or not."""
    async with opened() as ledger:
        assert await ledger.chunks(0, 10) == []
        await ledger.add("a.csv", entries(3 * CHUNK + 1))
        assert await ledger.chunks(0, 10) == [1, 2, 3, 4]
        assert await ledger.chunks(0, 2) == [1, 2]
        assert await ledger.chunks(3, 10) == [4]
        assert await ledger.chunks(20_000_000, 10) == []
        assert await ledger.claim("t1", 1, 20_000_000) == []
        assert await ledger.next_due(20_000_000) is None
        held = await ledger.claim("t1", CHUNK, 2)
        (job,) = await ledger.claim("t1", CHUNK, 4)
        assert await ledger.chunks(0, 10) == [1, 3]
        await ledger.put_off("t1", [held[7].id], 20.0)
        await sent(ledger, "t1", job.id)
        assert await ledger.chunks(0, 10) == [1, 2, 3]
        assert await ledger.claim("t2", CHUNK, 2) == []
        assert await ledger.next_due(1) == 0.0
        assert await ledger.next_due(4) is None
        clock.now += 20.0
        assert [job.id for job in await ledger.claim("t2", CHUNK, 2)] == [held[7].id]


async def test_a_chunk_that_was_put_off_as_a_whole(opened: Opened) -> None:
    """A chunk knows when it is due, whatever the others are."""
    async with opened() as ledger:
        await ledger.add("a.csv", entries(CHUNK + 1))
        (job,) = await ledger.claim("t1", 1, 2)
        await ledger.put_off("t1", [job.id], 60.0)
        assert await ledger.next_due(2) == 60.0
        assert await ledger.next_due() == 0.0


async def test_the_roll_of_workers(opened: Opened, clock: HandClock) -> None:
    """Who beats is alive, with the rate between its last two beats; who leaves is forgotten."""
    async with opened() as ledger:
        assert await ledger.fleet() == Fleet()
        await ledger.add("", entries(9))
        await ledger.claim("t1", 3)
        await ledger.claim("t2", 2)
        await ledger.beat("b", 0)
        await ledger.beat("a", 10)
        clock.now += 5.0
        await ledger.beat("a", 60)
        clock.now += 1.0
        fleet = await ledger.fleet()
        assert fleet.workers == (
            Worker("a", alive=True, beat=1.0, recorded=60, rate=10.0),
            Worker("b", alive=True, beat=6.0, recorded=0, rate=0.0),
        )
        assert (fleet.leased, fleet.leases) == (5, 2)
        await ledger.leave("a")
        await ledger.leave("a")
        assert [worker.name for worker in (await ledger.fleet()).workers] == ["b"]


async def test_a_worker_that_does_not_beat(opened: Opened, clock: HandClock) -> None:
    """Who has not beaten for a lease is not alive, where leases end at all."""
    async with opened() as ledger:
        await ledger.beat("a", 0)
        clock.now += LATER_SECONDS
        (worker,) = (await ledger.fleet()).workers
        assert worker.beat == LATER_SECONDS
        assert worker.alive == (ledger.lease > LATER_SECONDS)


async def test_a_cancelled_caller_tears_nothing_apart(opened: Opened) -> None:
    """Callers that are cancelled leave the ledger working for all others."""
    async with opened() as ledger:
        await ledger.add("", entries(20))
        jobs = await ledger.claim("t1", 20)
        async with anyio.create_task_group() as tasks:
            for job in jobs:
                tasks.start_soon(ledger.mark, "t1", job.id)
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        await ledger.add("", entries(1, start=100))
        (fresh, *_) = [j for j in await ledger.claim("t2", 30) if j.outgoing.text == "Hola 100"]
        await sent(ledger, "t2", fresh.id)
        found = await states(ledger)
        assert sum(found.values()) == 21
        assert found["sent"] == 1


async def test_closing_twice_is_harmless(opened: Opened) -> None:
    """A closed ledger may be closed again, and shows itself in any state."""
    async with opened() as ledger:
        assert repr(ledger)
        await ledger.aclose()
        await ledger.aclose()


# ── several runs at the same time, each with the ledger open for itself ───────────────────────────

shared = pytest.mark.parametrize("kind", ["memory", "postgres"], indirect=True)


@shared
async def test_runs_side_by_side_share_the_work(both: tuple[Ledger, Ledger]) -> None:
    """Of all that many runs claim at the same time, each message is handed out and marked once."""
    await both[0].add("", entries(100))
    handed: list[int] = []

    async def work(ledger: Ledger, token: str) -> None:
        while jobs := await ledger.claim(token, 7):
            for job in jobs:
                handed.append(job.id)
                await sent(ledger, token, job.id)

    async with anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(work, both[number % 2], f"t{number}")
    # A claim that came while another was looking may have gone home early.
    await work(both[0], "last")
    assert sorted(handed) == sorted(set(handed))
    assert await states(both[1]) == {"sent": 100}
    assert await both[1].next_due() is None


@shared
async def test_the_same_rows_from_two_sides(both: tuple[Ledger, Ledger]) -> None:
    """Two that load the same rows at the same time have each message once, and agree on how
    many."""
    added = [0]

    async def load(ledger: Ledger) -> None:
        for start in (1, 21, 41):
            batch = await ledger.add("a.csv", entries(20, start=start))
            added[0] += batch.added  # not across the await: both sides write to it

    async with anyio.create_task_group() as tasks:
        for ledger in both:
            tasks.start_soon(load, ledger)
    assert added == [60]
    assert await states(both[0]) == {"pending": 60}
    assert [line.line for line in await both[1].lines(0, 100)] == list(range(1, 61))


@shared
async def test_who_lives_is_not_taken_over(both: tuple[Ledger, Ledger], clock: HandClock) -> None:
    """As long as a run renews its lease, what it claimed and marked is its own."""
    mine, others = both
    await mine.add("", entries(2))
    first, second = await mine.claim("t1", 2)
    await mine.mark("t1", first.id)
    for _ in range(5):
        clock.now += 20.0
        assert await mine.renew("t1")
        assert await others.take_over("t2") == 0
        assert await others.claim("t2", 5) == []
    assert await mine.mark("t1", second.id)
    assert await states(others) == {"attempting": 2}


@shared
async def test_who_died_is_taken_over(both: tuple[Ledger, Ledger], clock: HandClock) -> None:
    """A run that does not renew is dead after its lease: what it marked is unknown, what it only
    claimed goes to others, and it may not go on."""
    dead, others = both
    await dead.add("", entries(4))
    first, second, third, fourth = await dead.claim("t1", 4)
    await sent(dead, "t1", first.id)
    await dead.mark("t1", second.id)
    assert await others.next_due() == 30.0
    clock.now += 30.0
    assert await others.next_due() == 0.0
    assert [job.id for job in await others.claim("t2", 9)] == [third.id, fourth.id]
    assert await others.take_over("t2") == 1
    assert not await dead.renew("t1")
    assert not await dead.mark("t1", third.id)
    await dead.put_off("t1", [fourth.id], 60.0)
    await dead.release("t1")
    await sent(others, "t2", third.id)
    await sent(others, "t2", fourth.id)
    assert await states(others) == {"sent": 3, "unknown": 1}


@shared
async def test_a_zombie_settles_its_own_alone(
    both: tuple[Ledger, Ledger], clock: HandClock
) -> None:
    """A run that wakes up after it was taken over may still say what became of what it marked."""
    zombie, others = both
    await zombie.add("", entries(2))
    first, second = await zombie.claim("t1", 2)
    await zombie.mark("t1", first.id)
    clock.now += LATER_SECONDS
    assert await others.take_over("t2") == 1
    assert [job.id for job in await others.claim("t2", 9)] == [second.id]
    await others.mark("t2", second.id)
    await zombie.record("t1", Result(first.id, State.SENT))
    await zombie.record("t1", Result(second.id, State.REJECTED))
    assert await states(others) == {"sent": 1, "attempting": 1}


@shared
async def test_what_one_gives_back_another_takes(
    both: tuple[Ledger, Ledger], clock: HandClock
) -> None:
    """Released, put off and refused messages come up for every run, each when it is due."""
    mine, others = both
    await mine.add("", entries(4))
    first, second, third, fourth = await mine.claim("t1", 4)
    await mine.put_off("t1", [third.id], 5.0)
    await mine.mark("t1", second.id)
    await mine.record("t1", Result(second.id, State.PENDING, 2, "RateLimited", delay=9.0))
    await mine.mark("t1", fourth.id)
    await mine.release("t1")
    assert [job.id for job in await others.claim("t2", 9)] == [first.id]
    assert await others.next_due() == 5.0
    clock.now += 5.0
    assert [(job.id, job.attempts) for job in await others.claim("t2", 9)] == [(third.id, 0)]
    clock.now += 4.0
    assert [(job.id, job.attempts) for job in await others.claim("t2", 9)] == [(second.id, 2)]
    clock.now += LATER_SECONDS
    assert await others.take_over("t2") == 1  # the fourth, which was marked and never recorded


@shared
async def test_a_claim_takes_the_front(both: tuple[Ledger, Ledger], clock: HandClock) -> None:
    """What was put off goes before what comes later in the input, once it is due."""
    mine, others = both
    await mine.add("", entries(6))
    jobs = await mine.claim("t1", 4)
    await mine.put_off("t1", [jobs[3].id, jobs[1].id], 5.0)
    clock.now += 5.0
    found = [job.id for job in await others.claim("t2", 3)]
    assert found == [jobs[1].id, jobs[3].id, jobs[3].id + 1]
    assert [job.id for job in await mine.claim("t1", 3)] == [jobs[3].id + 2]
