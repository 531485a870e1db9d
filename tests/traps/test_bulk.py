"""Traps 33 to 36: bulk in memory."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import anyio

from aldeamo_async import Outcome, Outgoing, Rejected, Sent
from support.clients import PHONE, Carrier, drain, messages, no, opened, scripted, taking, yes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def test_trap_33_a_run_is_bounded() -> None:
    """Ten thousand messages never make more than `concurrency` tasks, requests or rows at hand."""
    taken = 0

    def source() -> Any:
        nonlocal taken
        for outgoing in messages(10_000):
            taken += 1
            yield outgoing

    carrier = taking(1)
    async with (
        opened(carrier) as client,
        client.send_many(source(), concurrency=50) as outcomes,
    ):
        before = anyio.get_running_tasks()
        await anyio.sleep(0.5)
        assert taken == carrier.in_flight == 50
        assert len(anyio.get_running_tasks()) - len(before) <= 50
        outcomes.stop()
        await drain(outcomes)
    assert carrier.most == 50


async def test_trap_34_one_bad_recipient_is_one_rejected_row() -> None:
    """Neither a row that cannot be sent nor one that the API refuses costs the others theirs."""
    rows: list[Any] = [*messages(4), None, Outgoing("sms", "Ana", "Hola"), *messages(4)]
    carrier = Carrier(lambda number, _: no() if number == 2 else yes())
    found: list[Outcome] = []
    async with (
        opened(carrier) as client,
        client.send_many(rows, concurrency=2) as outcomes,
    ):
        await drain(outcomes, found)
    assert sum(isinstance(outcome, Sent) for outcome in found) == 7
    assert sum(isinstance(outcome, Rejected) for outcome in found) == 3


async def test_trap_35_every_row_that_was_taken_has_one_outcome() -> None:
    """A cursor that moves with the outcomes loses no row and doubles none, stopped anywhere."""
    for stop_after in (1, 2, 7, 30):
        source = messages(30)
        done: list[str] = []
        async with (
            opened(taking(1)) as client,
            client.send_many(source, concurrency=4) as outcomes,
        ):
            async for outcome in outcomes:
                done.append(outcome.outgoing.text)
                if len(done) == stop_after:
                    outcomes.stop()
            left = [outgoing.text for outgoing in source]
        assert len(done) == outcomes.taken
        assert sorted(done + left) == sorted(f"Hola {n}" for n in range(30))


async def test_trap_36_no_yield_inside_a_task_group() -> None:
    """A run that is left or dropped holds no task; a source may hold a group open all the same."""
    async with opened(taking(1)) as client:
        async with client.send_many(messages(100), concurrency=5) as outcomes:
            async for _ in outcomes:
                break
        del outcomes
        client.send_many(messages(100))  # never opened: nothing to clean up
        gc.collect()
        assert client.stats().in_flight == 0

    async def source() -> AsyncIterator[Outgoing]:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            for outgoing in messages(10):
                yield outgoing
            group.cancel_scope.cancel()

    found: list[Outcome] = []
    async with (
        opened(scripted()) as client,
        client.send_many(source(), concurrency=3) as outcomes,
    ):
        await drain(outcomes, found)
    assert [type(outcome) for outcome in found] == [Sent] * 10


async def test_trap_36_an_error_in_the_body_is_raised_without_a_group() -> None:
    """`async with send_many` is no task group to the one who uses it."""
    async with opened(taking(1)) as client:
        try:
            async with client.send_many(messages(100)):
                await anyio.sleep(0.5)
                raise KeyError(PHONE)
        except KeyError:
            caught = True
    assert caught
