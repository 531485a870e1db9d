"""A guard against real I/O: in a test, nothing leaves this machine.

Rule 1: a refusal counts even where the code under test swallowed the error.
Rule 2: it stands in front of Python's own sockets. What opens sockets below Python (uvloop, an
HTTP library in Rust or C) it cannot see.
"""

from __future__ import annotations

import ipaddress
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class RealNetworkError(AssertionError):
    """The code under test tried to leave this machine."""


class NetworkGuard:
    """Refuses every socket address but loopback and AF_UNIX, and remembers what it refused."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    @contextmanager
    def watch(self) -> Generator[list[str]]:
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
            f"This test tried to {what}: only loopback is allowed in it. "
            "Is a double (the sandbox, respx, MockTransport) missing or not in effect?"
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
def guarded_sockets() -> Generator[NetworkGuard]:
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
