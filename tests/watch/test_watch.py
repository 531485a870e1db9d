"""What a watch hands out, what it reads for that, and what its cursor remembers."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aldeamo_async import AuthError, Dialect, NotSent, UsageError, WatchCursor
from aldeamo_async._watch._roster import DATELESS_EVERY
from aldeamo_async.sandbox import Fault, Weather
from support.clients import UNSENT, answer, no, opened
from support.watching import (
    ANA,
    CHANNEL,
    DAY,
    EVA,
    LUIS,
    Calendar,
    api,
    listing,
    message,
    reads_of,
    take,
    town,
    user,
    visitor,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aldeamo_async import Watch
    from aldeamo_async.sandbox import Sandbox
    from aldeamo_async.transports import Exchange


def later(sandbox: Sandbox, *lines: tuple[float, str, str]) -> Callable[[], Any]:
    """A task that lets people write, each after so many seconds more."""

    async def talk() -> None:
        for seconds, who, text in lines:
            await anyio.sleep(seconds)
            sandbox.say(CHANNEL, who, text)

    return talk


def an_hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


async def heard(
    sandbox: Sandbox,
    *lines: tuple[float, str, str],
    within: float = 200.0,
    since: WatchCursor | datetime | None = None,
    **options: Any,
) -> list[str | None]:
    """What a watch hands out while people write."""
    async with (
        visitor(sandbox) as client,
        client.watch(CHANNEL, since=since, jitter=0, **options) as messages,
        anyio.create_task_group() as group,
    ):
        group.start_soon(later(sandbox, *lines))
        return await take(messages, within)


# ── what is new ──


@pytest.mark.parametrize("hours", [-12, 0, 14])
async def test_only_what_comes_after_the_opening_is_new(hours: int) -> None:
    """Messages of last week, of an hour ago and of just now are passed over, in any time zone."""
    calendar = Calendar()
    sandbox = town(wall_clock=calendar, time_zone=timezone(timedelta(hours=hours)))
    for ago, who in ((7 * DAY, ANA), (7 * DAY, LUIS), (3600, LUIS), (0, EVA)):
        calendar.shift = -ago
        sandbox.say(CHANNEL, who, "old")
    calendar.shift = 0
    lines = [(1, ANA, "a"), (1, LUIS, "b"), (1, EVA, "c"), (1, "573000000004", "d")]
    assert await heard(sandbox, *lines) == ["a", "b", "c", "d"]


async def test_what_comes_within_the_same_second_is_not_missed() -> None:
    """A message that follows a read in the second of `last_active` comes with a second read."""
    await anyio.sleep(0.5)
    sandbox = town()
    assert await heard(sandbox, (4.6, ANA, "first"), (0.6, ANA, "second")) == ["first", "second"]
    assert sandbox.requests["messages"] == 2


async def test_nothing_is_read_of_those_who_are_silent() -> None:
    """A client that was settled is read again only when its `last_active` moves."""
    sandbox = town()
    for who in (ANA, LUIS, EVA):
        sandbox.say(CHANNEL, who, "old")
    await anyio.sleep(10)
    assert await heard(sandbox, (30, ANA, "new"), within=3600) == ["new"]
    assert sandbox.requests["messages"] == 3 + 3 + 2  # opening, its settling, and ANA's


async def test_only_those_who_are_named_are_watched() -> None:
    """With `client_ids` the others are neither read nor handed out."""
    sandbox = town()
    lines = [(1, LUIS, "no"), (1, ANA, "yes")]
    assert await heard(sandbox, *lines, client_ids=[int(ANA), EVA]) == ["yes"]
    assert sandbox.requests["messages"] == 2


async def test_messages_come_in_the_order_of_their_numbers() -> None:
    """Rows in any order, twice, and with numbers that come late are each handed out once."""
    numbers = [10, 9, 100, 9]
    clock = iter(range(100))

    def users() -> Exchange:
        return listing(user(ANA, f"2026-01-01 10:00:{next(clock):02d}"))

    rows = lambda _: listing(*(message(n, str(n)) for n in numbers))  # noqa: E731
    async with (
        opened(api(users, rows)) as client,
        client.watch(CHANNEL, since=an_hour_ago()) as messages,
    ):
        assert await take(messages, 20) == ["9", "10", "100"]
        numbers += [99, 101]
        assert await take(messages, 20) == ["99", "101"]


async def test_ids_that_are_no_numbers_are_told_apart() -> None:
    """Ids without an order are remembered one by one; their messages come by time."""
    now = datetime.now(UTC).timestamp()
    rows = [message("b", "2", now + 2), message("a", "1", now + 1), message("7", "0", now + 3)]
    rows.append(message("c", "-") | {"time": "soon"})
    moves = iter(range(100))

    def users() -> Exchange:
        return listing(user(ANA, f"2026-01-01 10:00:{next(moves):02d}"))

    carrier = api(users, lambda _: listing(*rows))
    async with opened(carrier) as client, client.watch(CHANNEL, since=an_hour_ago()) as messages:
        assert await take(messages, 20) == ["0", "-", "1", "2"]
        rows.append(message("d", "3", now + 4))
        assert await take(messages, 20) == ["3"]


async def test_a_time_to_begin_with() -> None:
    """With `since` a time, what was written from then on is handed out, and nothing older."""
    calendar = Calendar()
    sandbox = town(wall_clock=calendar)
    for ago, who, text in (
        (3 * DAY, EVA, "x"),
        (7200, ANA, "old"),
        (1800, ANA, "a"),
        (60, LUIS, "b"),
    ):
        calendar.shift = -ago
        sandbox.say(CHANNEL, who, text)
    calendar.shift = 0
    since = datetime.fromtimestamp(calendar() - 3600, timezone(timedelta(hours=-5)))
    assert await heard(sandbox, (1, EVA, "c"), since=since) == ["a", "b", "c"]


async def test_who_leaves_the_list_and_comes_back_is_not_new() -> None:
    """A list without a client, as `data: null` makes one, costs nothing but time."""
    sandbox = town()
    sandbox.say(CHANNEL, ANA, "old")
    await anyio.sleep(10)
    sandbox.weather = Weather.sequence([None, None, None, None, Fault.DATA_NULL], only="reads")
    assert await heard(sandbox, (12, ANA, "new")) == ["new"]
    assert sandbox.faults["DATA_NULL"] == 1


async def test_an_opening_looks_twice_at_an_empty_list() -> None:
    """`data: null` in answer to the first list does not make everybody new."""
    sandbox = town(weather=Weather.sequence([Fault.DATA_NULL]))
    sandbox.say(CHANNEL, ANA, "old")
    assert await heard(sandbox, (5, ANA, "new")) == ["new"]


async def test_an_opening_reads_again_what_it_could_not_read() -> None:
    """A client that was not read at once is passed over in a second look."""
    faults = [None, Fault.STATUS_FALSE, Fault.DATA_NULL]
    sandbox = town(weather=Weather.sequence(faults))
    sandbox.say(CHANNEL, ANA, "old")
    assert await heard(sandbox, (5, ANA, "new")) == ["new"]


@pytest.mark.parametrize("faults", [1, 2])
async def test_an_empty_answer_is_doubted(faults: int) -> None:
    """A client that moved and has no messages is read again before that is believed."""
    weather = Weather.sequence([None, None, *[Fault.DATA_NULL] * faults], only="reads")
    sandbox = town(weather=weather)
    sandbox.say(CHANNEL, EVA, "old")
    await anyio.sleep(DAY)  # EVA is settled by her date alone
    calendar_is_a_day_ahead = datetime.now(UTC) + timedelta(days=2)
    assert await heard(
        sandbox, (1, ANA, "new"), since=calendar_is_a_day_ahead - timedelta(days=2)
    ) == ["new"]


async def test_a_third_empty_answer_is_believed() -> None:
    """A client without any message is left alone after three reads."""
    carrier = api(lambda: listing(user(ANA, "2030-01-01 10:00:00")))
    async with opened(carrier) as client, client.watch(CHANNEL) as messages:
        assert await take(messages, 3600) == []
    assert reads_of(carrier, ANA) == 3 + 1  # the opening's, and one to settle


async def test_a_client_without_a_date_is_read_now_and_then() -> None:
    """Where `last_active` cannot be read, messages are late, not missed."""
    rows = [message(1, "old")]
    carrier = api(lambda: listing(user(ANA, None)), lambda _: listing(*rows))
    async with opened(carrier) as client, client.watch(CHANNEL) as messages:
        rows.append(message(2, "new"))
        assert await take(messages, DATELESS_EVERY + 61) == ["new"]
        assert await take(messages, 10 * DATELESS_EVERY) == []
    assert 10 <= reads_of(carrier, ANA) <= 12


async def test_an_id_that_cannot_be_asked_for_is_passed_over() -> None:
    """A user whose id was spoiled by a spreadsheet does not stop the watch."""
    carrier = api(
        lambda: listing(user("5.73E+11", "2030-01-01 10:00:00"), user(ANA, "2030-01-01 10:00:00")),
        lambda _: listing(message(1)),
    )
    async with opened(carrier) as client, client.watch(CHANNEL, since=an_hour_ago()) as messages:
        assert await take(messages, 600) == ["Hola"]


# ── failures ──


async def test_a_client_that_cannot_be_read_holds_up_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Others are read, and the client again later, less and less often, until it can be."""
    broken = [True]

    def messages(client_id: str) -> Exchange:
        return no() if client_id == ANA and broken else listing(message(1, client_id))

    date = "2030-01-01 10:00:00"
    carrier = api(lambda: listing(user(ANA, date), user(LUIS, date)), messages)
    caplog.set_level(logging.INFO, "aldeamo_async")
    async with opened(carrier) as client, client.watch(CHANNEL, since=an_hour_ago()) as watch:
        assert await take(watch, 3600) == [LUIS]
        assert 10 < reads_of(carrier, ANA) < 25
        broken.clear()
        assert await take(watch, 400) == [ANA]
    assert "57********01" in caplog.text
    assert ANA not in caplog.text


