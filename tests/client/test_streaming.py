"""Rows that come while the answer comes in: what is retried, bounded, judged, and given back."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aldeamo_async import (
    ApiError,
    DeadlineExceeded,
    Dialect,
    Evidence,
    NoAnswer,
    Phase,
    RateLimited,
    RetryPolicy,
    Rows,
    UnexpectedResponse,
    UsageError,
    User,
)
from aldeamo_async.transports import MaybeSent, StreamingTransport, WireResponse
from support.clients import (
    KEY,
    MAYBE,
    PHONE,
    UNSENT,
    Carrier,
    answer,
    later,
    make,
    opened,
    unbraked,
)
from support.flows import FlowCarrier, bytewise

if TYPE_CHECKING:
    from collections.abc import Callable

    from aldeamo_async.transports import Exchange
    from support.flows import Piece

BROKEN = MaybeSent(Phase.READ, "ReadError: the connection broke while the answer was awaited")
HEAD = b'{"status": true, "codigo": 0, "message": "Users for channel", "data": ['
END = b"]}"


def user(number: int) -> bytes:
    return json.dumps({"id": str(number), "user_id": f"50700000{number:04d}"}).encode()


def pieces(count: int, *, end: Piece = END) -> list[Piece]:
    """An answer of a piece for each user, and the end in a piece of its own."""
    rows = [user(n) + (b", " if n + 1 < count else b"") for n in range(count)]
    return [HEAD, *rows, end]


def flowing(*answers: list[Piece] | Exchange) -> FlowCarrier:
    """A carrier that plays these in turn, each a list of pieces or a whole exchange."""
    cuts = iter([found for found in answers if isinstance(found, list)])
    bodies: list[Exchange] = [
        answer(200, b"".join(piece for piece in found if isinstance(piece, bytes)))
        if isinstance(found, list)
        else found
        for found in answers
    ]
    return FlowCarrier(
        lambda number, _: bodies[number],
        lambda body: next(cuts) if body.startswith(HEAD) else [body],
    )


async def drain(rows: Rows[User], into: list[str] | None = None) -> None:
    """Read rows to their end, or to an error; the ids that came until then stand in `into`."""
    async for row in rows:
        if into is not None:
            into.append(row.id)


async def test_rows_come_before_the_answer_has_ended() -> None:
    """Each row is there when its bytes are, also of a list that ends much later."""
    flow = flowing([HEAD, user(0) + b", ", 5.0, user(1) + b", ", 5.0, user(2), END])
    async with opened(flow) as client:
        start = anyio.current_time()
        times = [anyio.current_time() - start async for _ in client.iter_users("web")]
    assert times == [0.0, 5.0, 10.0]
    assert flow.ends == ["read"]
    assert isinstance(flow, StreamingTransport)
    assert not isinstance(Carrier(lambda *_: MAYBE), StreamingTransport)


async def test_a_short_list_is_judged_before_its_rows_are_handed_out() -> None:
    """A list that ends with its first rows is an ordinary answer: what breaks it is retried."""
    flow = flowing([HEAD + user(0) + b"]", BROKEN], pieces(1))
    async with opened(flow) as client:
        assert [row.id async for row in client.iter_users("web")] == ["0"]
        assert client.stats().retries == 1
    assert flow.ends == ["closed", "read"]


@pytest.mark.parametrize("first", [MAYBE, UNSENT, later("1"), answer(502, b"<html>")], ids=type)
async def test_until_the_first_row_an_attempt_may_be_repeated(first: Exchange) -> None:
    """Whatever an ordinary read would try again is tried again here."""
    flow = flowing(first, [HEAD, BROKEN], pieces(5))
    async with opened(flow, limiter=unbraked()) as client:
        rows = client.iter_users("web")
        assert [row.id async for row in rows] == [str(n) for n in range(5)]
        assert client.stats().retries == 2
    assert flow.ends[-2:] == ["closed", "read"]


async def test_a_refusal_reaches_the_limiter() -> None:
    """A 429 freezes the limiter as for any call, and raises with the server's number."""
    flow = flowing(later("999"))
    async with opened(flow) as client:
        with pytest.raises(RateLimited) as caught:
            await anext(client.iter_users("web"))
        assert client.stats().limiter.frozen_for > 0
    assert caught.value.retry_after == 999


async def test_after_the_first_row_nothing_begins_anew() -> None:
    """A connection that breaks behind a row raises with the attempts; the rows stay handed out."""
    flow = flowing(pieces(5, end=BROKEN))
    async with opened(flow) as client:
        rows = client.iter_users("web")
        found: list[str] = []
        with pytest.raises(NoAnswer, match="connection broke") as caught:
            await drain(rows, found)
        with pytest.raises(StopAsyncIteration):
            await anext(rows)
    assert found == ["0", "1", "2", "3", "4"]
    [attempt] = caught.value.attempts
    assert (attempt.evidence, attempt.phase) == (Evidence.MAYBE_SENT, Phase.READ)
    assert len(flow.requests) == 1
    assert flow.ends == ["closed"]


