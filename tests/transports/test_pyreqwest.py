"""The fast leaf: what it writes, what it reads, and how it lives; its evidence is in the suites."""

from __future__ import annotations

import _thread
import asyncio
import gzip
import math
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from pyreqwest.exceptions import (
    ConnectError,
    ConnectTimeoutError,
    ReadError,
    RequestError,
    RequestPanicError,
)

from aldeamo_async._errors import UsageError
from aldeamo_async._evidence import Phase
from aldeamo_async.transports import (
    Exchange,
    LaneStats,
    LaneTransport,
    MaybeSent,
    PyreqwestTransport,
    Timeouts,
    Transport,
    Unsent,
    WireRequest,
    WireResponse,
)
from aldeamo_async.transports._proxies import Proxies
from aldeamo_async.transports._pyreqwest_clients import Clients, settle
from aldeamo_async.transports._pyreqwest_faults import UNSENT_MARK, judge
from support.children import with_path
from support.rawserver import SENT_BODY, Connection, RawServer, Seen, answer, serve_all
from support.wire import KEY, reading, sending, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyreqwest.exceptions import Cause

pytestmark = [pytest.mark.real_clock, pytest.mark.asyncio_only]

ANY = Timeouts(total=20.0)


async def asked(transport: Transport, request: Callable[[str], WireRequest]) -> Seen:
    """What a server sees of one request."""
    with RawServer(serve_all) as server:
        assert isinstance(await transport.exchange(request(server.base_url), ANY), WireResponse)
        await transport.aclose()
        return server.requests[0]


async def answered(raw: bytes, **dialect: object) -> Exchange:
    """What becomes of an answer."""

    def serve(connection: Connection) -> None:
        while connection.read_request():
            connection.send(raw)

    with RawServer(serve) as server:
        transport = PyreqwestTransport()
        try:
            return await transport.exchange(sending(server.base_url, **dialect), ANY)
        finally:
            await transport.aclose()


# ── what it writes ──


@pytest.mark.parametrize("auth_in", ["params", "query", "header", "header+params"])
@pytest.mark.parametrize("post_encoding", ["form", "json", "query"])
async def test_it_writes_what_the_default_writes(auth_in: str, post_encoding: str) -> None:
    """In every dialect the two transports send the same target, headers and body."""
    dialect = {"auth_in": auth_in, "post_encoding": post_encoding}
    for request in (
        lambda url: sending(url, "¿Qué tal, Ñandú? 👋 & =", **dialect),
        lambda url: reading(url, **dialect),
    ):
        lane = await asked(LaneTransport(), request)
        fast = await asked(PyreqwestTransport(), request)
        assert without_port(fast) == without_port(lane)


def without_port(seen: Seen) -> tuple[str, str, dict[str, str], bytes]:
    """All of a request but the port of its server."""
    host = seen.headers["host"].partition(":")[0]
    return seen.method, seen.target, seen.headers | {"host": host}, seen.body


async def test_cookies_are_not_kept() -> None:
    """A cookie that the server sets does not come back."""

    def serve(connection: Connection) -> None:
        while connection.read_request():
            connection.send(answer(SENT_BODY, "set-cookie: session=1; path=/"))

    with RawServer(serve) as server:
        transport = PyreqwestTransport()
        for _ in range(2):
            await transport.exchange(sending(server.base_url), ANY)
        await transport.aclose()
        assert server.connections == 1
        assert not [seen for seen in server.requests if "cookie" in seen.headers]


@pytest.mark.parametrize(
    ("base_url", "dialect"),
    [
        ("https://1.2.3.4.5/bots", {}),
        ("http://127.0.0.1/bots", {"post_encoding": "query"}),
    ],
    ids=["a host that is none", "a text too long for a URL"],
)
async def test_a_request_that_cannot_be_written(base_url: str, dialect: dict[str, str]) -> None:
    """It is the caller's mistake, found before any I/O; the error quotes nothing."""
    transport = PyreqwestTransport()
    request = sending(base_url, "x" * 70_000, **dialect)
    with pytest.raises(UsageError, match="POST /messages makes a URL or a header that") as caught:
        await transport.exchange(request, ANY)
    assert KEY not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert transport.stats().busy == 0
    await transport.aclose()


