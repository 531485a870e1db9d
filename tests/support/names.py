"""A host of several addresses, whatever the machine that runs the tests calls its own."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

NAME = "localhost"  # http:// is let through to it


def resolve(monkeypatch: pytest.MonkeyPatch, *ports: int, name: str = NAME) -> None:
    """Let a name have so many addresses, in this order, all of them loopback."""
    genuine = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != name:
            return genuine(host, port, *args, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", there))
            for there in ports
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
