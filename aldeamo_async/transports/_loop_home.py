"""The home of a transport that speaks to asyncio itself.

Rule: what runs on asyncio alone says so on trio, before any I/O.
"""

from __future__ import annotations

import asyncio

from .._errors import UsageError
from .._home import Home


class LoopHome(Home):
    """The event loop and process of one transport, for asyncio alone."""

    __slots__ = ("_loop", "_name")

    def __init__(self, name: str) -> None:
        super().__init__("transport")
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop; refuse trio, another loop, and a fork."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None or loop is not self._loop:
            self.enter()
            if loop is None:
                raise UsageError(
                    f"{self._name} runs on asyncio alone; on trio leave transport= out. "
                    "Nothing was sent."
                )
            self._loop = loop
        return loop
