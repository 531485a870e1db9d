"""Where a client lives: the event loop and the process of its first call, until its close.

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
    """The loop and process of one client and all its views."""

    __slots__ = ("__weakref__", "_process", "_token", "closed")

    def __init__(self) -> None:
        self._token: EventLoopToken | None = None
        self._process = 0
        self.closed = False

    @property
    def bound(self) -> bool:
        """Whether a first call was made."""
        return self._token is not None

    def enter(self) -> None:
        """Bind at the first call; refuse calls from elsewhere and after the close."""
        if self.closed:
            raise UsageError("This client is closed; make a new one.")
        token = current_token()
        if self._token is None:
            self._token, self._process = token, os.getpid()
        elif self._process != os.getpid():
            raise UsageError(
                "This client was used before a fork; make a new client in the child process."
            )
        elif token != self._token:
            raise UsageError(
                "This client belongs to another event loop; "
                "make one client for each loop (each asyncio.run)."
            )

    def __del__(self) -> None:
        # After a fork the parent's client is the parent's to close.
        if self.bound and not self.closed and self._process == os.getpid():
            warnings.warn(
                "An AsyncBotsClient was not closed; use 'async with' or await aclose().",
                ResourceWarning,
                stacklevel=2,
            )
