"""The fast leaf, an answer opened: its times, its evidence, and what a cancellation leaves.

What it shares with the other leaves is in the suite of open answers.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from aldeamo_async._errors import UsageError
from aldeamo_async._evidence import Phase
from aldeamo_async.transports import (
    MaybeSent,
    PyreqwestTransport,
    Timeouts,
    Unsent,
    WireResponse,
)
from aldeamo_async.transports._pyreqwest_open import Opened
from support.rawserver import Connection, RawServer, answer, black_hole
from support.wire import KEY, reading, sending, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = [pytest.mark.real_clock, pytest.mark.asyncio_only]

ANY = Timeouts(total=20.0)
BODY = b"0123456789" * 100_000
LATE = MaybeSent(Phase.READ, "ReadTimeout: no answer within the read time-out")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY)


@asynccontextmanager
async def leaf() -> AsyncGenerator[PyreqwestTransport]:
    """A transport of one place, which nothing has taken at the end."""
    transport = PyreqwestTransport(max_connections=1)
    yield transport
    stats = transport.stats()
    assert (stats.busy, stats.waiting) == (0, 0)
    await transport.aclose()


def begun(connection: Connection) -> None:
    """Send the head and a bit of the body; then nothing, until the client closes."""
    connection.read_request()
    connection.send(HEAD + BODY[:100])
    connection.read_request()


def silent(connection: Connection) -> None:
    """Take the request and say nothing, until the client closes."""
    connection.read_request()
    connection.read_request()


async def opened(transport: PyreqwestTransport, server: RawServer, timeouts: Timeouts) -> Opened:
    found = await transport.open(reading(server.base_url), timeouts)
    assert isinstance(found, Opened)
    return found


async def closed(server: RawServer) -> None:
    """Wait until the server has seen the end of its one connection."""
    with anyio.fail_after(30.0):
        await until(lambda: server.ended == server.connections == 1)


# ── its times ──


async def test_the_head_is_waited_for_until_the_deadline() -> None:
    """`timeouts.total` bounds a head that does not come."""
    async with leaf() as transport:
        with RawServer(silent) as server:
            late = Timeouts(connect=None, read=None, write=None, total=0.3)
            found = await transport.open(reading(server.base_url), late)
            assert found == MaybeSent(Phase.READ, "the time of the call ran out", timed_out=True)
            assert transport.stats().discarded == 1


async def test_the_body_is_not_bound_by_the_deadline_of_the_head() -> None:
    """Once there is a head the time of the call is the caller's to bound."""

    def slow(connection: Connection) -> None:
        connection.read_request()
        connection.send(HEAD + BODY[:100])
        connection.hang(1.0)
        connection.send(BODY[100:])

    async with leaf() as transport:
        with RawServer(slow) as server:
            found = await opened(transport, server, Timeouts(read=20.0, total=0.5))
            size = 0
            while piece := await found.read():
                assert isinstance(piece, bytes)
                size += len(piece)
            assert size == len(BODY)


async def test_read_time_outs() -> None:
    """A silence before the head, or behind it, ends with the read time-out."""
    for script in (silent, begun):
        async with leaf() as transport:
            with RawServer(script) as server:
                quick = Timeouts(read=0.3, total=20.0)
                found = await transport.open(reading(server.base_url), quick)
                if isinstance(found, Opened):
                    assert await found.read() == BODY[:100]
                    assert await found.read() == LATE
                    await closed(server)
                else:
                    assert found == LATE


async def test_connect_time_out() -> None:
    """A connect that nobody answers was not sent, by its own time or by the call's.

    Of a call of three seconds the connect gets two: a busy machine must not be too late for that.
    """
    async with leaf() as transport:
        with black_hole() as nobody:
            for timeouts in (Timeouts(connect=0.3, total=20.0), Timeouts(connect=None, total=3.0)):
                found = await transport.open(reading(nobody), timeouts)
                assert isinstance(found, Unsent)
                assert found.phase is Phase.CONNECT


async def test_a_reader_that_takes_its_time() -> None:
    """Who pauses longer than the read time-out still gets all of an answer that is there."""

    def whole(connection: Connection) -> None:
        connection.read_request()
        connection.send(HEAD + BODY)

    async with leaf() as transport:
        with RawServer(whole) as server:
            found = await opened(transport, server, Timeouts(read=0.3, total=20.0))
            size = 0
            for pause in (0.5, 0.5, *[0.0] * 100):
                piece = await found.read()
                assert isinstance(piece, bytes)
                size += len(piece)
                await anyio.sleep(pause)  # real time is the subject here
            assert size == len(BODY)


