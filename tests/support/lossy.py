"""A proxy in front of a server that loses an answer when told to: done, but nobody was told.

Rule: what goes to the server arrives there, whole.
"""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

JOIN_SECONDS = 10.0
TICK_SECONDS = 0.05  # how long a stop may go unnoticed


class LossyProxy:
    """Carries bytes between a loopback port of its own and another."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopping = threading.Event()
        self._losing = threading.Event()
        self._words = b""
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.lost = 0

    def lose_answer(self, to: bytes = b"") -> None:
        """Swallow what the server says to the next words that contain these, and cut the
        connection."""
        self._words = to
        self._losing.set()

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(TICK_SECONDS)
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            self._start(self._carry, client)

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            heard = False
            other = {client: server, server: client}
            with selectors.DefaultSelector() as ready:
                for side in other:
                    ready.register(side, selectors.EVENT_READ)
                while not self._stopping.is_set():
                    for key, _ in ready.select(TICK_SECONDS):
                        side = key.fileobj
                        assert isinstance(side, socket.socket)
                        data = side.recv(65536)
                        if side is client and self._losing.is_set() and self._words in data:
                            heard = True
                            self._losing.clear()
                        elif side is server and heard:
                            self.lost += 1
                            return
                        if not data:
                            return
                        other[side].sendall(data)

    @contextmanager
    def running(self) -> Iterator[LossyProxy]:
        self._start(self._accept)
        try:
            yield self
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join(JOIN_SECONDS)
            self._listener.close()
