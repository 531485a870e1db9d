"""Ctrl-C for tests: at a moment of their choice, from a thread of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def until(true: Callable[[], object]) -> None:
    """Wait until something has happened, however busy the machine: most of a test's time-out."""
    patience = time.monotonic() + 100
    while not true():
        assert time.monotonic() < patience
        time.sleep(0.005)


def heard() -> int | None:
    """How many signals the command in this process has counted; None while it does not listen."""
    return getattr(getattr(signal.getsignal(signal.SIGINT), "__self__", None), "count", None)


@contextlib.contextmanager
def interrupting(*moments: Callable[[], object]) -> Iterator[None]:
    """Send this process one Ctrl-C after each moment, as long as the block lasts."""
    over = Event()

    def interrupt() -> None:
        for moment in moments:
            until(lambda moment=moment: over.is_set() or moment())
            if not over.is_set():
                os.kill(os.getpid(), signal.SIGINT)

    thread = Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
