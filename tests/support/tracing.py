"""Which tests are traced for coverage.

Rule: what runs on trio is not, unless it is marked `traced`. It goes the way of its twin on
asyncio, and Python 3.11 takes 2.6 times as long where it traces. So marked is what the twin cannot
show: that tracer loses sight of some coroutines of asyncio after a cancel scope.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def untraced() -> Iterator[None]:
    """Run what is inside, and the threads that it starts, without the tracer there may be."""
    here, in_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]  # as its documentation says
    try:
        yield
    finally:
        threading.settrace(in_threads)  # type: ignore[arg-type]
        sys.settrace(here)
