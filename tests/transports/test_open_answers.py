"""Answers that are read piece by piece over real sockets: every lane comes back, or is closed."""

from __future__ import annotations

import gc
import gzip
import json
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from aldeamo_async import (
    AsyncBotsClient,
    DeadlineExceeded,
    Dialect,
    NoAnswer,
    Phase,
    RetryPolicy,
    UnexpectedResponse,
    UsageError,
)
from aldeamo_async.transports import (
    HttptoolsTransport,
    HttpxTransport,
    LaneTransport,
    MaybeSent,
    OpenAnswer,
    PyreqwestTransport,
    Timeouts,
    Unsent,
    WireResponse,
)
from support.backends import FAST, RUST, everywhere
from support.rawserver import Connection, RawServer, answer
from support.wire import reading, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from aldeamo_async.transports import StreamingTransport

pytestmark = pytest.mark.real_clock

KEY = "test-key"
ROWS = 2_000  # about 500 kB: more than any leaf reads of a socket at a time
DELAY = 0.001  # seconds between two cancellations of a sweep by time
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


USERS = [
    {"id": str(n), "user_id": f"50700000{n:04d}", "name": "Ana" * 60, "email": None}
    for n in range(ROWS)
]
BODY = json.dumps(
    {"status": True, "codigo": 0, "message": "Users for channel", "data": USERS}
).encode()


def serving(connection: Connection) -> None:
    """Answer every request in full."""
    while connection.read_request():
        connection.send(answer(BODY))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def lanes(size: int = 1) -> StreamingTransport:
    return LaneTransport(max_connections=size)


def pool(size: int = 1) -> StreamingTransport:
    return HttpxTransport(httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=size)))


def fast(size: int = 1) -> StreamingTransport:
    return HttptoolsTransport(max_connections=size)


def rust(size: int = 1) -> StreamingTransport:
    return PyreqwestTransport(max_connections=size)


CARRIERS: dict[str, Callable[[], StreamingTransport]] = {
    "lanes": lanes,
    "pool": pool,
    FAST: fast,
    RUST: rust,
}

LEAVES: dict[str, type[LaneTransport | HttptoolsTransport | PyreqwestTransport]] = {
    "lanes": LaneTransport,
    FAST: HttptoolsTransport,
    RUST: PyreqwestTransport,
}


@pytest.fixture(params=everywhere(CARRIERS))
def transport(request: pytest.FixtureRequest) -> StreamingTransport:
    return CARRIERS[request.param]()


@asynccontextmanager
async def client_of(
    server: RawServer, transport: StreamingTransport, **options: Any
) -> AsyncGenerator[AsyncBotsClient]:
    options.setdefault("base_url", server.base_url)
    async with AsyncBotsClient(KEY, transport=transport, **options) as client:
        yield client


async def quiet(client: AsyncBotsClient) -> None:
    """Twenty reads, one after another: whatever went before left nothing taken."""
    for _ in range(20):
        with anyio.fail_after(30.0):
            assert len(await client.users("web")) == ROWS


async def test_rows_over_a_socket(transport: StreamingTransport) -> None:
    """Both ways to read bring the same, over one connection, or one for each way."""
    with RawServer(serving) as server:
        async with client_of(server, transport) as client:
            whole = await client.users("web")
            assert [user async for user in client.iter_users("web")] == whole
            assert [user async for user in client.iter_users("web")] == whole
        assert server.connections == (
            1 if isinstance(transport, LaneTransport | HttpxTransport) else 2
        )


async def test_left_early_with_closing(transport: StreamingTransport) -> None:
    """A place is free again as soon as the block is left."""
    with RawServer(serving) as server:
        async with client_of(server, transport) as client:
            for _ in range(3):
                async with client.iter_users("web") as users:
                    assert (await anext(users)).id == "0"
            await quiet(client)


async def test_left_early_without_closing(transport: StreamingTransport) -> None:
    """A place is free again at once; the connection is closed with the next request."""
    with RawServer(serving) as server:
        async with client_of(server, transport) as client:
            for _ in range(3):
                users = client.iter_users("web")
                assert (await anext(users)).id == "0"
                with pytest.warns(ResourceWarning, match="async with"):
                    del users
            await quiet(client)
            users = client.iter_users("web")
            await anext(users)
            with pytest.warns(ResourceWarning):
                del users
        gc.collect()  # the client's own close took care of the last one
        await until(lambda: server.ended == server.connections)


async def test_dropped_in_the_middle(transport: StreamingTransport) -> None:
    """A server that hangs up behind some rows: they came, then `NoAnswer`, and all is well."""

    def drop(connection: Connection) -> None:
        connection.read_request()
        connection.send(CHUNKED + chunk(BODY[:200_000]))

    scripts: Iterator[Callable[[Connection], None]] = iter([drop])
    with RawServer(lambda connection: next(scripts, serving)(connection)) as server:
        async with client_of(server, transport) as client:
            rows = client.iter_users("web")
            found: list[str] = []
            with pytest.raises(NoAnswer) as caught:
                await drain(rows, found)
            assert 500 < len(found) < ROWS
            assert caught.value.attempts[-1].phase is Phase.READ
            assert KEY not in repr(caught.value.__dict__)
            await quiet(client)
        assert sum("GET" in seen.method for seen in server.requests) == 21