async def test_the_first_list_must_come() -> None:
    """Opening raises what `users` raises; so does the first round of a restored watch."""
    async with opened(api(lambda: no())) as client:
        with pytest.raises(Exception, match="refused by the API"):
            await client.watch(CHANNEL).__aenter__()
        cursor = WatchCursor(CHANNEL, datetime.now(UTC))
        async with client.watch(CHANNEL, since=cursor) as messages:
            with pytest.raises(Exception, match="refused by the API"):
                await anext(messages)


async def test_lists_that_fail_are_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    """Nine failed lists are logged; the tenth in a row is raised, and the watch goes on."""
    lists = [listing(), listing(), *[no()] * 10, listing(user(ANA, "2030-01-01 10:00:00"))]
    carrier = api(
        lambda: lists.pop(0) if len(lists) > 1 else lists[0], lambda _: listing(message(1))
    )
    async with opened(carrier) as client, client.watch(CHANNEL) as messages:
        with pytest.raises(Exception, match="refused by the API"):
            await anext(messages)
        assert (await anext(messages)).text == "Hola"
    assert sum("could not be listed" in record.message for record in caplog.records) == 9


async def test_a_refused_key_is_raised_at_once() -> None:
    """`AuthError` needs a person; after that the watch can go on, with nothing lost."""
    denied = answer(403, {"status": False, "error": "Invalid API key"})
    refusing = [False]
    carrier = api(
        lambda: listing(user(ANA, "2030-01-01 10:00:00")),
        lambda _: denied if refusing[0] else listing(message(1)),
    )
    async with opened(carrier) as client, client.watch(CHANNEL, since=an_hour_ago()) as messages:
        refusing[0] = True
        with pytest.raises(AuthError):
            await anext(messages)
        refusing[0] = False
        assert (await anext(messages)).text == "Hola"


