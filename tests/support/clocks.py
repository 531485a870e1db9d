"""Clocks for tests: an hour of sleep takes no time.

Rule: time moves only when nothing else can run. Both clocks start at zero and stand still while
code runs, so a test may compare times exactly. A thread or a socket loses against any timer here:
tests about those carry the marker `real_clock`.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

import trio.testing

if TYPE_CHECKING:
    from selectors import SelectorKey


class AutojumpSelector(selectors.DefaultSelector):
    """A selector that adds a requested wait to `now` instead of waiting."""

    now = 0.0  # seconds since the loop was made

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready:
            self.now += max(timeout, 0.0)
        return ready


class VirtualEventLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose `time()` is that of its selector."""

    def __init__(self) -> None:
        self._autojump = AutojumpSelector()
        super().__init__(self._autojump)

    def time(self) -> float:
        return self._autojump.now


def virtual_backend(name: str) -> tuple[str, dict[str, Any]]:
    """The anyio backend `name` with its options: a fresh virtual clock."""
    if name == "trio":
        return name, {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return name, {"loop_factory": VirtualEventLoop}


def real_backend(name: str) -> tuple[str, dict[str, Any]]:
    """The anyio backend `name` on the machine's own clock."""
    return name, {}
