"""What the tests of the limiter share: callers whose fate is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aldeamo_async._errors import DeadlineExceeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

    from aldeamo_async.limits import Permit, RateLimiter

# Scheduler ticks in which any chain of wake-ups here has run out; no virtual time passes.
TICKS = 12


class Callers:
    """Tasks that each call `acquire` once; who called when, and what became of it.

    Trio runs tasks of one tick in any order: `arrivals` is the order of the calls themselves, and
    times of grants, not their order within one instant, tell who was first.
    """

    def __init__(self, bucket: RateLimiter, group: TaskGroup) -> None:
        self.bucket = bucket
        self.group = group
        self.arrivals: list[int] = []
        self.times: dict[int, float] = {}
        self.amounts: dict[int, float] = {}
        self.permits: dict[int, Permit] = {}
        self.late: dict[int, DeadlineExceeded] = {}
        self.cancelled: dict[int, float] = {}
        self.scopes: list[anyio.CancelScope] = []

    def start(self, n: float = 1, deadline: float | None = None) -> int:
        number = len(self.scopes)
        self.scopes.append(anyio.CancelScope())
        self.amounts[number] = n
        self.group.start_soon(self._call, number, n, deadline)
        return number

    async def _call(self, number: int, n: float, deadline: float | None) -> None:
        with self.scopes[number] as scope:
            self.arrivals.append(number)
            try:
                self.permits[number] = await self.bucket.acquire(n, deadline=deadline)
                self.times[number] = anyio.current_time()
            except DeadlineExceeded as error:
                self.late[number] = error
        if scope.cancelled_caught:
            self.cancelled[number] = anyio.current_time()

    def cancel(self, number: int) -> None:
        self.scopes[number].cancel()

    @property
    def served(self) -> list[int]:
        """Who was granted, in the order of the calls."""
        return [number for number in self.arrivals if number in self.times]

    def assert_fifo(self) -> None:
        times = [self.times[number] for number in self.served]
        assert times == sorted(times)


async def _settle() -> None:
    for _ in range(TICKS):
        await checkpoint()


@pytest.fixture
def settle() -> Callable[[], Awaitable[None]]:
    """Let every task run until it waits, without any virtual time passing."""
    return _settle


@pytest.fixture
def callers() -> Any:
    """The class `Callers`: `callers(bucket, group)`."""
    return Callers