# ── what it reads ──


async def test_headers_as_they_came() -> None:
    """Repeated headers are kept; what is not ASCII pyreqwest shows nobody, and it is left out."""
    result = await answered(
        answer(SENT_BODY, "X-One: 1", "x-one: 2", "x-odd: caf\xe9", "x-odd: y", "x-two: 3")
    )
    assert isinstance(result, WireResponse)
    assert result.body == SENT_BODY
    assert result.headers == (
        ("content-length", str(len(SENT_BODY))),
        ("x-one", "1"),
        ("x-one", "2"),
        ("x-two", "3"),
    )
    plain = await answered(answer(SENT_BODY, "X-One: 1", "x-one: 2"))
    assert isinstance(plain, WireResponse)
    assert plain.headers == result.headers[:3]


@pytest.mark.parametrize(
    ("body", "coding", "expected"),
    [
        (gzip.compress(SENT_BODY, mtime=0), "gzip", SENT_BODY),
        (zlib.compress(SENT_BODY), "deflate", SENT_BODY),
        (gzip.compress(SENT_BODY, mtime=0)[:-9], "gzip", gzip.compress(SENT_BODY, mtime=0)[:-9]),
        (SENT_BODY, "gzip", SENT_BODY),
        (SENT_BODY, "br", SENT_BODY),
        (b"", "gzip", b""),
    ],
)
async def test_decoding(body: bytes, coding: str, expected: bytes) -> None:
    """What cannot be decoded is kept as it came: a complete answer is never lost."""
    result = await answered(answer(body, f"content-encoding: {coding}"))
    assert isinstance(result, WireResponse)
    assert result.body == expected


def chunked(*parts: bytes, head: str = "") -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))
    return f"HTTP/1.1 200 OK\r\n{head}transfer-encoding: chunked\r\n\r\n".encode() + chunks


@pytest.mark.parametrize(
    ("raw", "oversized"),
    [
        (answer(b" " * 100), False),
        (answer(b" " * 101), True),
        (chunked(b" " * 50, b" " * 50), False),
        (chunked(b" " * 50, b" " * 51), True),
        (chunked(b" " * 101, head="content-length: 5\r\n"), True),
        (answer(gzip.compress(b" " * 101, mtime=0), "content-encoding: gzip"), True),
    ],
)
async def test_the_cap(raw: bytes, oversized: bool) -> None:
    """Whatever says how long a body is, no more than the cap is kept."""
    result = await answered(raw, max_response_bytes=100)
    assert isinstance(result, WireResponse)
    assert result.oversized is oversized
    assert len(result.body) == (0 if oversized else 100)


async def test_a_list_of_megabytes() -> None:
    """A long answer comes whole, with a length and without one."""
    body = b"0123456789" * 300_000
    for raw in (answer(body), chunked(body[:7], body[7:])):
        result = await answered(raw)
        assert isinstance(result, WireResponse)
        assert result.body == body


# ── connections ──


async def test_connections_are_used_again() -> None:
    """One message after the other takes one connection."""
    with RawServer(serve_all) as server:
        transport = PyreqwestTransport(max_connections=1)
        for _ in range(20):
            assert isinstance(await transport.exchange(sending(server.base_url), ANY), WireResponse)
        await transport.aclose()
        assert server.connections == 1


async def test_a_server_that_closes_while_it_is_used() -> None:
    """However a connection ends between two messages, no message arrives twice."""

    def serve(connection: Connection) -> None:
        connection.read_request()
        connection.send(answer())

    with RawServer(serve) as server:
        transport = PyreqwestTransport(max_connections=3)
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


# ── its life ──