async def test_the_deadline_bounds_the_network_alone() -> None:
    """A slow server runs into the deadline of the call; a slow consumer never does."""
    slow = [HEAD, *(piece for n in range(9) for piece in (3.0, user(n) + b", "))]
    flow = flowing(slow, pieces(9))
    async with opened(flow, deadline=10.0) as client:
        start = anyio.current_time()
        rows = client.iter_users("web")
        with pytest.raises(DeadlineExceeded) as caught:
            await drain(rows)
        assert anyio.current_time() - start == pytest.approx(10.0)
        assert caught.value.phase is Phase.READ
        async for _ in client.iter_users("web"):
            await anyio.sleep(3600.0)
    assert flow.ends == ["closed", "read"]


async def test_the_deadline_before_the_first_row() -> None:
    """An answer whose rows do not come within the call's time is out of time as ever."""
    flow = flowing([HEAD, 60.0, user(0), END])
    async with opened(flow, deadline=10.0) as client:
        with pytest.raises(DeadlineExceeded):
            await anext(client.iter_users("web"))
        assert anyio.current_time() == pytest.approx(10.0)
    assert flow.ends == ["closed"]


@pytest.mark.parametrize(
    ("end", "kind", "said"),
    [
        (b'], "status": false, "error": "Key test-key"}', ApiError, "Key \\*\\*\\*"),
        (b'], "codigo": 7}', ApiError, "codigo 7"),
        (b"]}", UnexpectedResponse, "status: missing"),
        (b'], "status": true', UnexpectedResponse, "not JSON"),
        (b'], "status": true}<br>', UnexpectedResponse, "not JSON"),
        (b'], "status": true, "data": []}', UnexpectedResponse, "data: stands twice"),
    ],
    ids=str,
)
async def test_a_no_behind_the_rows_still_raises(
    end: bytes, kind: type[Exception], said: str
) -> None:
    """What stands behind the rows is judged like any answer, once they are handed out."""
    body: list[Piece] = [b'{"data": [', user(0) + b", ", user(1) + b", ", user(2), end]
    flow = FlowCarrier(lambda *_: answer(200, b"{}"), lambda _: body)
    async with opened(flow) as client:
        found: list[str] = []
        with pytest.raises(kind, match=said) as caught:
            await drain(client.iter_users("web"), found)
    assert found == ["0", "1", "2"]
    assert KEY not in f"{caught.value} {caught.value!r}"
    assert flow.ends == ["read"]


async def test_a_bad_row_names_its_place() -> None:
    """A row that is no noun raises with its number in the whole list, and closes."""
    body: list[Piece] = [HEAD, user(0) + b", ", user(1) + b', {"id": "2"}, ', user(3), END]
    flow = FlowCarrier(lambda *_: answer(200, HEAD), lambda _: body)
    async with opened(flow) as client:
        rows = client.iter_users("web")
        assert [(await anext(rows)).id, (await anext(rows)).id] == ["0", "1"]
        with pytest.raises(UnexpectedResponse, match=r"data\[2\]\.user_id: missing") as caught:
            await anext(rows)
        assert caught.value.__context__ is None
        with pytest.raises(StopAsyncIteration):
            await anext(rows)
    assert flow.ends == ["closed"]


async def test_rubbish_behind_a_row() -> None:
    """What cannot be the rest of the list raises where it is found."""
    body: list[Piece] = [HEAD, user(0) + b", ", b'"\xff"]}']
    flow = FlowCarrier(lambda *_: answer(200, HEAD), lambda _: body)
    async with opened(flow) as client:
        rows = client.iter_users("web")
        await anext(rows)
        with pytest.raises(UnexpectedResponse, match="not UTF-8"):
            await anext(rows)
    assert flow.ends == ["closed"]


async def test_past_the_cap() -> None:
    """An answer past `max_response_bytes` is refused, before its rows and behind them."""
    for cut in ([HEAD], [HEAD, user(0) + b", "]):
        oversized = WireResponse(200, (), b"", oversized=True)
        flow = FlowCarrier(lambda *_, found=oversized: found, lambda _, cut=cut: [*cut])  # type: ignore[misc]
        async with opened(flow, retry=RetryPolicy(attempts=1)) as client:
            with pytest.raises(UnexpectedResponse, match="max_response_bytes"):
                await drain(client.iter_users("web"))


