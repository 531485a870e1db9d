"""The fast leaf over asyncio: what it writes, what it reads, and how its connections live.

Its evidence is in the suites, its cancellations in test_cancellation.py.
"""

from __future__ import annotations

import asyncio
import gzip
import math
import os
import socket
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aldeamo_async._errors import UsageError
from aldeamo_async._evidence import Phase
from aldeamo_async.transports import (
    Exchange,
    HttptoolsTransport,
    HttpxTransport,
    LaneStats,
    LaneTransport,
    MaybeSent,
    Timeouts,
    Transport,
    Unsent,
    UnverifiedServerWarning,
    WireRequest,
    WireResponse,
)
from aldeamo_async.transports._http1 import write_out
from support.names import NAME, resolve
from support.rawserver import (
    SENT_BODY,
    Connection,
    RawServer,
    Seen,
    answer,
    black_hole,
    free_port,
    serve_all,
)
from support.socket_faults import client_context, server_context
from support.wire import KEY, PHONE, TEXT, reading, sending, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from aldeamo_async.transports._connection import Connection as OurConnection

pytestmark = [pytest.mark.real_clock, pytest.mark.asyncio_only]

ANY = Timeouts(total=20.0)
LONG = 60.0  # seconds; no test may take as long
OUT_OF_TIME = "the time of the call ran out"


async def asked(transport: Transport, request: Callable[[str], WireRequest]) -> Seen:
    """What a server sees of one request."""
    with RawServer(serve_all) as server:
        assert isinstance(await transport.exchange(request(server.base_url), ANY), WireResponse)
        await transport.aclose()
        return server.requests[0]


def scripted(*pieces: bytes) -> Callable[[Connection], None]:
    """A server that answers every request of a connection in these pieces."""

    def serve(connection: Connection) -> None:
        while connection.read_request():
            for piece in pieces:
                connection.send(piece)

    return serve


async def answered(raw: bytes, transport: Transport, **dialect: object) -> Exchange:
    """What becomes of an answer, after which the server closes."""

    def serve(connection: Connection) -> None:
        if connection.read_request():
            connection.send(raw)

    with RawServer(serve) as server:
        try:
            return await transport.exchange(sending(server.base_url, **dialect), ANY)
        finally:
            await transport.aclose()


def block(seconds: float) -> None:
    """Keep the event loop busy for that long."""
    loop = asyncio.get_running_loop()
    late = loop.time() + seconds
    while loop.time() < late:
        continue


def idle(transport: HttptoolsTransport) -> list[OurConnection]:
    """The connections at rest, the one used last at the end."""
    return list(transport._idle)


# ── what it writes ──


@pytest.mark.parametrize("auth_in", ["params", "query", "header", "header+params"])
@pytest.mark.parametrize("post_encoding", ["form", "json", "query"])
async def test_it_writes_what_the_default_writes(auth_in: str, post_encoding: str) -> None:
    """In every dialect the two transports send the same bytes."""
    dialect = {"auth_in": auth_in, "post_encoding": post_encoding}
    for request in (
        lambda url: sending(url, "¿Qué tal, Ñandú? 👋 & = ~*'()/;:@", **dialect),
        lambda url: reading(url, **dialect),
    ):
        lane = await asked(LaneTransport(), request)
        fast = await asked(HttptoolsTransport(), request)
        assert without_port(fast) == without_port(lane)


def dialects() -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries(
        {
            "auth_in": st.sampled_from(["params", "query", "header", "header+params"]),
            "post_encoding": st.sampled_from(["form", "json", "query"]),
        }
    )


class Kept(httpx.AsyncBaseTransport):
    """Answers yes, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(200, content=SENT_BODY)


URLS = ["https://api.invalid/b/ñ%20x", "https://[::1]:8443", "https://mañana.invalid:443/bots"]


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=50).filter(str.strip), st.sampled_from(URLS), dialects())
async def test_any_text_to_any_url(text: str, base_url: str, dialect: dict[str, str]) -> None:
    """What is written is what httpx would write, whatever stands in texts and URLs."""
    text = text.encode(errors="replace").decode()  # half an emoji is refused before
    for request in (sending(base_url, text, **dialect), reading(base_url, **dialect)):
        kept = Kept()
        await HttpxTransport(kept).exchange(request, ANY)
        wire = kept.requests[0]
        head = b"%s %s HTTP/1.1\r\n" % (wire.method.encode(), wire.url.raw_path)
        lines = b"".join(b"%s: %s\r\n" % line for line in wire.headers.raw)
        assert write_out(request).data == head + lines + b"\r\n" + wire.content


def without_port(seen: Seen) -> tuple[list[bytes], bytes]:
    """All of a request but the port of its server, which stands in its second line."""
    request, host, *lines = seen.head.split(b"\r\n")
    return [request, host.rpartition(b":")[0], *lines], seen.body


async def test_cookies_are_not_kept() -> None:
    """A cookie that the server sets does not come back."""
    with RawServer(scripted(answer(SENT_BODY, "set-cookie: session=1; path=/"))) as server:
        transport = HttptoolsTransport()
        for _ in range(2):
            await transport.exchange(sending(server.base_url), ANY)
        await transport.aclose()
        assert server.connections == 1
        assert not [seen for seen in server.requests if "cookie" in seen.headers]


@pytest.mark.parametrize("trust_env", [True, False])
@pytest.mark.parametrize(
    ("base_url", "dialect"),
    [
        ("https://ñ..invalid/bots", {}),
        ("http://127.0.0.1/bots", {"post_encoding": "query"}),
    ],
    ids=["a host that is none", "a text too long for a URL"],
)
async def test_a_request_that_cannot_be_written(
    base_url: str, dialect: dict[str, str], *, trust_env: bool
) -> None:
    """It is the caller's mistake, found before any I/O; the error quotes nothing."""
    transport = HttptoolsTransport(trust_env=trust_env)
    request = sending(base_url, "x" * 70_000, **dialect)
    with pytest.raises(UsageError, match="POST /messages makes a URL that cannot") as caught:
        await transport.exchange(request, ANY)
    assert KEY not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert transport.stats().busy == 0
    await transport.aclose()


