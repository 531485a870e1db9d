"""The event loop and the process that a transport belongs to.

Rule: bound at first use, not before; a use from anywhere else is refused, for its sockets live
where they were opened.
"""

from __future__ import annotations

import os

import anyio.lowlevel

from .._errors import UsageError


class Home:
    """Remembers the first event loop and process, and refuses others."""

    def __init__(self) -> None:
        self._loop: object = None
        self._process: int | None = None

    def check(self) -> None:
        """Bind to the running loop the first time; refuse another one later."""
        process = os.getpid()
        # First of all: in a forked child asyncio does not even know its loop.
        if self._process not in (None, process):
            raise UsageError(
                "This transport was first used before a fork; the parent owns its connections. "
                "Make a new one in each process. Nothing was sent."
            )
        loop = anyio.lowlevel.current_token()
        if self._process is None:
            self._loop, self._process = loop, process
        elif self._loop != loop:
            raise UsageError(
                "This transport was first used in another event loop, where its connections live. "
                "Make one for each event loop (each asyncio.run), or use one loop for all calls. "
                "Nothing was sent."
            )