def test_made_without_an_event_loop() -> None:
    """The constructor needs no running loop, and the repr counts things."""
    assert repr(PyreqwestTransport(max_connections=7)) == (
        "PyreqwestTransport("
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
        transport = PyreqwestTransport(max_connections=1)

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
        with pytest.raises(UsageError, match="This transport is closed"):
            await transport.exchange(sending(server.base_url), ANY)


async def test_closing_closes_idle_connections() -> None:
    """The connections that wait for another message are closed at once."""
    with RawServer(serve_all) as server:
        transport = PyreqwestTransport()
        await transport.exchange(sending(server.base_url), ANY)
        await transport.aclose()
        await until(lambda: server.ended == server.connections == 1)


async def test_no_time_left() -> None:
    """Without any time left nothing is opened."""
    transport = PyreqwestTransport()
    for total in (0.0, -1.0):
        result = await transport.exchange(sending("http://127.0.0.1:9/bots"), Timeouts(total=total))
        assert result == Unsent(Phase.LANE, "the time of the call ran out", timed_out=True)
    await transport.aclose()


async def test_a_turn_that_comes_too_late() -> None:
    """A place that is handed on in the moment in which the time runs out is of no use."""
    transport = PyreqwestTransport(max_connections=1)
    results: list[Exchange] = []

    async def send() -> None:
        request = sending("http://127.0.0.1:9/bots")
        results.append(await transport.exchange(request, Timeouts(total=0.05)))

    assert await transport._gate.enter(math.inf)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await until(lambda: transport.stats().waiting == 1)
        transport._gate.leave()
        late = anyio.current_time() + 0.1
        while anyio.current_time() < late:  # a busy loop
            continue
    assert results == [Unsent(Phase.LANE, "the time of the call ran out", timed_out=True)]
    assert transport.stats().busy == 0
    await transport.aclose()


async def test_times_without_a_limit() -> None:
    """No limit at all, or one beyond every clock, is honoured."""
    with RawServer(serve_all) as server:
        transport = PyreqwestTransport()
        for timeouts in (
            Timeouts(connect=None, read=None, write=None),
            Timeouts(connect=math.inf, read=math.inf, write=math.inf, total=math.inf),
            Timeouts(connect=1e300, read=1e300, write=1e300, total=1e300),
        ):
            result = await transport.exchange(sending(server.base_url), timeouts)
            assert isinstance(result, WireResponse)
        await transport.aclose()


async def test_a_connect_is_given_up_first() -> None:
    """Of all that could end a connect the one with proof comes first, rounded where it varies."""

    def connect(left: float, **timeouts: float | None) -> float | None:
        clients = Clients((), Proxies(), verified=True, max_idle=1, keepalive_expiry=4.0)
        clients.find("http://127.0.0.1/", Timeouts(**timeouts), left)
        ((_, seconds, _, _),) = clients._made
        return seconds

    assert connect(60.0) == 5.0
    assert connect(math.inf) == 5.0
    assert connect(60.0, connect=40.0) == 27.0
    assert connect(math.inf, connect=None, read=None) is None
    assert connect(60.0, connect=None, read=None) == 32.0
    assert connect(3.0) == connect(2.5) == 2.0
    assert connect(0.3) == 0.25


async def test_as_few_clients_as_sets_of_timeouts() -> None:
    """Time-outs that differ with every call do not pile clients up."""
    transport = PyreqwestTransport()
    with RawServer(serve_all) as server:
        for number in range(40):
            timeouts = Timeouts(read=1.0 + number, total=60.0)
            assert isinstance(
                await transport.exchange(sending(server.base_url), timeouts), WireResponse
            )
        assert len(transport._clients._made) == 32
        await transport.aclose()
        assert not transport._clients._made


def test_another_event_loop_is_refused() -> None:
    """A transport used in a second loop says so."""
    transport = PyreqwestTransport()
    asyncio.run(transport.aclose())
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(transport.aclose())


def test_trio_is_refused() -> None:
    """On trio it says at once that it cannot work there."""

    async def send() -> None:
        await PyreqwestTransport().exchange(sending("http://127.0.0.1:9/bots"), ANY)

    for use in (send, PyreqwestTransport().aclose):
        with pytest.raises(UsageError, match="runs on asyncio alone; on trio leave transport= out"):
            anyio.run(use, backend="trio")


BYSTANDER = """
import sys
import aldeamo_async, aldeamo_async.transports, aldeamo_async.cli
assert aldeamo_async.transports.PyreqwestTransport
print([name for name in ("pyreqwest", "aiohttp") if name in sys.modules])
"""


def test_httpx_is_all_that_is_loaded() -> None:
    """Importing the library, its command line too, loads no other HTTP library."""
    run = subprocess.run([sys.executable, "-c", BYSTANDER], capture_output=True, text=True)
    assert run.stdout == "[]\n"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pyreqwest is missing the constructor names the extra."""
    monkeypatch.setitem(sys.modules, "pyreqwest.client", None)
    monkeypatch.delitem(sys.modules, "aldeamo_async.transports._pyreqwest_clients", raising=False)
    with pytest.raises(UsageError, match=r"pip install 'aldeamo-async\[fast\]'") as caught:
        PyreqwestTransport()
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
        PyreqwestTransport(**setting)  # type: ignore[arg-type]


async def test_a_proxy_that_rust_cannot_read() -> None:
    """What httpx takes for a host and pyreqwest does not is refused without quoting it."""
    transport = PyreqwestTransport(proxy="http://ana:s3cret@1.2.3.4.5:8080")
    with pytest.raises(UsageError, match="look at the host of the proxy") as caught:
        await transport.exchange(sending("http://127.0.0.1:9/bots"), ANY)
    assert caught.value.__context__ is None
    assert transport.stats().busy == 0
    await transport.aclose()


# ── what a failure proves, where no socket shows it ──


def failure(kind: type[RequestError], *causes: str) -> RequestError:
    return kind("said", {"causes": [{"message": f"error for url ({KEY})"}, *map(cause, causes)]})


NOTHING_KNOWN = "TransportError: the transport failed"


def cause(message: str) -> Cause:
    return {"message": message}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (failure(ConnectError), NOTHING_KNOWN),
        (
            failure(ConnectError, "client error (Connecting)"),
            NOTHING_KNOWN,
        ),
        (
            failure(ConnectError, "my client error (Connect)"),
            NOTHING_KNOWN,
        ),
        (RequestPanicError("said", {"causes": None}), NOTHING_KNOWN),
        (
            failure(ConnectTimeoutError, "deadline has elapsed"),
            "ReadTimeout: no answer within the read time-out",
        ),
    ],
)
def test_no_proof(error: RequestError, reason: str) -> None:
    """The name of an exception is no proof, nor is anything but the one mark, letter by letter."""
    assert judge(error, out_of_time=False) == MaybeSent(Phase.READ, reason)
    late = judge(error, out_of_time=True)
    assert late == MaybeSent(Phase.READ, "the time of the call ran out", timed_out=True)


@pytest.mark.parametrize("out_of_time", [False, True])
def test_the_mark_alone_is_proof(*, out_of_time: bool) -> None:
    """Whatever the class, the mark says that no request was on its way."""
    for kind in (ConnectError, ReadError, RequestError):
        assert judge(failure(kind, UNSENT_MARK), out_of_time=out_of_time) == Unsent(
            Phase.CONNECT, "ConnectError: no connection could be made", timed_out=out_of_time
        )


def test_the_interpreter_waits_for_threads_of_rust() -> None:
    """A thread that Python did not make and that runs its code is waited for at the end."""
    inside, leave, left = threading.Lock(), threading.Lock(), threading.Lock()
    for lock in (inside, leave, left):
        lock.acquire()

    def stranger() -> None:
        inside.release()
        leave.acquire()
        left.release()

    _thread.start_new_thread(stranger, ())
    inside.acquire()
    threading.Timer(0.05, leave.release).start()
    settle()
    assert left.acquire(blocking=False)


ENDING = """
import asyncio, sys
from aldeamo_async.transports import PyreqwestTransport, Timeouts
from support.wire import sending

async def main(url):
    transport = PyreqwestTransport()
    request = sending(url, "x" * 3_000_000)
    requests = [
        asyncio.create_task(transport.exchange(request, Timeouts(total=0.05)))
        for _ in range(10)
    ]
    await asyncio.sleep(0.03)
    requests[0].cancel()
    await asyncio.gather(*requests, return_exceptions=True)

asyncio.run(main(sys.argv[1]))
"""


def test_a_process_ends_in_peace() -> None:
    """A process that ends in the middle of what it sends ends with 0, not with an abort."""

    def deaf(connection: Connection) -> None:
        connection.hang()

    with RawServer(deaf) as server:
        subprocess.run(
            [sys.executable, "-c", ENDING, server.base_url],
            check=True,
            env=with_path(Path(__file__).parents[1]),
        )