async def test_left_early_with_async_with() -> None:
    """Leaving the block closes the answer; after that there are no more rows."""
    flow = flowing(pieces(9))
    async with opened(flow) as client:
        async with client.iter_users("web") as rows:
            async for row in rows:
                assert row.id == "0"
                break
        assert flow.ends == ["closed"]
        await rows.aclose()
        assert [row async for row in rows] == []
        assert repr(rows) == "Rows('GET /users', over, 1 rows so far)"


async def test_left_early_without_closing() -> None:
    """The place is given back at once, and a warning says what to use."""
    flow = flowing(pieces(9))
    async with opened(flow) as client:
        rows = client.iter_users("web")
        assert repr(rows).startswith("Rows('GET /users', new")
        await anext(rows)
        assert repr(rows).startswith("Rows('GET /users', open")
        with pytest.warns(ResourceWarning, match="async with"):
            del rows
    assert flow.ends == ["abandoned"]


async def test_never_begun() -> None:
    """Rows that nobody asked for asked nobody."""
    flow = flowing()
    async with opened(flow) as client:
        rows = client.iter_users("web")
        await rows.aclose()
        del rows
    assert flow.requests == []


async def test_cancelled_in_the_middle() -> None:
    """A wait that was cancelled ends the iteration; asked again it says so, no quiet end."""
    flow = flowing([HEAD, user(0) + b", ", 60.0, user(1), END])
    async with opened(flow) as client:
        rows = client.iter_users("web")
        await anext(rows)
        with anyio.move_on_after(1.0):
            await anext(rows)
        with pytest.raises(UsageError, match="not complete"):
            await anext(rows)
    assert flow.ends == ["closed"]


async def test_one_task_at_a_time() -> None:
    """A second task that asks while the first waits is refused, and spoils nothing."""
    flow = flowing([HEAD, user(0) + b", ", 5.0, user(1), END])
    async with opened(flow) as client:
        rows = client.iter_users("web")
        await anext(rows)

        async def ask_too() -> None:
            await anyio.sleep(1.0)
            with pytest.raises(UsageError, match="Another task"):
                await anext(rows)

        async with anyio.create_task_group() as group:
            group.start_soon(ask_too)
            assert (await anext(rows)).id == "1"
        await rows.aclose()


async def test_a_bug_of_a_transport_propagates() -> None:
    """A programming error comes through as it is, before and behind the first row."""

    class Wrong(FlowCarrier):
        async def open(self, request: Any, timeouts: Any) -> Any:
            flow: Any = await super().open(request, timeouts)
            reads = iter(self.steps)

            async def read() -> Any:
                piece = next(reads)
                if isinstance(piece, Exception):
                    raise piece
                return piece

            flow.read = read
            return flow

        steps: list[Any]

    for steps in ([TypeError("bug")], [HEAD + user(0) + b", " + user(1), TypeError("bug")]):
        flow = Wrong(lambda *_: answer(200, HEAD))
        flow.steps = steps
        async with opened(flow) as client:
            with pytest.raises(TypeError, match="bug"):
                await drain(client.iter_users("web"))
        assert flow.ends == ["closed"]


@pytest.mark.parametrize(
    "make_answer",
    [
        lambda rows: {"0": rows[0], "1": rows[1]},
        lambda rows: json.dumps(rows),
        lambda rows: rows,
    ],
    ids=["object", "text", "list"],
)
async def test_what_stands_for_a_list_is_read_whole(make_answer: Callable[[Any], Any]) -> None:
    """An object, or JSON in a text, comes to the same rows as a list."""
    rows = [json.loads(user(n)) for n in range(2)]
    whole = {"status": True, "codigo": 0, "message": "Users", "data": make_answer(rows)}
    flow = FlowCarrier(lambda *_: answer(200, whole), lambda body: [*bytewise(body)])
    async with opened(flow) as client:
        assert [row.id async for row in client.iter_users("web")] == ["0", "1"]
        assert [row.id async for row in client.iter_messages("web", PHONE)] == ["0", "1"]


async def test_a_strict_dialect_holds_for_rows_too() -> None:
    """`strict_envelope` judges what stands around the rows."""
    body: list[Piece] = [b'{"status": 1, "data": [', user(0) + b", ", user(1), END]
    flow = FlowCarrier(lambda *_: answer(200, b"{}"), lambda _: list(body))
    async with opened(flow) as client:
        assert [row.id async for row in client.iter_users("web")] == ["0", "1"]
        assert client.drift["GET /users: status is number"] == 1
        strict = client.with_options(dialect=Dialect(strict_envelope=True))
        with pytest.raises(UnexpectedResponse, match="status: must be boolean"):
            await drain(strict.iter_users("web"))


async def test_rows_cannot_be_copied() -> None:
    """They hold a connection."""
    async with make(flowing()) as client:
        with pytest.raises(UsageError, match="copied"):
            copy.copy(client.iter_users("web"))