async def test_an_outage_of_the_watch_leaves_the_retries_of_sends_alone() -> None:
    """A watch pays for its retries from a budget of its own."""
    up = [True]
    carrier = api(lambda: listing() if up else UNSENT)
    async with opened(carrier) as client, client.watch(CHANNEL) as messages:
        before = client.stats().budget_left
        up.clear()
        with pytest.raises(NotSent):
            await take(messages, 3600)
        assert client.stats().retries > 10
        assert client.stats().budget_left == before


async def test_a_closed_client_ends_a_watch() -> None:
    """A watch does not outlive its client."""
    client = visitor(town())
    async with client.watch(CHANNEL) as messages:
        await client.aclose()
        with pytest.raises(UsageError, match="closed"):
            await anext(messages)


# ── the cursor ──


async def test_the_cursor_takes_a_message_in_when_it_is_finished() -> None:
    """What is in hand is handed out again after a restart; what is done is not."""
    sandbox = town()
    async with visitor(sandbox) as client:
        async with client.watch(CHANNEL) as messages:
            for text in ("a", "b", "c"):
                sandbox.say(CHANNEL, ANA, text)
            assert (await anext(messages)).text == "a"
            before = messages.cursor
            assert (await anext(messages)).text == "b"  # asking for it finishes the first
            between = messages.cursor
            after = messages.done()
            assert messages.done() == after == messages.cursor
        seen: list[list[str | None]] = []
        for cursor in (before, between, after):
            async with client.watch(
                CHANNEL, since=WatchCursor.from_json(cursor.to_json())
            ) as again:
                seen.append(await take(again, 60))
    assert seen == [["a", "b", "c"], ["b", "c"], ["c"]]


