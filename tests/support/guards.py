"""Guards that stand behind every test: no real network, no blocking call, no thread left behind.

Rule: a guard that saw something fails the test, also when the code under test swallowed the error.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx

from aldeamo_async.pytest_plugin import NetworkGuard, RealNetworkError, guarded_sockets

if TYPE_CHECKING:
    from collections.abc import Iterator

# The network's guard is the one that users get: this suite stands behind it too.
__all__ = [
    "NetworkGuard",
    "RealNetworkError",
    "guarded_sockets",
    "no_blocking_calls",
    "no_leaked_threads",
]

# How long a worker thread may take to end after its event loop was closed.
THREAD_GRACE_SECONDS = 2.0

# Where the package may touch the disk inside a loop, each once when a client is made.
MAY_BLOCK = [
    ("aldeamo_async/_settings/_dialect.py", "_as_zone"),  # the file of `Dialect(server_tz=...)`
    ("coverage/collector.py", "lock_data"),  # coverage's own lock, taken when threads are traced
    ("aldeamo_async/transports/_security.py", "_make"),  # the CA files, for the first TLS
    ("aldeamo_async/transports/_security.py", "certificates"),  # those that `verify` names
]


@contextmanager
def no_blocking_calls() -> Iterator[None]:
    """Make a blocking call from `aldeamo_async` inside a running asyncio loop an error.

    What runs in a worker thread, or without a loop, is not concerned.
    """
    with blockbuster_ctx("aldeamo_async") as blockbuster:
        for function in blockbuster.functions.values():
            for file, name in MAY_BLOCK:
                function.can_block_in(file, name)
        yield


@contextmanager
def no_leaked_threads() -> Iterator[None]:
    """Fail when a non-daemon thread that was started inside is still alive afterwards."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and not t.daemon]
    for thread in left:
        thread.join(THREAD_GRACE_SECONDS)
    names = sorted(thread.name for thread in left if thread.is_alive())
    if names:
        pytest.fail(f"This test left threads running: {', '.join(names)}", pytrace=False)
