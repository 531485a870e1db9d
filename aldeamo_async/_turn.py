"""One who waits for a call: the smallest thing that tasks sleep on here.

Rule: a turn is waited for once, by the task that made it.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from anyio.lowlevel import EventLoopToken


class Turn:
    """One who waits in line."""

    __slots__ = ("_called", "granted")

    def __init__(self) -> None:
        self._called = anyio.Event()
        self.granted: bool = False  # whether the call came with a place

    def call(self) -> None:
        """Wake the one who waits."""
        self._called.set()

    def called(self) -> Awaitable[None]:
        """Return what to await for the call."""
        return self._called.wait()

    async def wait(self, deadline: float) -> None:
        """Wait for the call, or until ``deadline``."""
        with anyio.CancelScope(deadline=deadline):
            await self._called.wait()


class AsyncioTurn(Turn):
    """The same on asyncio alone, at a third of the price."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future = asyncio.get_running_loop().create_future()
        self.granted: bool = False

    def call(self) -> None:
        """Wake the one who waits."""
        if not self._future.done():  # called just now, by the deadline or by a cancellation
            self._future.set_result(None)

    def called(self) -> Awaitable[None]:
        """Return what to await for the call."""
        return self._future

    async def wait(self, deadline: float) -> None:
        """Wait for the call, or until ``deadline``."""
        loop = self._future.get_loop()
        timer = None if deadline == math.inf else loop.call_at(deadline, self.call)
        try:
            await self._future
        finally:
            if timer is not None:
                timer.cancel()


def turns_of(loop: EventLoopToken) -> type[Turn]:
    """Return the kind of turn that costs least in an event loop."""
    on_asyncio = isinstance(loop.native_token, asyncio.AbstractEventLoop)
    return AsyncioTurn if on_asyncio else Turn
