"""Rows from a blocking source into the event loop."""

from __future__ import annotations

import itertools
from threading import Event
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from aldeamo_async._files import FileFault
from aldeamo_async.cli import _feeder
from aldeamo_async.cli._feeder import Feeder

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real_clock


async def test_all_rows_come_in_order() -> None:
    """More rows than fit into the queue arrive, each once and in order."""
    feeder = Feeder(range(_feeder.AHEAD * 3))
    feeder.start()
    assert [row async for row in feeder] == list(range(_feeder.AHEAD * 3))
    await anyio.to_thread.run_sync(feeder.join, 5)
    assert feeder.fault is None


async def test_it_reads_only_a_little_ahead() -> None:
    """A source without end is read no further than the queue and one batch."""
    source = itertools.count()
    feeder = Feeder(source)
    feeder.start()
    assert await anext(feeder) == 0
    await anyio.to_thread.run_sync(feeder.join, 5)
    assert next(source) <= _feeder.AHEAD + _feeder.BATCH + 2
    with pytest.raises(StopAsyncIteration):
        await anext(feeder)


async def test_stop_does_not_wait_for_a_stuck_source() -> None:
    """A reader is let go although the source, a terminal say, never returns."""
    never = Event()

    def stuck() -> Iterator[int]:
        yield 1
        never.wait(30)

    feeder = Feeder(stuck())
    feeder.start()
    got = []
    async with anyio.create_task_group() as tasks:

        async def read() -> None:
            got.extend([row async for row in feeder])

        tasks.start_soon(read)
        with anyio.fail_after(30):
            await anyio.sleep(_feeder.LOOK_UP_SECONDS * 2)
            feeder.stop()
    assert got == [1]
    await anyio.to_thread.run_sync(feeder.join, 0)
    never.set()
    await anyio.to_thread.run_sync(feeder.join, 5)


async def test_a_fault_of_the_file_ends_the_stream() -> None:
    """What was read before the fault arrives; the fault is kept for whoever asks."""

    def broken() -> Iterator[int]:
        yield 1
        raise FileFault("not UTF-8", 3)

    feeder = Feeder(broken())
    feeder.start()
    assert [row async for row in feeder] == [1]
    assert str(feeder.fault) == "line 3: not UTF-8"
