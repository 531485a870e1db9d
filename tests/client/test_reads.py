"""Users and messages: whole lists, row by row, and what is wrong with them."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aldeamo_async import (
    AuthError,
    DeliveryUnknown,
    Dialect,
    RateLimited,
    UnexpectedResponse,
    UsageError,
    User,
)
from support.clients import KEY, PHONE, TEXT, Carrier, answer, later, opened, scripted

if TYPE_CHECKING:
    from aldeamo_async.transports import Exchange


def listing(*rows: Any) -> Exchange:
    return answer(200, {"status": True, "codigo": 0, "message": "Users", "data": list(rows)})


def user(number: int) -> dict[str, str]:
    return {"id": str(number), "user_id": f"50700000{number:04d}"}


async def test_a_list_comes_whole_or_row_by_row() -> None:
    """`users` and `iter_users` bring the same nouns; so do the two for messages."""
    rows = [user(n) for n in range(3)]
    carrier = Carrier(lambda *_: listing(*rows))
    async with opened(carrier) as client:
        whole = await client.users("whatsapp")
        assert [u async for u in client.iter_users("whatsapp")] == whole
        messages = await client.messages("whatsapp", PHONE)
        assert [m async for m in client.iter_messages("whatsapp", PHONE)] == messages
    assert [u.id for u in whole] == [m.id for m in messages] == ["0", "1", "2"]
    assert [dict(r.params) for r in carrier.requests[1:3]] == [
        {"channel": "whatsapp"},
        {"channel": "whatsapp", "client_id": PHONE},
    ]


async def test_a_long_list_lets_others_run() -> None:
    """Every few hundred rows the iteration yields to other tasks."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with opened(Carrier(lambda *_: listing(*map(user, range(1000))))) as client:
        rows = client.iter_users("whatsapp")
        first = await anext(rows)
        async with anyio.create_task_group() as group:
            group.start_soon(others)
            await checkpoint()
            before = turns
            rest = [row async for row in rows]
            assert turns - before >= 3
            group.cancel_scope.cancel()
    assert isinstance(first, User)
    assert len(rest) == 999


async def test_an_iteration_may_be_left_at_any_row() -> None:
    """Nothing needs closing: on neither loop is anything left to the garbage collector."""
    async with opened(Carrier(lambda *_: listing(*map(user, range(9))))) as client:
        rows = client.iter_users("whatsapp")
        assert aiter(rows) is rows
        async for row in rows:
            assert row.id == "0"
            break
        del rows, row
        gc.collect()


async def test_a_bad_row_names_every_fault() -> None:
    """A whole list fails with all its faults; an iteration gives the good rows first."""
    bad = [user(0), {"id": "1"}, "x"]
    async with opened(Carrier(lambda *_: listing(*bad))) as client:
        with pytest.raises(UnexpectedResponse) as caught:
            await client.users("whatsapp")
        assert [problem.partition(":")[0] for problem in caught.value.problems] == [
            "data[1].user_id",
            "data[2]",
        ]
        rows = client.iter_users("whatsapp")
        assert (await anext(rows)).id == "0"
        with pytest.raises(UnexpectedResponse, match=r"data\[1\]\.user_id") as caught:
            await anext(rows)
        with pytest.raises(StopAsyncIteration):
            await anext(rows)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert len(caught.value.attempts) == 1


async def test_a_read_that_is_refused_raises() -> None:
    """Refusals and a bad key are errors of their own, with the attempts."""
    denied = answer(403, {"status": False, "error": "Invalid API key test-key"})
    async with opened(scripted(denied, later("999"))) as client:
        with pytest.raises(AuthError) as auth:
            await client.users("whatsapp")
        with pytest.raises(RateLimited) as limited:
            await anext(aiter(client.iter_users("whatsapp")))
    assert KEY not in str(auth.value)
    assert limited.value.retry_after == 999
    assert len(limited.value.attempts) == 1


async def test_bad_arguments_are_refused_before_any_request() -> None:
    """A channel that cannot be read, and an id that is none, cost nothing."""
    carrier = scripted()
    async with opened(carrier) as client:
        with pytest.raises(UsageError, match="sms"):
            await client.users("sms")
        with pytest.raises(UsageError, match="client id"):
            await client.messages("whatsapp", 5.0)  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            client.iter_users("pigeon")
        with pytest.raises(UsageError):
            client.iter_messages("whatsapp", "")
    assert carrier.requests == []


async def test_a_strict_dialect_leaves_a_send_without_an_id_unknown() -> None:
    """A success whose id cannot be read is sent; under `strict_data` its fate is open."""
    odd = answer(200, {"status": True, "codigo": 0, "message": "Message sent", "data": "ok"})
    async with opened(Carrier(lambda *_: odd)) as client:
        receipt = await client.send("sms", PHONE, TEXT)
        assert receipt.message_id is None
        assert client.drift["POST /messages: data holds no id but text"] == 1
        strict = client.with_options(dialect=Dialect(strict_data=True))
        with pytest.raises(DeliveryUnknown) as caught:
            await strict.send("sms", PHONE, TEXT)
        assert client.stats().unknown == 1
    assert isinstance(caught.value.answer, UnexpectedResponse)
    assert caught.value.http_status == 200
