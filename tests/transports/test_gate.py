"""The gate in front of the lanes, on virtual clocks."""

from __future__ import annotations

import math

import anyio
import anyio.lowlevel
import pytest

from aldeamo_async._turn import AsyncioTurn, Turn
from aldeamo_async.transports._gate import Gate


@pytest.fixture(params=[Turn, pytest.param(AsyncioTurn, marks=pytest.mark.asyncio_only)])
def turn(request: pytest.FixtureRequest) -> type[Turn]:
    """The two ways to wait in line."""
    kind: type[Turn] = request.param
    return kind


async def test_places_are_counted(turn: type[Turn]) -> None:
    """As many enter as there are places, and no more."""
    gate = Gate(2, turn)
    assert await gate.enter(math.inf)
    assert await gate.enter(math.inf)
    assert not await gate.enter(anyio.current_time() + 5.0)
    assert (gate.busy, gate.waiting) == (2, 0)
    gate.leave()
    gate.leave()
    assert gate.busy == 0


async def test_first_come_first_served(turn: type[Turn]) -> None:
    """Places are handed on in the order of arrival, also past one who just comes by."""
    gate = Gate(1, turn)
    order: list[int] = []
    await gate.enter(math.inf)

    async def visit(number: int) -> None:
        assert await gate.enter(math.inf)
        order.append(number)
        await anyio.sleep(1.0)
        gate.leave()

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(visit, number)
            await anyio.sleep(0.01)
        assert gate.waiting == 5
        gate.leave()
        tasks.start_soon(visit, 5)
    assert order == [0, 1, 2, 3, 4, 5]
    assert (gate.busy, gate.waiting) == (0, 0)


async def test_one_who_gives_up_leaves_the_line(turn: type[Turn]) -> None:
    """A cancelled wait costs nobody a place, whether its turn had come or not."""
    gate = Gate(1, turn)
    await gate.enter(math.inf)

    async def visit() -> None:
        if await gate.enter(math.inf):
            gate.leave()

    for give_back in (False, True):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit)
            await anyio.wait_all_tasks_blocked()
            assert gate.waiting == 1
            if give_back:
                gate.leave()
            tasks.cancel_scope.cancel()
        assert gate.waiting == 0
    assert gate.busy == 0


@pytest.mark.parametrize("cancelled", [0, 1, 250, 499])
async def test_a_crowd_that_gives_up(cancelled: int, turn: type[Turn]) -> None:
    """Of 500 in line any number may go; the others all get their turn."""
    gate = Gate(3, turn)
    served = 0

    async def visit() -> None:
        nonlocal served
        assert await gate.enter(math.inf)
        try:
            await anyio.sleep(0.1)
            served += 1
        finally:
            gate.leave()

    async with anyio.create_task_group() as tasks, anyio.create_task_group() as fickle:
        for number in range(500):
            (fickle if number < cancelled else tasks).start_soon(visit)
        await anyio.wait_all_tasks_blocked()
        fickle.cancel_scope.cancel()
    assert served == 500 - cancelled
    assert (gate.busy, gate.waiting) == (0, 0)


async def test_sent_away(turn: type[Turn]) -> None:
    """Whoever is in line when the gate closes is refused; a turn handed out before then stands."""
    gate = Gate(1, turn)
    entered: list[bool] = []
    await gate.enter(math.inf)

    async def visit() -> None:
        entered.append(await gate.enter(math.inf))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visit)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(visit)
        await anyio.wait_all_tasks_blocked()
        gate.leave()
        gate.send_away()
    assert sorted(entered) == [False, True]
    assert gate.busy == 1


async def test_called_in_the_moment_of_giving_up(turn: type[Turn]) -> None:
    """A turn that comes when its time has run out, and nobody has noticed yet, stands."""
    gate = Gate(1, turn)
    await gate.enter(math.inf)
    entered: list[bool] = []

    async def visit() -> None:
        entered.append(await gate.enter(anyio.current_time() + 1.0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visit)
        await anyio.sleep(1.0)
        gate.leave()
    assert gate.busy == sum(entered)
    assert gate.waiting == 0