async def test_a_turn_that_comes_too_late() -> None:
    """A place that is handed on in the moment in which the time runs out is of no use."""
    async with leaf() as transport:
        results: list[object] = []

        async def ask() -> None:
            request = reading("http://127.0.0.1:9/bots")
            results.append(await transport.open(request, Timeouts(total=0.05)))

        assert await transport._gate.enter(float("inf"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: transport.stats().waiting == 1)
            transport._gate.leave()
            busy_for(0.1)
        assert results == [Unsent(Phase.LANE, "the time of the call ran out", timed_out=True)]


def busy_for(seconds: float) -> None:
    """Hold the event loop up."""
    late = time.monotonic() + seconds
    while time.monotonic() < late:
        continue


# ── its evidence ──


async def test_a_request_that_cannot_be_written() -> None:
    """It is the caller's mistake, found before any I/O; the error quotes nothing."""
    async with leaf() as transport:
        too_long = sending("http://127.0.0.1/bots", "x" * 70_000, post_encoding="query")
        for request in (reading("https://1.2.3.4.5/bots"), too_long):
            with pytest.raises(UsageError, match="makes a URL or a header that") as caught:
                await transport.open(request, ANY)
            assert KEY not in str(caught.value)
            assert (caught.value.__context__, caught.value.__cause__) == (None, None)


@pytest.mark.parametrize("cap", [len(BODY), len(BODY) - 1])
async def test_another_coding_is_read_whole(cap: int) -> None:
    """deflate, which nobody asked for, comes whole, and within the cap."""

    def deflated(connection: Connection) -> None:
        while connection.read_request():
            connection.send(answer(zlib.compress(BODY), "content-encoding: deflate"))

    async with leaf() as transport:
        with RawServer(deflated) as server:
            for _ in range(2):
                request = reading(server.base_url, max_response_bytes=cap)
                found = await transport.open(request, ANY)
                assert isinstance(found, WireResponse)
                assert found.oversized is (cap < len(BODY))
                assert found.body == (b"" if found.oversized else BODY)


async def test_another_coding_that_breaks_off() -> None:
    """It is maybe sent, as any answer that is not complete."""

    def broken(connection: Connection) -> None:
        connection.read_request()
        connection.send(answer(zlib.compress(BODY), "content-encoding: deflate")[:-10])

    async with leaf() as transport:
        with RawServer(broken) as server:
            found = await transport.open(reading(server.base_url), ANY)
            assert isinstance(found, MaybeSent)
            assert found.reason.startswith("RemoteProtocolError: ")
            await closed(server)


# ── what a cancellation leaves ──


@pytest.mark.parametrize("phase", ["connect", "head", "body"])
async def test_the_cancellation_comes_out_as_it_went_in(phase: str) -> None:
    """Nobody who cancels a task is handed a cancellation that is not his own."""
    async with leaf() as transport:
        with RawServer(begun if phase == "body" else silent) as server, black_hole() as nobody:

            async def read() -> None:
                found = await transport.open(
                    reading(nobody if phase == "connect" else server.base_url), ANY
                )
                assert isinstance(found, Opened)
                try:
                    while await found.read():
                        pass
                finally:
                    await found.aclose()

            task = asyncio.ensure_future(read())
            if phase == "connect":
                await until(lambda: transport.stats().busy == 1)
            else:
                await until(lambda: len(server.requests) == 1)
            await anyio.sleep(0.05)  # for what no server can see: that the client waits
            task.cancel("by me")
            with pytest.raises(asyncio.CancelledError, match="by me"):
                await task
            if phase == "body":
                await closed(server)


async def begin(transport: PyreqwestTransport, server: RawServer) -> asyncio.Task[object]:
    """Begin to open an answer; where it came before this thread was let run again, begin anew."""
    while True:
        task = asyncio.ensure_future(transport.open(reading(server.base_url), ANY))
        await asyncio.sleep(0)
        if not task.done():
            return task
        found = task.result()
        assert isinstance(found, Opened)
        await found.aclose()


async def test_a_head_that_comes_with_the_cancellation() -> None:
    """An answer that nobody will take is closed all the same, though its server says no more."""
    async with leaf() as transport:
        with RawServer(begun) as server:
            task = await begin(transport, server)
            busy_for(0.3)  # the head comes meanwhile, and the loop cannot hand it over
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with anyio.fail_after(30):
                await until(lambda: server.ended == server.connections)


async def test_left_without_a_close() -> None:
    """`abandon()` closes at once, twice is once, and there is nothing more to read."""
    async with leaf() as transport:
        with RawServer(begun) as server:
            found = await opened(transport, server, ANY)
            assert transport.stats().busy == 1
            found.abandon()
            found.abandon()
            assert await found.read() == b""
            assert transport.stats().busy == 0
            await closed(server)
