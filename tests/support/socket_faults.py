"""What a network does to a request, as raw servers: one list for the transports and for the client.

Rule: an expectation is about evidence and deliveries, on which a duplicate message depends.
"""

from __future__ import annotations

import atexit
import gzip
import os
import socket
import ssl
import tempfile
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import trustme
from attrs import field, frozen

from aldeamo_async._evidence import Evidence
from support.rawserver import SENT_BODY, Connection, RawServer, answer, free_port, serve_all

if TYPE_CHECKING:
    from collections.abc import Generator

UNSENT, MAYBE, ANSWERED = Evidence.UNSENT, Evidence.MAYBE_SENT, Evidence.ANSWERED
READ_TIMEOUT = 0.3  # seconds; drips come three times as often
CAP = 100_000  # bytes; the cap on answers in this suite
_NOTICES_WITHIN = 1.0  # seconds


@cache
def authority() -> trustme.CA:
    """The certificate authority that the transports of this suite trust."""
    return trustme.CA()


@cache
def authority_file() -> Path:
    """The same authority as a file, for those who read no `ssl.SSLContext`."""
    handle, name = tempfile.mkstemp(suffix=".pem")
    os.close(handle)
    path = Path(name)
    atexit.register(path.unlink)
    authority().cert_pem.write_to_path(path)
    return path


