"""A transport for tests: it answers from a script and remembers what it was asked.

Rule: it keeps the port's promises, so that what a test sees of it holds for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.lowlevel

from .._errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._settings import Timeouts
    from .._wire import Exchange, WireRequest


class ScriptedTransport:
    """Answers each request with the next value of a script, without a network.

    ``script`` holds ``WireResponse``, ``Unsent`` and ``MaybeSent`` values, in order; past its end a
    request is a ``UsageError``. ``requests`` and ``timeouts`` hold what came in, ``closed`` whether
    it was closed.
    """

    def __init__(self, script: Iterable[Exchange] = ()) -> None:
        self._script = iter(script)
        self.requests: list[WireRequest] = []
        self.timeouts: list[Timeouts] = []
        self.closed: bool = False

    def __repr__(self) -> str:
        return f"ScriptedTransport(requests={len(self.requests)}, closed={self.closed})"

    async def exchange(self, request: WireRequest, timeouts: Timeouts) -> Exchange:
        """Take note of the request and return the next value of the script."""
        await anyio.lowlevel.checkpoint()
        self.requests.append(request)
        self.timeouts.append(timeouts)
        answer = next(self._script, None)
        if answer is None:
            raise UsageError(
                f"The script of this ScriptedTransport ended before request {len(self.requests)}."
            )
        return answer

    async def aclose(self) -> None:
        """Take note that it was closed."""
        self.closed = True