# ── what it reads ──

TRAILER = b"2\r\n{}\r\n0\r\nx-late: 1\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        answer(SENT_BODY, "X-One: 1", "x-one: 2", "x-odd: caf\xe9", "x-none:", "x-space: a \t"),
        answer(gzip.compress(SENT_BODY, mtime=0), "Content-Encoding: gzip"),
        answer(SENT_BODY, "content-encoding: gzip"),
        answer(b"", status="204 No Content"),
        b"HTTP/1.1 503\r\nretry-after: 5 \r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + TRAILER,
        b"HTTP/1.1 200 OK\r\n\r\n" + SENT_BODY,
        b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n" + SENT_BODY,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\n" + answer(),
        answer() + b"what nobody asked for",
        answer() + answer(b"another"),
        answer(b" " * 101),
    ],
)
async def test_it_reads_what_the_default_reads(raw: bytes) -> None:
    """The two transports bring the same status, headers and body."""
    fast = await answered(raw, HttptoolsTransport(), max_response_bytes=100)
    assert isinstance(fast, WireResponse)
    assert fast == await answered(raw, LaneTransport(), max_response_bytes=100)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_answer_that_ends_with_its_connection(*, tls: bool) -> None:
    """It is complete when the server closes, by TLS as well."""

    def serve(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + SENT_BODY)
        if tls:
            connection.sock.unwrap()  # type: ignore[attr-defined]

    with RawServer(serve, tls=server_context() if tls else None) as server:
        transport = HttptoolsTransport(verify=client_context())
        result = await transport.exchange(sending(server.base_url), ANY)
        assert result == WireResponse(200, (), SENT_BODY)
        assert not idle(transport)
        await transport.aclose()


async def test_a_list_of_megabytes() -> None:
    """A long answer comes whole, and its connection serves again."""
    body = b"0123456789" * 300_000
    with RawServer(scripted(answer(body))) as server:
        transport = HttptoolsTransport()
        for _ in range(3):
            result = await transport.exchange(reading(server.base_url), ANY)
            assert isinstance(result, WireResponse)
            assert result.body == body
        await transport.aclose()
        assert server.connections == 1


