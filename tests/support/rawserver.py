"""A raw HTTP server on a loopback socket: one script per connection, a count of deliveries.

Rule 1: it knows nothing of the library under test, nor of any HTTP library; it reads bytes.
Rule 2: a POST is delivered when the last byte of its body was read here, whatever came after.
Rule 3: after `stop()` every thread has ended, so that a count is final.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator

SENT_BODY = b'{"status": true, "codigo": 0, "message": "Message sent", "data": 32}'
_CONTENT_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
_JOIN_SECONDS = 10.0  # longer than any script waits by itself


class Seen(NamedTuple):
    """One complete request as it came over the wire."""

    head: bytes
    body: bytes

    @property
    def method(self) -> str:
        return self.head.partition(b" ")[0].decode()

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}


def answer(body: bytes = SENT_BODY, *extra: str, status: str = "200 OK") -> bytes:
    """A complete HTTP/1.1 answer with its length."""
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *extra]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


class Connection:
    """One accepted connection, in the hands of a script."""

    def __init__(self, server: RawServer, sock: socket.socket) -> None:
        self._server = server
        self._rest = b""
        self.sock = sock

    def read_head(self) -> bytes | None:
        """Read the head of a request; `None` where the client closed instead."""
        while b"\r\n\r\n" not in self._rest:
            chunk = self.sock.recv(65536)
            if not chunk:
                return None
            self._rest += chunk
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return head

    def read_request(self) -> Seen | None:
        """Read a whole request and count it; `None` where the client closed before its end."""
        head = self.read_head()
        if head is None:
            return None
        found = _CONTENT_LENGTH.search(head)
        length = int(found[1]) if found else 0
        while len(self._rest) < length:
            chunk = self.sock.recv(65536)
            if not chunk:
                return None
            self._rest += chunk
        body, self._rest = self._rest[:length], self._rest[length:]
        seen = Seen(head, body)
        self._server.requests.append(seen)
        return seen

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Drop the connection with a RST, as a crashed peer does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hang(self, seconds: float | None = None) -> bool:
        """Do nothing for that long, or until the server stops; `True` where it stopped."""
        return self._server.stopping.wait(seconds)

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.sock = self._server.keep(context.wrap_socket(self.sock, server_side=True))


class RawServer:
    """Listens on loopback and runs `script(connection)` in a thread for each connection."""

    def __init__(
        self,
        script: Callable[[Connection], None],
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self._script = script
        self._tls = tls
        self._host = f"[{host}]" if ":" in host else host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.stopping = threading.Event()
        self.requests: list[Seen] = []
        self.connections = 0
        self.ended = 0  # connections that are closed on this side
        self.port: int = self._listener.getsockname()[1]

    @property
    def base_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}/bots"

    def deliveries(self, text: str = "") -> int:
        """How many POST bodies that hold this text were read to their last byte."""
        wanted = text.encode()
        return sum(seen.method == "POST" and wanted in seen.body for seen in self.requests)

    def keep(self, sock: ssl.SSLSocket) -> ssl.SSLSocket:
        """Close that socket too when the server stops."""
        self._sockets.append(sock)
        return sock

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="rawserver")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(sock)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        connection = Connection(self, sock)
        with contextlib.suppress(OSError):  # a client that goes away is what these tests are about
            if self._tls:
                connection.start_tls(self._tls)
            self._script(connection)
        connection.sock.close()
        sock.close()
        self.ended += 1

    def stop(self) -> None:
        """End every connection and every thread; safe to call twice."""
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._threads[0].join(_JOIN_SECONDS)
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(_JOIN_SECONDS)
        for sock in list(self._sockets):
            sock.close()


def serve_all(connection: Connection) -> None:
    """Answer every request of a connection properly."""
    while connection.read_request():
        connection.send(answer())


def free_port() -> int:
    """A loopback port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextlib.contextmanager
def black_hole() -> Generator[str]:
    """An address whose queue of connections is full: a connect gets no answer at all."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}/bots"