async def drain(rows: Any, found: list[str]) -> None:
    async for row in rows:
        found.append(row.id)  # noqa: PERF401 - what came before an error counts


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"deadline": 1.2, "timeout": 20.0}, DeadlineExceeded),
        ({"deadline": 60.0, "timeout": 0.5}, NoAnswer),
    ],
    ids=["deadline", "read time-out"],
)
async def test_a_slow_server(
    transport: StreamingTransport, options: dict[str, Any], kind: type[Exception]
) -> None:
    """A drip runs into the deadline, a silence into the read time-out, in the middle of a list."""

    def drip(connection: Connection) -> None:
        connection.read_request()
        whole = BODY
        connection.send(CHUNKED + chunk(whole[:100_000]))
        if kind is NoAnswer:
            connection.hang()
        while not connection.hang(0.1):
            connection.send(chunk(whole[100_000:100_010]))

    with RawServer(drip) as server:
        async with client_of(server, transport, **options) as client:
            found: list[str] = []
            with anyio.fail_after(30.0), pytest.raises(kind) as caught:
                await drain(client.iter_users("web"), found)
            assert found
            assert type(caught.value) is kind


def gzipped(coding: str) -> bytes:
    if coding == "deflate":
        return zlib.compress(BODY)
    return gzip.compress(BODY, mtime=0) if coding == "gzip" else BODY


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity", "br"])
async def test_codings(transport: StreamingTransport, coding: str) -> None:
    """gzip is unpacked as it comes, another coding read whole, what is none taken as it is."""

    def packed(connection: Connection) -> None:
        while connection.read_request():
            connection.send(answer(gzipped(coding), f"content-encoding: {coding}"))

    with RawServer(packed) as server:
        async with client_of(server, transport) as client:
            found: list[str] = []
            for _ in range(2):
                await drain(client.iter_users("web"), found)
        assert len(found) == 2 * ROWS