async def test_what_is_no_answer() -> None:
    """It may have been sent, its connection is closed, and its place is free."""
    transport = HttptoolsTransport(max_connections=1)
    with RawServer(scripted(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n")) as server:
        for _ in range(3):
            assert await transport.exchange(sending(server.base_url), ANY) == MaybeSent(
                Phase.READ,
                "RemoteProtocolError: the server closed the connection early or broke the HTTP "
                "protocol",
            )
        assert transport.stats() == LaneStats(1, open=0, idle=0, busy=0, waiting=0, discarded=3)
        assert server.connections == 3
        await transport.aclose()


# ── connections ──


@pytest.mark.parametrize("tickets", [None, 0, 2], ids=["plain", "tls", "tls with tickets"])
async def test_connections_are_used_again(tickets: int | None) -> None:
    """One message after the other takes one connection, whatever TLS says between them."""
    context = None
    if tickets is not None:
        context = server_context()
        context.num_tickets = tickets
    with RawServer(serve_all, tls=context) as server:
        transport = HttptoolsTransport(max_connections=1, verify=client_context())
        for number in range(20):
            assert isinstance(await transport.exchange(sending(server.base_url), ANY), WireResponse)
            if number % 5 == 0:
                await anyio.sleep(0.06)  # a rest after which it is looked at again
        assert transport.stats() == LaneStats(1, open=1, idle=1, busy=0, waiting=0, discarded=0)
        await transport.aclose()
        assert server.connections == 1


async def test_an_answer_over_the_cap_costs_its_connection() -> None:
    """The rest of a body is never taken for the next answer, on a connection that had been good."""
    bodies = [SENT_BODY, b" " * 300_000, SENT_BODY]

    def serve(connection: Connection) -> None:
        while connection.read_request():
            connection.send(answer(bodies[len(server.requests) - 1]))

    with RawServer(serve) as server:
        transport = HttptoolsTransport(max_connections=1)
        request = sending(server.base_url, max_response_bytes=100)
        results = [await transport.exchange(request, ANY) for _ in bodies]
        await transport.aclose()
        assert [result.oversized for result in results if isinstance(result, WireResponse)] == [
            False,
            True,
            False,
        ]
        assert server.connections == 2


async def test_a_server_that_closes_while_it_is_used() -> None:
    """However a connection ends between two messages, no message arrives twice."""

    def serve(connection: Connection) -> None:
        connection.read_request()
        connection.send(answer())

    with RawServer(serve) as server:
        transport = HttptoolsTransport(max_connections=3)
        results: dict[str, Exchange] = {}

        async def send(worker: int) -> None:
            for number in range(100):
                text = f"message-{worker}-{number}-"
                results[text] = await transport.exchange(sending(server.base_url, text), ANY)

        async with anyio.create_task_group() as tasks:
            for worker in range(3):
                tasks.start_soon(send, worker)
        await transport.aclose()
        await anyio.to_thread.run_sync(server.stop)
        for text, result in results.items():
            allowed = {WireResponse: (1,), Unsent: (0,), MaybeSent: (0, 1)}[type(result)]
            assert server.deliveries(text) in allowed, result
        assert sum(isinstance(result, WireResponse) for result in results.values()) > 100


@pytest.mark.parametrize("farewell", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_a_close_that_the_loop_did_not_see(farewell: bytes) -> None:
    """A connection that rested is looked at once more, without waiting for the loop."""
    closed = 0

    def serve(connection: Connection) -> None:
        nonlocal closed
        connection.read_request()
        connection.send(answer())
        connection.hang(0.05)
        connection.send(farewell)
        connection.sock.close()
        closed += 1

    with RawServer(serve) as server:
        transport = HttptoolsTransport()
        for number in (1, 2, 3):
            result = await transport.exchange(sending(server.base_url), ANY)
            assert isinstance(result, WireResponse)
            assert result.status == 200
            while closed < number:
                block(0.1)
        await transport.aclose()
        assert server.connections == 3


async def test_a_word_that_nobody_asked_for() -> None:
    """A connection on which something comes at rest is closed: it is no answer to the next."""

    def serve(connection: Connection) -> None:
        while connection.read_request():
            connection.send(answer())
            if not connection.hang(0.05):
                connection.send(answer(b"stray"))

    with RawServer(serve) as server:
        transport = HttptoolsTransport()
        for _ in range(2):
            result = await transport.exchange(sending(server.base_url), ANY)
            assert isinstance(result, WireResponse)
            assert result.body == SENT_BODY
            (connection,) = idle(transport)
            await connection.lost
            assert transport.stats().open == 0
        await transport.aclose()
        assert server.connections == 2


async def test_a_connection_that_is_closing() -> None:
    """Between a break and the loop's word of it nothing is written to a connection."""
    with RawServer(serve_all) as server:
        transport = HttptoolsTransport()
        await transport.exchange(sending(server.base_url), ANY)
        (connection,) = idle(transport)
        connection._transport.abort()
        assert not connection.lost.done()
        assert isinstance(await transport.exchange(sending(server.base_url), ANY), WireResponse)
        await transport.aclose()
        assert server.connections == 2


async def test_a_server_that_says_goodbye() -> None:
    """After the end of what the server sends its connection takes no other request."""

    def serve(connection: Connection) -> None:
        connection.read_request()
        connection.send(answer())
        connection.sock.shutdown(socket.SHUT_WR)
        connection.hang()

    with RawServer(serve) as server:
        transport = HttptoolsTransport()
        for _ in range(3):
            assert isinstance(await transport.exchange(sending(server.base_url), ANY), WireResponse)
            for connection in idle(transport):
                await connection.lost
        await transport.aclose()
        assert server.connections == 3


async def test_a_connection_past_its_keep_alive_is_not_used() -> None:
    """An idle connection is left before a server would close it, and a new one is opened."""
    with RawServer(serve_all) as server:
        transport = HttptoolsTransport(keepalive_expiry=0.05)
        for _ in range(3):
            assert isinstance(await transport.exchange(sending(server.base_url), ANY), WireResponse)
            await anyio.sleep(0.1)  # real time is the subject here
        await transport.aclose()
        assert server.connections == 3


async def test_a_slow_answer_does_not_age_its_connection() -> None:
    """It rests from the end of its last answer on, not from its beginning."""

    def serve(connection: Connection) -> None:
        while connection.read_request():
            connection.hang(0.3)
            connection.send(answer())

    with RawServer(serve) as server:
        transport = HttptoolsTransport(keepalive_expiry=0.25)
        for _ in range(3):
            assert isinstance(await transport.exchange(sending(server.base_url), ANY), WireResponse)
        await transport.aclose()
        assert server.connections == 1


async def send_at_once(transport: Transport, base_url: str, count: int) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(transport.exchange, sending(base_url), ANY)


async def test_connections_that_nobody_needs_go() -> None:
    """With each message the connection that rested longest goes, once it is past its time."""
    with RawServer(serve_all) as server:
        transport = HttptoolsTransport(keepalive_expiry=1.0)
        await send_at_once(transport, server.base_url, 3)
        assert transport.stats().idle == 3
        left = []
        for _ in range(6):
            await anyio.sleep(0.3)
            await transport.exchange(sending(server.base_url), ANY)
            left.append(transport.stats().idle)
        assert left[0] == 3
        assert left[-1] == 1
        await transport.aclose()
        assert server.connections == 3  # the one used last was used again


async def test_another_server_takes_one_place() -> None:
    """A connection leads where it was made for; one that leads elsewhere makes room."""
    with RawServer(serve_all) as one, RawServer(serve_all, tls=server_context()) as other:
        transport = HttptoolsTransport(max_connections=3, verify=client_context())
        await send_at_once(transport, one.base_url, 3)
        await transport.exchange(sending(other.base_url, "to the other"), ANY)
        assert transport.stats() == LaneStats(3, open=3, idle=3, busy=0, waiting=0, discarded=1)
        await transport.exchange(sending(other.base_url, "to the other"), ANY)
        await transport.exchange(sending(one.base_url), ANY)
        assert transport.stats() == LaneStats(3, open=3, idle=3, busy=0, waiting=0, discarded=2)
        await transport.aclose()
        assert (one.connections, other.connections) == (4, 1)
        assert (one.deliveries("to+the+other"), other.deliveries("to+the+other")) == (0, 2)


async def test_no_more_at_once_than_places() -> None:
    """However many messages there are, no more connections are open than allowed."""
    with RawServer(serve_all) as server:
        transport = HttptoolsTransport(max_connections=2)
        await send_at_once(transport, server.base_url, 20)
        assert transport.stats() == LaneStats(2, open=2, idle=2, busy=0, waiting=0, discarded=0)
        await transport.aclose()
        assert server.connections == 2


# ── time ──


async def test_no_time_left() -> None:
    """Without any time left nothing is opened."""
    transport = HttptoolsTransport()
    for total in (0.0, -1.0):
        result = await transport.exchange(sending("http://127.0.0.1:9/bots"), Timeouts(total=total))
        assert result == Unsent(Phase.LANE, OUT_OF_TIME, timed_out=True)
    await transport.aclose()


async def test_a_turn_that_comes_too_late() -> None:
    """A place that is handed on in the moment in which the time runs out is of no use."""
    with RawServer(serve_all) as server:
        transport = HttptoolsTransport(max_connections=1)
        await transport.exchange(sending(server.base_url, "warm"), ANY)
        results: list[Exchange] = []

        async def send() -> None:
            request = sending(server.base_url, "late")
            results.append(await transport.exchange(request, Timeouts(total=0.05)))

        assert await transport._gate.enter(math.inf)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await until(lambda: transport.stats().waiting == 1)
            transport._gate.leave()
            block(0.1)
        assert results == [Unsent(Phase.LANE, OUT_OF_TIME, timed_out=True)]
        assert transport.stats().busy == 0
        await transport.aclose()
        assert server.deliveries("late") == 0


async def test_a_connection_that_comes_too_late() -> None:
    """Nothing is sent over a connection that is there when the time of the call is over."""
    with RawServer(serve_all) as server:
        transport = HttptoolsTransport()
        dial = transport._dial

        async def slowly(*where: Any) -> OurConnection | Unsent:
            found = await dial(*where)
            block(0.6)
            return found

        transport._dial = slowly
        result = await transport.exchange(sending(server.base_url), Timeouts(total=0.5))
        assert result == Unsent(Phase.CONNECT, OUT_OF_TIME, timed_out=True)
        assert transport.stats() == LaneStats(100, open=0, idle=0, busy=0, waiting=0, discarded=1)
        await transport.aclose()
        await until(lambda: server.ended == server.connections == 1)
        assert server.deliveries() == 0


async def test_times_without_a_limit() -> None:
    """No limit at all, or one beyond every clock, is honoured."""
    with RawServer(serve_all) as server:
        transport = HttptoolsTransport()
        for timeouts in (
            Timeouts(connect=None, read=None, write=None),
            Timeouts(connect=math.inf, read=math.inf, write=math.inf, total=math.inf),
            Timeouts(connect=1e300, read=1e300, write=1e300, total=1e300),
        ):
            result = await transport.exchange(sending(server.base_url), timeouts)
            assert isinstance(result, WireResponse)
        await transport.aclose()


def dripping(pieces: int, pause: float) -> Callable[[Connection], None]:
    """A server whose answers come in so many pieces, a pause before each."""

    def serve(connection: Connection) -> None:
        while connection.read_request():
            raw = answer(b" " * 100)
            step = len(raw) // pieces + 1
            for start in range(0, len(raw), step):
                connection.hang(pause)
                connection.send(raw[start : start + step])

    return serve


async def test_each_piece_has_the_time_of_a_read() -> None:
    """A read time-out is for the next piece, not for the answer, in the head and in the body."""
    with RawServer(dripping(8, 0.2)) as server:
        transport = HttptoolsTransport()
        result = await transport.exchange(sending(server.base_url), Timeouts(read=1.0, total=LONG))
        assert isinstance(result, WireResponse)
        await transport.aclose()


def at_pleasure(connection: Connection) -> None:
    """Answer after as many hundredths of a second as the text says."""
    while seen := connection.read_request():
        connection.hang(int(seen.body.rpartition(b"=")[2]) / 100)
        connection.send(answer())


async def test_one_timer_for_many_requests() -> None:
    """A time-out is that of its own request, whatever those before it on the connection had."""
    with RawServer(at_pleasure) as server:
        transport = HttptoolsTransport(max_connections=1)

        async def ask(hundredths: int, **timeouts: float | None) -> Exchange:
            request = sending(server.base_url, str(hundredths))
            return await transport.exchange(request, Timeouts(**timeouts))

        # An early ring, left over from the first request, looks again for the second.
        assert isinstance(await ask(0, read=0.5, total=LONG), WireResponse)
        assert isinstance(await ask(80, read=LONG, total=LONG), WireResponse)
        # One at rest does nothing.
        assert isinstance(await ask(0, read=0.5, total=LONG), WireResponse)
        await anyio.sleep(0.6)
        assert isinstance(await ask(0, read=None, total=None), WireResponse)
        assert server.connections == 1
        # A shorter time after a longer one is kept as well, and so is one that the ring re-armed.
        for timeouts, found in (
            ({"read": 0.3, "total": LONG}, "ReadTimeout: no answer within the read time-out"),
            ({"read": LONG, "total": 0.3}, OUT_OF_TIME),
        ):
            for before in ({"read": LONG, "total": LONG}, {"read": 0.5, "total": LONG}):
                assert isinstance(await ask(0, **before), WireResponse)
                start = anyio.current_time()
                late = await ask(2_000, **timeouts)
                assert late == MaybeSent(Phase.READ, found, timed_out=found == OUT_OF_TIME)
                assert 0.29 < anyio.current_time() - start < 15.0
        await transport.aclose()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_server_that_stops_reading(*, tls: bool) -> None:
    """The time of a write bounds the whole request; over TLS as well."""

    def deaf(connection: Connection) -> None:
        connection.hang()

    with RawServer(deaf, tls=server_context() if tls else None) as server:
        transport = HttptoolsTransport(verify=client_context())
        dial, waiting = transport._dial, []

        async def watched(*where: Any) -> OurConnection | Unsent:
            found = await dial(*where)
            look = found._transport.get_write_buffer_size  # type: ignore[union-attr]
            asyncio.get_running_loop().call_later(0.2, lambda: waiting.append(look()))
            return found

        transport._dial = watched
        request = sending(server.base_url, "x" * 20_000_000)
        result = await transport.exchange(request, Timeouts(read=LONG, write=0.5, total=LONG))
        assert result == MaybeSent(
            Phase.WRITE, "WriteTimeout: the request could not be written within the write time-out"
        )
        assert 0 < waiting[0] < 1_000_000  # no more is handed over than the network takes
        await transport.aclose()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_long_request_that_is_read(*, tls: bool) -> None:
    """After a write that took its time the time of a read begins, and the connection is good."""

    def serve(connection: Connection) -> None:
        connection.hang(0.2)
        while connection.read_request():
            connection.hang(0.2)
            connection.send(answer())

    with RawServer(serve, tls=server_context() if tls else None) as server:
        transport = HttptoolsTransport(verify=client_context())
        for _ in range(2):
            result = await transport.exchange(
                sending(server.base_url, "x" * 10_000_000),
                Timeouts(read=10.0, write=40.0, total=LONG),
            )
            assert isinstance(result, WireResponse)
            assert idle(transport)[0]._rest.obj == b""  # nothing of the request is kept
        await transport.aclose()
        assert server.connections == 1


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_long_request_that_is_not_answered(*, tls: bool) -> None:
    """From the end of a write on the time of a read counts, and no longer that of the write."""

    def serve(connection: Connection) -> None:
        connection.hang(0.2)
        connection.read_request()
        connection.hang()

    with RawServer(serve, tls=server_context() if tls else None) as server:
        transport = HttptoolsTransport(verify=client_context())
        request = sending(server.base_url, "x" * 10_000_000)
        result = await transport.exchange(request, Timeouts(read=0.5, write=LONG, total=LONG))
        assert result == MaybeSent(Phase.READ, "ReadTimeout: no answer within the read time-out")
        await transport.aclose()


async def test_a_time_out_of_a_read_over_tls() -> None:
    """A request that is out is waited for as one that is read, not as one that is written."""

    def hang(connection: Connection) -> None:
        connection.read_request()
        connection.hang()

    with RawServer(hang, tls=server_context()) as server:
        transport = HttptoolsTransport(verify=client_context())
        result = await transport.exchange(
            sending(server.base_url), Timeouts(read=0.3, write=LONG, total=LONG)
        )
        assert result == MaybeSent(Phase.READ, "ReadTimeout: no answer within the read time-out")
        await transport.aclose()


def hasty(connection: Connection) -> None:
    """Answer before the request was read, in two pieces."""
    connection.read_head()
    raw = answer(b"", status="413 Too Large")
    connection.send(raw[:20])
    connection.hang(0.1)
    connection.send(raw[20:])
    connection.hang()


async def test_an_answer_before_the_end_of_the_request() -> None:
    """It counts, and the connection, with half a request in it, is closed."""
    with RawServer(hasty) as server:
        transport = HttptoolsTransport()
        request = sending(server.base_url, "x" * 20_000_000)
        result = await transport.exchange(request, Timeouts(read=LONG, write=LONG, total=LONG))
        assert isinstance(result, WireResponse)
        assert result.status == 413
        assert not idle(transport)
        await transport.aclose()
        assert server.connections == 1


async def test_half_an_answer_before_the_end_of_the_request() -> None:
    """What comes in the meantime gives a server that does not read no more time to do so."""

    def serve(connection: Connection) -> None:
        connection.read_head()
        connection.hang(0.1)
        connection.send(answer()[:20])
        connection.hang()

    with RawServer(serve) as server:
        transport = HttptoolsTransport()
        request = sending(server.base_url, "x" * 20_000_000)
        result = await transport.exchange(request, Timeouts(read=LONG, write=0.5, total=LONG))
        assert isinstance(result, MaybeSent)
        assert result.reason.startswith("WriteTimeout: ")
        await transport.aclose()


async def test_a_break_while_the_request_is_written() -> None:
    """A connection that breaks then has its own words."""

    def serve(connection: Connection) -> None:
        connection.read_head()
        connection.hang(0.1)
        connection.reset()

    with RawServer(serve) as server:
        transport = HttptoolsTransport()
        result = await transport.exchange(sending(server.base_url, "x" * 20_000_000), ANY)
        assert isinstance(result, MaybeSent)
        assert result.phase is Phase.WRITE
        assert result.reason.startswith("WriteError: ")
        await transport.aclose()


async def test_a_connection_that_was_broken_before_a_long_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The first piece finds out; the others are not tried, which asyncio would log."""
    broken = False

    def serve(connection: Connection) -> None:
        nonlocal broken
        connection.read_request()
        connection.send(answer())
        connection.sock.recv(1, socket.MSG_PEEK)  # the client has read by now
        connection.reset()
        broken = True

    with RawServer(serve) as server:
        transport = HttptoolsTransport()
        await transport.exchange(sending(server.base_url), ANY)
        (connection,) = idle(transport)
        sock = connection._transport.get_extra_info("socket")
        os.write(sock.fileno(), b"x")
        while not broken:
            continue
        connection.idle_since = math.inf  # no rest, so that it is not looked at
        result = await transport.exchange(sending(server.base_url, "x" * 20_000_000), ANY)
        assert isinstance(result, MaybeSent)
        assert not caplog.records
        await transport.aclose()


# ── names and addresses ──


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_ipv6(*, tls: bool) -> None:
    """An address of IPv6 stands in brackets in the URL and in Host, and is verified without."""
    context = server_context(host="::1") if tls else None
    with RawServer(serve_all, tls=context, host="::1") as server:
        transport = HttptoolsTransport(verify=client_context())
        assert isinstance(await transport.exchange(sending(server.base_url), ANY), WireResponse)
        await transport.aclose()
        assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


async def test_a_name_with_an_accent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name beyond ASCII is looked up, verified and sent as DNS knows it."""
    name = "xn--maana-pta.invalid"
    with RawServer(serve_all, tls=server_context(host=name)) as server:
        resolve(monkeypatch, server.port, name=name)
        transport = HttptoolsTransport(verify=client_context())
        url = f"https://mañana.invalid:{server.port}/bots"
        assert isinstance(await transport.exchange(sending(url), ANY), WireResponse)
        await transport.aclose()
        assert server.requests[0].headers["host"] == f"{name}:{server.port}"


async def test_a_certificate_for_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the URL is the one that is verified."""
    with RawServer(serve_all, tls=server_context(host="other.invalid")) as server:
        resolve(monkeypatch, server.port)
        transport = HttptoolsTransport(verify=client_context())
        result = await transport.exchange(sending(f"https://{NAME}:{server.port}/bots"), ANY)
        assert isinstance(result, Unsent)
        assert "certificate verify failed: hostname mismatch" in result.reason
        await transport.aclose()


async def test_the_first_address_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several addresses the next is tried at once; the message goes out once."""
    with RawServer(serve_all) as server:
        resolve(monkeypatch, free_port(), server.port)
        transport = HttptoolsTransport()
        url = f"http://{NAME}:{server.port}/bots"
        assert isinstance(await transport.exchange(sending(url), ANY), WireResponse)
        await transport.aclose()
        assert server.deliveries() == 1


async def test_the_first_address_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several addresses the next is tried beside one that does not answer."""
    with RawServer(serve_all) as server, black_hole() as nobody:
        resolve(monkeypatch, int(nobody.split(":")[2].partition("/")[0]), server.port)
        transport = HttptoolsTransport()
        url = f"http://{NAME}:{server.port}/bots"
        result = await transport.exchange(sending(url), Timeouts(connect=10.0, total=20.0))
        assert isinstance(result, WireResponse)
        await transport.aclose()
        assert server.deliveries() == 1


async def test_no_address_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all refuse it is unsent, in the words of the operating system."""
    resolve(monkeypatch, free_port(), free_port())
    transport = HttptoolsTransport()
    assert await transport.exchange(sending(f"http://{NAME}/bots"), ANY) == Unsent(
        Phase.CONNECT, "ConnectError: no connection could be made (Connection refused)"
    )
    await transport.aclose()


async def test_a_name_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that no resolver is even asked for is unsent, as one that none knows."""

    def look_up(host: str, *_: Any, **__: Any) -> Any:
        return host.encode("idna")  # as the genuine one begins

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    transport = HttptoolsTransport()
    result = await transport.exchange(sending(f"https://{'x' * 64}.invalid/bots"), ANY)
    assert result == Unsent(Phase.CONNECT, "ConnectError: no connection could be made")
    assert transport.stats().discarded == 1
    await transport.aclose()


async def test_no_time_to_connect() -> None:
    """The call's own time ends a connect as well, and says so."""
    with black_hole() as nobody:
        transport = HttptoolsTransport()
        tasks = asyncio.all_tasks()
        for timeouts, found in (
            (Timeouts(connect=LONG, total=0.2), Unsent(Phase.CONNECT, OUT_OF_TIME, timed_out=True)),
            (
                Timeouts(connect=0.2, total=LONG),
                Unsent(Phase.CONNECT, "ConnectTimeout: no connection within the connect time-out"),
            ),
        ):
            assert await transport.exchange(sending(nobody), timeouts) == found
        assert transport.stats().discarded == 2
        await until(lambda: asyncio.all_tasks() == tasks)  # nobody goes on trying
        await transport.aclose()


async def test_a_context_that_cannot_speak_first() -> None:
    """What fails before the handshake leaves no socket: a leak would be a warning here."""
    with pytest.warns(UnverifiedServerWarning):
        transport = HttptoolsTransport(verify=server_context())
    with RawServer(serve_all, tls=server_context()) as server:
        result = await transport.exchange(sending(server.base_url), ANY)
        assert isinstance(result, Unsent)
        await transport.aclose()
        await until(lambda: server.ended == server.connections == 1)


# ── its life ──


def test_made_without_an_event_loop() -> None:
    """The constructor needs no running loop, and the repr counts things."""
    assert repr(HttptoolsTransport(max_connections=7)) == (
        "HttptoolsTransport("
        "LaneStats(max_connections=7, open=0, idle=0, busy=0, waiting=0, discarded=0), "
        "Security(verified=True), Proxies(environment))"
    )


def hang(connection: Connection) -> None:
    """Take the request and answer when the server stops."""
    connection.read_request()
    connection.hang()
    connection.send(answer())


async def test_closing() -> None:
    """Who is on the wire gets an answer, who stands in line is unsent, who comes later is told."""
    results: dict[str, Exchange] = {}
    with RawServer(hang) as server:
        transport = HttptoolsTransport(max_connections=1)

        async def send(text: str) -> None:
            results[text] = await transport.exchange(sending(server.base_url, text), ANY)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, "first")
            await until(lambda: server.deliveries("first") == 1)
            tasks.start_soon(send, "second")
            await until(lambda: transport.stats().waiting == 1)
            assert transport.stats() == LaneStats(1, open=1, idle=0, busy=1, waiting=1, discarded=0)
            await transport.aclose()
            await transport.aclose()
            server.stopping.set()
        assert isinstance(results["first"], WireResponse)
        assert results["second"] == Unsent(
            Phase.LANE, "the transport was closed while this request waited for a connection"
        )
        assert transport.stats() == LaneStats(1, open=0, idle=0, busy=0, waiting=0, discarded=1)
        for request in (sending(server.base_url), sending("https://elsewhere.invalid/bots")):
            with pytest.raises(UsageError, match="This transport is closed"):
                await transport.exchange(request, ANY)
        await transport.aclose()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_closing_closes_idle_connections(*, tls: bool) -> None:
    """The sockets of connections at rest are closed when it returns."""
    with RawServer(serve_all, tls=server_context() if tls else None) as server:
        transport = HttptoolsTransport(verify=client_context())
        await send_at_once(transport, server.base_url, 3)
        sockets = [one._transport.get_extra_info("socket") for one in idle(transport)]
        assert [sock.fileno() > 0 for sock in sockets] == [True] * 3
        await transport.aclose()
        assert [sock.fileno() for sock in sockets] == [-1] * 3
        assert transport.stats() == LaneStats(100, open=0, idle=0, busy=0, waiting=0, discarded=0)
        await until(lambda: server.ended == server.connections == 3)


async def test_a_close_that_is_cancelled() -> None:
    """It closes all the same, and may be called again."""
    with RawServer(serve_all) as server:
        transport = HttptoolsTransport()
        await send_at_once(transport, server.base_url, 3)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await transport.aclose()
        await transport.aclose()
        await until(lambda: server.ended == server.connections == 3)


def test_another_event_loop() -> None:
    """Connections live in one event loop: the second loop is told so."""
    with RawServer(serve_all) as server:
        transport = HttptoolsTransport()

        async def send() -> Exchange:
            try:
                return await transport.exchange(sending(server.base_url), ANY)
            finally:
                await transport.aclose()

        assert isinstance(asyncio.run(send()), WireResponse)
        with pytest.raises(UsageError, match="another event loop"):
            asyncio.run(send())


def test_trio_is_refused() -> None:
    """On trio it says at once that it cannot work there."""
    request = sending("http://127.0.0.1:9/bots")
    for use in (
        lambda: HttptoolsTransport().exchange(request, ANY),
        lambda: HttptoolsTransport().open(request, ANY),
        HttptoolsTransport().aclose,
    ):
        with pytest.raises(UsageError, match="HttptoolsTransport runs on asyncio alone; on trio"):
            anyio.run(use, backend="trio")


BYSTANDER = """
import sys
import aldeamo_async, aldeamo_async.transports, aldeamo_async.cli
assert aldeamo_async.transports.HttptoolsTransport
print([name for name in ("httptools", "aiohappyeyeballs") if name in sys.modules])
"""


def test_nothing_is_loaded_unasked() -> None:
    """Importing the library, its command line too, loads neither package of the extra."""
    run = subprocess.run([sys.executable, "-c", BYSTANDER], capture_output=True, text=True)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize("missing", ["httptools", "aiohappyeyeballs"])
def test_without_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one of the two is missing the constructor names the extra."""
    monkeypatch.setitem(sys.modules, missing, None)
    for name in ("_dial", "_connection", "_http1_answer"):
        monkeypatch.delitem(sys.modules, f"aldeamo_async.transports.{name}", raising=False)
    with pytest.raises(UsageError, match=r"pip install 'aldeamo-async\[fast\]'") as caught:
        HttptoolsTransport()
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"max_connections": 0}, "max_connections must be a whole number above 0"),
        ({"keepalive_expiry": 0}, "keepalive_expiry"),
        ({"proxy": "ftp://ana:s3cret@proxy.example"}, "proxy= is not a URL"),
    ],
)
def test_settings_are_checked(setting: dict[str, object], words: str) -> None:
    """A setting that cannot be honoured is refused when the transport is made."""
    with pytest.raises(UsageError, match=words):
        HttptoolsTransport(**setting)  # type: ignore[arg-type]


# ── a bug ──


def our_locals(tb: TracebackType | None) -> Iterator[str]:
    """The repr of every local variable in our own frames of a traceback."""
    for frame, _ in traceback.walk_tb(tb):
        if "aldeamo_async" in frame.f_code.co_filename:
            for name, value in frame.f_locals.items():
                yield f"{frame.f_code.co_name}.{name} = {value!r}"


@pytest.mark.parametrize("make", [sending, reading])
@pytest.mark.parametrize("where", ["connect", "write"])
async def test_frames_of_a_bug_show_no_key(make: Callable[..., Any], where: str) -> None:
    """A bug propagates, costs its connection alone, and its frames show nothing private."""

    def fail(*_: object, **__: object) -> None:
        raise TypeError("bug")

    with RawServer(serve_all) as server, pytest.MonkeyPatch.context() as patch:
        transport = HttptoolsTransport(max_connections=1)
        request = make(server.base_url, auth_in="header+params")
        if where == "write":
            await transport.exchange(request, ANY)
            patch.setattr(idle(transport)[0]._transport, "write", fail)
        else:
            patch.setattr(asyncio.get_running_loop(), "create_connection", fail)
        with pytest.raises(TypeError) as caught:
            await transport.exchange(request, ANY)
        patch.undo()
        shown = list(our_locals(caught.tb))
        assert len(shown) > 10
        for private in (KEY, PHONE, TEXT, "Hola"):
            assert not [line for line in shown if private in line]
        assert transport.stats() == LaneStats(1, open=0, idle=0, busy=0, waiting=0, discarded=1)
        assert isinstance(await transport.exchange(request, ANY), WireResponse)
        await transport.aclose()