@cache
def client_context() -> ssl.SSLContext:
    """One TLS context that trusts it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority().configure_trust(context)
    return context


def server_context(ca: trustme.CA | None = None, host: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (ca or authority()).issue_cert(host).configure_cert(context)
    return context


@frozen
class Target:
    """Where to send, and who counts. `stop()` ends the servers, after which the count is final."""

    base_url: str
    deliveries: Callable[[str], int] = lambda text: 0
    ended: Callable[[], int] = lambda: 0
    proxy: str | None = None
    stop: Callable[[], None] = lambda: None


@frozen
class Fault:
    """One thing that happens: how to set it up, the evidence to expect, the deliveries allowed.

    `warm_up` sends one healthy message first, so that the fault hits a connection kept alive;
    `ended` is the number of connections that must be closed by then.
    """

    name: str
    open: Callable[[], AbstractContextManager[Target]] = field(repr=False)
    expected: tuple[Evidence, ...]
    deliveries: tuple[int, ...]
    warm_up: bool = False
    ended: int = 0
    total: float = 5.0  # seconds for the whole exchange
    status: int | None = None

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def _serving(
    script: Callable[[Connection], None], tls: Callable[[], ssl.SSLContext] | None = None
) -> Callable[[], AbstractContextManager[Target]]:
    @contextmanager
    def opened() -> Generator[Target]:
        with RawServer(script, tls=tls and tls()) as server:
            yield Target(
                server.base_url,
                server.deliveries,
                lambda: server.ended,
                stop=server.stop,
            )

    return opened


@contextmanager
def _refused() -> Generator[Target]:
    yield Target(f"http://127.0.0.1:{free_port()}/bots")


@contextmanager
def _unknown_host() -> Generator[Target]:
    yield Target("https://api.invalid/bots")


def _stranger() -> ssl.SSLContext:
    return server_context(trustme.CA())


def _wrong_name() -> ssl.SSLContext:
    return server_context(host="other.example")


def _old_tls() -> ssl.SSLContext:
    context = server_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def _drop_at_accept(connection: Connection) -> None:
    connection.reset()


def _drop_after_headers(connection: Connection) -> None:
    connection.read_head()
    connection.reset()


def _drop_after_body(connection: Connection) -> None:
    connection.read_request()
    connection.reset()


def _close_after_body(connection: Connection) -> None:
    connection.read_request()


def _half_an_answer(connection: Connection) -> None:
    connection.read_request()
    connection.send(answer()[:-20])


def _half_a_head(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\ncontent-le")


def _not_http(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


def _close_when_idle(connection: Connection) -> None:
    connection.read_request()
    connection.send(answer())
    # A client that watches its idle connections in a thread of its own closes this one too, as soon
    # as that thread is let run; others look when they need one, so they are not waited for.
    connection.sock.shutdown(socket.SHUT_WR)
    connection.sock.settimeout(_NOTICES_WITHIN)
    connection.read_head()


def _close_as_the_next_comes(connection: Connection) -> None:
    connection.read_request()
    connection.send(answer())
    connection.read_head()
    connection.reset()


def _hang_before_reading(connection: Connection) -> None:
    connection.hang()


def _hang_after_the_effect(connection: Connection) -> None:
    connection.read_request()
    connection.hang()


def _drip(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
    while not connection.hang(READ_TIMEOUT / 3):
        connection.send(b" ")


def _drip_the_head(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nx-slow: ")
    while not connection.hang(READ_TIMEOUT / 3):
        connection.send(b"x")


def _too_large(connection: Connection) -> None:
    while connection.read_request():
        connection.send(answer(b" " * 20 * CAP))


def _bomb(connection: Connection) -> None:
    while connection.read_request():
        connection.send(answer(gzip.compress(bytes(20 * CAP)), "content-encoding: gzip"))


def _informational(connection: Connection) -> None:
    while connection.read_request():
        connection.send(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </>\r\n\r\n"
        )
        connection.send(answer())


def _chunked(connection: Connection) -> None:
    while connection.read_request():
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for part in (SENT_BODY[:9], SENT_BODY[9:], b""):
            connection.send(b"%x\r\n%b\r\n" % (len(part), part))


def _gzipped(connection: Connection) -> None:
    while connection.read_request():
        connection.send(answer(gzip.compress(SENT_BODY), "content-encoding: gzip"))


def _redirect(connection: Connection) -> None:
    while connection.read_request():
        connection.send(answer(b"", "location: /bots/messages", status="307 Temporary Redirect"))


@contextmanager
def _proxy(tunnel: Callable[[Connection, int], None]) -> Generator[Target]:
    with ExitStack() as stack:
        origin = stack.enter_context(RawServer(serve_all, tls=server_context()))
        proxy = stack.enter_context(RawServer(lambda connection: tunnel(connection, origin.port)))

        def stop() -> None:
            proxy.stop()
            origin.stop()

        yield Target(
            origin.base_url,
            origin.deliveries,
            lambda: proxy.ended,
            proxy=f"http://ana:secret@127.0.0.1:{proxy.port}",
            stop=stop,
        )


def _proxy_drops(connection: Connection, port: int) -> None:
    connection.read_head()
    connection.reset()


def _proxy_refuses(connection: Connection, port: int) -> None:
    connection.read_head()
    connection.send(answer(b"", status="407 Proxy Authentication Required"))


def _proxy_drops_in_the_handshake(connection: Connection, port: int) -> None:
    connection.read_head()
    connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    connection.sock.recv(1)
    connection.reset()


def _proxy_works(connection: Connection, port: int) -> None:
    connection.read_head()
    with socket.create_connection(("127.0.0.1", port)) as onward:
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_pump, args=(onward, connection.sock))
        back.start()
        _pump(connection.sock, onward)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


FAULTS: tuple[Fault, ...] = (
    Fault("refused", _refused, (UNSENT,), (0,)),
    Fault("unknown host", _unknown_host, (UNSENT,), (0,)),
    Fault("certificate of a stranger", _serving(serve_all, _stranger), (UNSENT,), (0,)),
    Fault("certificate for another name", _serving(serve_all, _wrong_name), (UNSENT,), (0,)),
    Fault("TLS 1.1 only", _serving(serve_all, _old_tls), (UNSENT,), (0,)),
    # The reset may arrive while the client still connects: then nothing was sent, and it can tell.
    Fault("drop at accept", _serving(_drop_at_accept), (MAYBE, UNSENT), (0,)),
    Fault("drop after headers", _serving(_drop_after_headers), (MAYBE,), (0,)),
    Fault("drop after body", _serving(_drop_after_body), (MAYBE,), (1,)),
    Fault("close after body", _serving(_close_after_body), (MAYBE,), (1,)),
    Fault("half a head", _serving(_half_a_head), (MAYBE,), (1,)),
    Fault("half an answer", _serving(_half_an_answer), (MAYBE,), (1,)),
    Fault("not HTTP", _serving(_not_http), (MAYBE,), (1,)),
    Fault("stale keep-alive", _serving(_close_when_idle), (ANSWERED,), (1,), True, 1, status=200),
    Fault("closed as it is used", _serving(_close_as_the_next_comes), (MAYBE,), (0,), True),
    Fault("hang before reading", _serving(_hang_before_reading), (MAYBE,), (0,)),
    Fault("hang after the effect", _serving(_hang_after_the_effect), (MAYBE,), (1,)),
    Fault("drip of a body", _serving(_drip), (MAYBE,), (1,), total=1.0),
    Fault("drip of a head", _serving(_drip_the_head), (MAYBE,), (1,), total=1.0),
    Fault("proxy drops CONNECT", lambda: _proxy(_proxy_drops), (UNSENT,), (0,)),
    Fault("proxy refuses CONNECT", lambda: _proxy(_proxy_refuses), (UNSENT,), (0,)),
    Fault(
        "proxy drops the handshake", lambda: _proxy(_proxy_drops_in_the_handshake), (UNSENT,), (0,)
    ),
    Fault("proxy works", lambda: _proxy(_proxy_works), (ANSWERED,), (1,), status=200),
    Fault("answer over the cap", _serving(_too_large), (ANSWERED,), (1,), status=200),
    Fault("decompression bomb", _serving(_bomb), (ANSWERED,), (1,), status=200),
    Fault("1xx before the answer", _serving(_informational), (ANSWERED,), (1,), status=200),
    Fault("chunked answer", _serving(_chunked), (ANSWERED,), (1,), status=200),
    Fault("gzip answer", _serving(_gzipped), (ANSWERED,), (1,), status=200),
    Fault("redirect", _serving(_redirect), (ANSWERED,), (1,), status=307),
    Fault(
        "healthy over TLS", _serving(serve_all, server_context), (ANSWERED,), (1,), True, status=200
    ),
)
OVERSIZED = ("answer over the cap", "decompression bomb")
