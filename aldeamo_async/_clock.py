"""The clock of the event loop, as every message looks at it several times.

Rule: it is ``anyio.current_time()`` to the last digit, or a deadline would not mean what it says.
"""

from __future__ import annotations

import asyncio

import anyio


def now() -> float:
    """Return the seconds of ``anyio.current_time()``; in a task of asyncio at a third of its price.

    Raises:
        RuntimeError: no event loop runs here.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return anyio.current_time()
    # Without a task it may be trio, as a guest of this loop.
    return loop.time() if asyncio.current_task(loop) else anyio.current_time()