async def test_a_restored_watch_reads_only_who_moved() -> None:
    """After a restart the settled are known by their `last_active`, whatever the time zone set."""
    sandbox = town()
    for who in (ANA, LUIS, EVA):
        sandbox.say(CHANNEL, who, "old")
    await anyio.sleep(10)
    async with visitor(sandbox) as client, client.watch(CHANNEL) as messages:
        await take(messages, 30)
        cursor = messages.cursor
    sandbox.say(CHANNEL, LUIS, "new")
    before = sandbox.requests["messages"]
    aware = Dialect(server_tz="America/Bogota")
    async with (
        visitor(sandbox, dialect=aware) as client,
        client.watch(CHANNEL, since=cursor) as messages,
    ):
        assert await take(messages, 300) == ["new"]
    assert sandbox.requests["messages"] == before + 2


async def test_a_cancelled_wait_loses_nothing() -> None:
    """An `anext` that is cancelled at any moment leaves every message for the next one."""
    sandbox = town(latency=0.25)
    texts: list[str | None] = []
    async with (
        visitor(sandbox) as client,
        client.watch(CHANNEL, every=1.0) as messages,
        anyio.create_task_group() as group,
    ):
        group.start_soon(later(sandbox, *[(0.5, ANA, str(n)) for n in range(40)]))
        for patience in range(4, 400):
            texts += await take(messages, patience % 13 / 10)
    assert texts == [str(n) for n in range(40)]


# ── use and misuse ──


async def test_one_reader_inside_of_the_block() -> None:
    """A watch is read by one task, inside of its `async with`, which is entered once."""
    async with visitor(town()) as client:
        watch: Watch = client.watch(CHANNEL)
        assert repr(watch) == "<Watch whatsapp, new, 0 clients>"
        with pytest.raises(UsageError, match="inside"):
            await anext(watch)
        async with watch as messages, anyio.create_task_group() as group:
            assert repr(messages) == "<Watch whatsapp, open, 0 clients>"
            with pytest.raises(UsageError, match="open already"):
                await messages.__aenter__()
            group.start_soon(take, messages, 100)
            await anyio.sleep(1)
            with pytest.raises(UsageError, match="one reader"):
                await anext(messages)
            group.cancel_scope.cancel()
        assert repr(watch) == "<Watch whatsapp, closed, 0 clients>"
        async with watch:  # the same watch may be entered again, and goes on where it was
            assert await take(watch, 10) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"channel": "sms"}, "read from"),
        ({"since": datetime(2026, 1, 1)}, "time zone"),
        ({"since": "yesterday"}, "time zone"),
        ({"since": WatchCursor("web", datetime.now(UTC))}, "cursor of 'web'"),
        ({"client_ids": ANA}, "list of ids"),
        ({"client_ids": 5}, "list of ids"),
        ({"client_ids": [1.5]}, "client id"),
        ({"every": 0}, "every"),
        ({"idle_max": 1}, "below every"),
        ({"jitter": 1}, "jitter"),
        ({"jitter": True}, "jitter"),
    ],
)
async def test_arguments_are_checked_before_any_request(
    arguments: dict[str, Any], words: str
) -> None:
    """What cannot work is refused when the watch is made."""
    sandbox = town()
    async with visitor(sandbox) as client:
        with pytest.raises(UsageError, match=words):
            client.watch(**{"channel": CHANNEL} | arguments)
    assert not sandbox.requests
