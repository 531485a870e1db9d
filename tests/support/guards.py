"""Guards that stand behind every test: no real network, no blocking call, no thread left behind.

Rule: a guard that saw something fails the test, also when the code under test swallowed the error.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from blockbuster import blockbuster_ctx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# How long a worker thread may take to end after its event loop was closed.
THREAD_GRACE_SECONDS = 2.0

# Where the package may touch the disk inside a loop, each once when a client is made.
MAY_BLOCK = [
    ("aldeamo_async/_settings/_dialect.py", "_as_zone"),  # the file of `Dialect(server_tz=...)`
    ("coverage/collector.py", "lock_data"),  # coverage's own lock, taken when threads are traced
    ("aldeamo_async/transports/_security.py", "_make"),  # the CA files, for the first TLS
    ("aldeamo_async/transports/_security.py", "certificates"),  # those that `verify` names
]


class RealNetworkError(AssertionError):
    """The code under test tried to leave this machine."""


class NetworkGuard:
    """Refuses every socket address but loopback and AF_UNIX, and remembers what it refused."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    @contextmanager
    def watch(self) -> Iterator[list[str]]:
        """Collect the refusals of one test, and fail it when there were any."""
        yield self.refused
        seen = "\n".join(self.refused)
        self.refused.clear()
        if seen:
            pytest.fail(seen, pytrace=False)

    def check_name(self, host: object) -> None:
        """Pass a loopback host; answer for `.invalid` names as DNS does; refuse the rest."""
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if name is None or name == "" or _is_loopback(str(name)):
            return
        if str(name).rstrip(".").lower().endswith(".invalid"):
            # RFC 6761: a name that no resolver knows. The real error, without asking anybody.
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        self._refuse(f"look up {name!r}")

    def check_address(self, family: int, address: Any) -> None:
        """Pass AF_UNIX paths and loopback addresses; refuse the rest."""
        if family == getattr(socket, "AF_UNIX", None):
            return
        if family not in (socket.AF_INET, socket.AF_INET6):
            self._refuse(f"reach {address!r}")
        self.check_name(address[0])

    def _refuse(self, what: str) -> None:
        text = (
            f"This test tried to {what}: only loopback is allowed in the test suite. "
            "Is a double (respx, MockTransport, the sandbox) missing or not in effect?"
        )
        self.refused.append(text)
        raise RealNetworkError(text)


def _is_loopback(host: str) -> bool:
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


@contextmanager
def guarded_sockets() -> Iterator[NetworkGuard]:
    """Put a `NetworkGuard` in front of the socket module, and take it away again."""
    guard = NetworkGuard()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, _guarded_method(guard, name))
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
            patch.setattr(socket, name, _guarded_lookup(guard, getattr(socket, name)))
        yield guard


def _guarded_method(guard: NetworkGuard, name: str) -> Callable[..., Any]:
    original = getattr(socket.socket, name)

    def method(sock: socket.socket, *args: Any) -> Any:
        guard.check_address(sock.family, args[-1])  # the address comes last in all three
        return original(sock, *args)

    return method


def _guarded_lookup(guard: NetworkGuard, original: Callable[..., Any]) -> Callable[..., Any]:
    def lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        guard.check_name(host)
        return original(host, *args, **kwargs)

    return lookup


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