DAMAGE = {
    "cut off": lambda data: data[:-20],
    "a byte changed": lambda data: data[:9000] + bytes([data[9000] ^ 255]) + data[9001:],
    "a wrong checksum": lambda data: data[:-8] + bytes([data[-8] ^ 255]) + data[-7:],
    "more behind it": lambda data: data + b" ",
    "one byte": lambda data: data[:1],
    "nothing": lambda data: b"",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_damaged_gzip(
    transport: StreamingTransport, damage: Callable[[bytes], bytes]
) -> None:
    """gzip that cannot be unpacked to its end is outside the contract, read either way."""

    def packed(connection: Connection) -> None:
        while connection.read_request():
            data = damage(gzip.compress(BODY, mtime=0))
            connection.send(answer(data, "content-encoding: gzip"))

    with RawServer(packed) as server:
        async with client_of(server, transport, retry=RetryPolicy(attempts=1)) as client:
            with pytest.raises(UnexpectedResponse) as whole:
                await client.users("web")
            with pytest.raises(UnexpectedResponse) as streamed:
                await drain(client.iter_users("web"), [])
    assert streamed.value.problems == whole.value.problems


async def test_gzip_in_drops(transport: StreamingTransport) -> None:
    """gzip that begins with less than it takes to unpack anything is understood."""

    def drops(connection: Connection) -> None:
        while connection.read_request():
            data = gzip.compress(BODY, mtime=0)
            cut = (data[:1], data[1:5], data[5:], b"")
            head = CHUNKED.replace(b"\r\n", b"\r\ncontent-encoding: gzip\r\n", 1)
            connection.send(head + b"".join(map(chunk, cut)))

    with RawServer(drops) as server:
        async with client_of(server, transport) as client:
            found: list[str] = []
            await drain(client.iter_users("web"), found)
    assert len(found) == ROWS


async def test_gzip_in_name_alone(transport: StreamingTransport) -> None:
    """A server that says gzip and sends plain JSON is understood."""

    def plain(connection: Connection) -> None:
        while connection.read_request():
            connection.send(answer(BODY, "content-encoding: gzip"))

    with RawServer(plain) as server:
        async with client_of(server, transport) as client:
            found: list[str] = []
            await drain(client.iter_users("web"), found)
    assert len(found) == ROWS


@pytest.mark.parametrize("packed", [False, True])
async def test_past_the_cap(transport: StreamingTransport, *, packed: bool) -> None:
    """The cap holds for what comes and for what it unpacks to; the connection is not used again."""

    def flood(connection: Connection) -> None:
        while connection.read_request():
            data = gzip.compress(BODY, mtime=0) if packed else BODY
            coding = ["content-encoding: gzip"] if packed else []
            # So much behind it that no leaf has read all of it ahead.
            connection.send(answer(data + bytes(8_000_000), *coding))

    with RawServer(flood) as server:
        dialect = Dialect(base_url=server.base_url, max_response_bytes=90_000)
        once = RetryPolicy(attempts=1)
        async with client_of(
            server, transport, base_url=None, dialect=dialect, retry=once
        ) as client:
            for _ in range(3):
                found: list[str] = []
                with pytest.raises(UnexpectedResponse, match="max_response_bytes"):
                    await drain(client.iter_users("web"), found)
        assert server.connections == 3


async def cut_off(client: AsyncBotsClient, ticks: int) -> bool:
    """Begin to iterate, cancel after so many ticks; tell whether the iteration was faster."""
    done = False

    async def iterate() -> None:
        nonlocal done
        async with client.iter_users("web") as users:
            async for user in users:
                if user.id == "600":
                    break
        done = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(iterate)
        for _ in range(ticks):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    return done


async def test_cancelled_at_any_tick() -> None:
    """Cancelled at any tick, an iteration takes no lane with it; 20 quiet reads succeed."""
    with RawServer(serving) as server:
        transport = LaneTransport(max_connections=1)
        async with client_of(server, transport) as client:
            ticks = unmoved = 0
            while unmoved < 3:
                unmoved = unmoved + 1 if await cut_off(client, ticks) else 0
                ticks += 1 if ticks < 30 else 1 + ticks // 10
            await quiet(client)
            stats = transport.stats()
            assert (stats.busy, stats.waiting, stats.idle) == (0, 0, 1)
        gc.collect()


@pytest.mark.asyncio_only
async def test_the_fast_leaf_cancelled_at_any_time() -> None:
    """The same where threads of Rust do the work, whose pace no tick of the loop measures."""
    with RawServer(serving) as server:
        transport = PyreqwestTransport(max_connections=1)
        async with client_of(server, transport) as client:
            delays = late = 0
            while late < 3:
                with anyio.move_on_after(delays * DELAY) as scope:
                    async with client.iter_users("web") as users:
                        await anext(users)
                late = 0 if scope.cancelled_caught else late + 1
                delays += 1
            await quiet(client)
            stats = transport.stats()
            assert (stats.busy, stats.waiting) == (0, 0)
            assert stats.discarded > 0
        await until(lambda: server.ended == server.connections)


async def opened(transport: StreamingTransport, server: RawServer) -> OpenAnswer:
    found = await transport.open(reading(server.base_url), Timeouts(total=5.0))
    assert not isinstance(found, WireResponse | Unsent | MaybeSent)
    return found


async def test_an_open_answer(transport: StreamingTransport) -> None:
    """Status and headers come first; after the end, or a close, there is nothing more to read."""
    with RawServer(serving) as server:
        found = await opened(transport, server)
        assert found.status == 200
        assert dict(found.headers)["content-length"] == str(len(BODY))
        parts: list[bytes] = []
        while piece := await found.read():
            assert isinstance(piece, bytes)
            parts.append(piece)
        assert b"".join(parts) == BODY
        assert (await found.read(), found.oversized) == (b"", False)
        found.abandon()
        await found.aclose()
        half = await opened(transport, server)
        await half.read()
        await half.aclose()
        assert await half.read() == b""
        await transport.aclose()


@pytest.mark.parametrize("leaf", everywhere(LEAVES))
async def test_a_place_is_as_busy_as_its_answer_is_open(leaf: str) -> None:
    """An open answer holds its place; who has no time to wait for it was not sent."""
    transport = LEAVES[leaf](max_connections=1)
    with RawServer(serving) as server:
        found = await opened(transport, server)
        assert transport.stats().busy == 1
        for carry in (transport.open, transport.exchange):
            refused = await carry(reading(server.base_url), Timeouts(total=0.05))
            assert refused == Unsent(Phase.LANE, "all 1 connections are busy", timed_out=True)
            late = await carry(reading(server.base_url), Timeouts(total=0.0))
            assert isinstance(late, Unsent)
        found.abandon()
        assert transport.stats().busy == 0
        whole = await transport.exchange(reading(server.base_url), Timeouts(total=5.0))
        assert isinstance(whole, WireResponse)
        await transport.aclose()
        with pytest.raises(UsageError, match="closed"):
            await transport.open(reading(server.base_url), Timeouts(total=5.0))


@pytest.mark.parametrize("leaf", everywhere(LEAVES))
async def test_closed_while_an_answer_is_open(leaf: str) -> None:
    """A transport that closes lets an open answer come to its end, and then closes its lane."""
    transport = LEAVES[leaf](max_connections=2)
    with RawServer(serving) as server:
        found = await opened(transport, server)
        await transport.aclose()
        while await found.read():
            pass
        assert transport.stats().open == 0
        await until(lambda: server.ended == server.connections)


@pytest.mark.parametrize("leaf", everywhere(LEAVES))
async def test_nobody_answers(leaf: str) -> None:
    """A refused connection is unsent, as for any request, and costs no place."""
    transport = LEAVES[leaf](max_connections=1)
    with RawServer(serving) as server:
        url = server.base_url
    for _ in range(3):
        found = await transport.open(reading(url), Timeouts(total=5.0))
        assert isinstance(found, Unsent)
        assert found.phase is Phase.CONNECT
    assert transport.stats().busy == 0
    await transport.aclose()
