"""The clock of the event loop is the one that deadlines are on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest
import trio

from aldeamo_async._clock import now

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_it_is_the_clock_of_anyio() -> None:
    """Between two looks at one clock lies a look at the other."""
    before = anyio.current_time()
    seen = now()
    assert before <= seen <= anyio.current_time()


def test_no_event_loop_has_no_time() -> None:
    """Without an event loop it is an error, as with anyio."""
    with pytest.raises(RuntimeError):
        now()


def test_a_guest_keeps_its_own_time() -> None:
    """Where trio runs as a guest of asyncio, its tasks go by the clock of trio."""
    seen: list[float] = []

    async def guest() -> None:
        seen.extend((trio.current_time(), now(), trio.current_time()))

    async def host() -> None:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def run_later(call: Callable[[], object]) -> None:
            loop.call_soon_threadsafe(call)

        trio.lowlevel.start_guest_run(
            guest, run_sync_soon_threadsafe=run_later, done_callback=ended.set_result
        )
        (await ended).unwrap()

    asyncio.run(host())
    assert seen == sorted(seen)
    assert len(seen) == 3
