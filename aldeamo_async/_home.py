"""Where connections live: the event loop and the process of the first call.

Rule 1: nothing is bound before the first call, so a client may be made at import time.
Rule 2: a call from another loop, or after a fork, is a clear error instead of a connection that
hangs.
Rule 3: forgetting to close is a warning; nothing is ever closed behind the caller's back.
"""

from __future__ import annotations

import os
import warnings

from anyio.lowlevel import EventLoopToken, current_token

from ._errors import UsageError


class Home:
    """The loop and process of one thing that holds connections: a ``client``, a ``transport``."""

    __slots__ = ("_process", "_thing", "_token")

    def __init__(self, thing: str) -> None:
        self._thing = thing
        self._token: EventLoopToken | None = None
        self._process = 0

    @property
    def bound(self) -> bool:
        """Whether a first call was made."""
        return self._token is not None

    def enter(self) -> None:
        """Bind at the first call; refuse calls from elsewhere."""
        # The process comes first: in a forked child asyncio does not even know its loop.
        if self.bound and self._process != os.getpid():
            raise UsageError(
                f"This {self._thing} was used before a fork, and the parent owns its connections; "
                "make a new one in the child process. Nothing was sent."
            )
        token = current_token()
        if self._token is None:
            self._token, self._process = token, os.getpid()
        elif token != self._token:
            raise UsageError(
                f"This {self._thing} belongs to another event loop, where its connections live; "
                "make one for each loop (each asyncio.run). Nothing was sent."
            )


class ClientHome(Home):
    """The home of one client and all its views, until its close."""

    __slots__ = ("__weakref__", "_name", "closed")

    def __init__(self, name: str = "AsyncBotsClient") -> None:
        super().__init__("client")
        self._name = name
        self.closed = False

    def enter(self) -> None:
        """Bind at the first call; refuse calls from elsewhere and after the close."""
        if self.closed:
            raise UsageError("This client is closed; make a new one. Nothing was sent.")
        super().enter()

    def __del__(self) -> None:
        # After a fork the parent's client is the parent's to close.
        if self.bound and not self.closed and self._process == os.getpid():
            warnings.warn(
                f"An {self._name} was not closed; use 'async with' or await aclose().",
                ResourceWarning,
                stacklevel=2,
            )
