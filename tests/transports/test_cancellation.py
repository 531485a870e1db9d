"""Cancellation at every scheduler tick of an exchange: nothing is lost, nothing leaks (trap 17)."""

from __future__ import annotations

import asyncio
import gc
from importlib.metadata import version
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import httpx
import pytest
from packaging.version import Version

from aldeamo_async.transports import (
    Exchange,
    HttptoolsTransport,
    HttpxTransport,
    LaneTransport,
    PyreqwestTransport,
    Timeouts,
    Transport,
    WireResponse,
    _dial,
)
from support.backends import FAST, RUST, everywhere
from support.loopserver import LoopServer, loop_server
from support.names import NAME, resolve
from support.rawserver import SENT_BODY, Connection, RawServer, answer, black_hole, free_port
from support.socket_faults import authority_file, client_context
from support.wire import sending, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Cut = Callable[[int, Transport, LoopServer], Awaitable[Exchange | None]]

pytestmark = [pytest.mark.real_clock]
if Version(version("anyio")) < Version("4.16"):
    # Until 4.16 anyio.connect_tcp() itself leaves a socket to the garbage collector when it is
    # cancelled on asyncio in the very tick in which it connects. Nobody else ever sees that socket.
    pytestmark.append(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))

# The sweep ends when so many numbers of ticks in a row made no difference.
BEYOND = 5
DELAY = 0.0002  # seconds between two cancellations of a sweep by time
LEAVES: dict[str, type[LaneTransport | HttptoolsTransport | PyreqwestTransport]] = {
    "lanes": LaneTransport,
    FAST: HttptoolsTransport,
    RUST: PyreqwestTransport,
}
LONG = b" " * 100_000  # more than pyreqwest reads ahead of the head
BEGUN = {  # by the phase in which it stalls, what came of an answer
    "body": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{",
    "long body": b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n" + LONG,
    "long chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n30d40\r\n" + LONG,
}


def keeping(_: int) -> bytes:
    """An answer after which the server keeps the connection."""
    return answer()


def closing(_: int) -> bytes:
    """An answer after which the server closes the connection."""
    return answer(SENT_BODY, "connection: close")


async def cancelled_after(ticks: int, transport: Transport, server: LoopServer) -> Exchange | None:
    """Start an exchange, let so many ticks pass, cancel it; its answer if it was faster."""
    results: list[Exchange] = []

    async def run() -> None:
        request = sending(server.base_url, f"message-{ticks}-")
        results.append(await transport.exchange(request, Timeouts(total=30.0)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        for _ in range(ticks):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    return results[0] if results else None


async def sweep(
    transport: Transport, server: LoopServer, *, warm: bool, cut: Cut = cancelled_after
) -> int:
    """Cancel one exchange after each number of ticks; return how many there were."""
    ticks = unmoved = 0
    while unmoved < BEYOND:
        if warm:
            await transport.exchange(sending(server.base_url, "warm"), Timeouts(total=30.0))
        result = await cut(ticks, transport, server)
        unmoved = unmoved + 1 if result else 0
        ticks += 1
        assert ticks < 2000
    return ticks


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_sweep(*, tls: bool, warm: bool) -> None:
    """After a cancellation at each tick of an exchange 20 quiet ones succeed, no lane is lost."""
    async with loop_server(tls=tls) as server:
        transport = LaneTransport(max_connections=2, verify=client_context())
        ticks = await sweep(transport, server, warm=warm)
        assert ticks > BEYOND + 3
        for number in range(20):
            request = sending(server.base_url, f"quiet-{number}-")
            assert isinstance(await transport.exchange(request, Timeouts(total=5.0)), WireResponse)
        stats = transport.stats()
        assert (stats.busy, stats.waiting, stats.open, stats.idle) == (0, 0, 1, 1)
        assert stats.discarded > 3
        await transport.aclose()
        for number in range(ticks):
            assert sum(f"message-{number}-".encode() in body for body in server.bodies) <= 1
        gc.collect()  # a socket that was left open would be a ResourceWarning here


async def crowd(transport: Transport, server: LoopServer, ticks: int) -> None:
    """Three messages that stay and one that is cancelled after so many ticks."""
    async with anyio.create_task_group() as tasks:
        for text in ("a", "b", "c"):
            request = sending(server.base_url, text)
            tasks.start_soon(transport.exchange, request, Timeouts(total=30.0))
        await cancelled_after(ticks, transport, server)


@pytest.mark.asyncio_only
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_sweep_of_the_fast_leaf(*, tls: bool, warm: bool) -> None:
    """The same where threads of Rust do the work, whose pace no tick of the loop measures."""
    async with loop_server(tls=tls) as server:
        transport = PyreqwestTransport(max_connections=2, verify=authority_file())
        late = 0  # so many in a row were too late: the exchange is over by then
        delays = 0
        while late < BEYOND:
            if warm:
                await transport.exchange(sending(server.base_url, "warm"), Timeouts(total=30.0))
            result = await cancelled_at(delays * DELAY, f"cut-{delays}-", transport, server)
            late = late + 1 if result else 0
            delays += 1
        assert delays > BEYOND
        for number in range(20):
            request = sending(server.base_url, f"quiet-{number}-")
            assert isinstance(await transport.exchange(request, Timeouts(total=5.0)), WireResponse)
        stats = transport.stats()
        assert (stats.busy, stats.waiting) == (0, 0)
        assert stats.discarded > 0
        await transport.aclose()
        for number in range(delays):
            assert server.deliveries(f"cut-{number}-") <= 1


async def cut_by_hand(ticks: int, transport: Transport, server: LoopServer) -> Exchange | None:
    """The same with the plain cancellation of a task, which comes once and has a reason."""
    call = transport.exchange(sending(server.base_url, f"message-{ticks}-"), Timeouts(total=30.0))
    task = asyncio.ensure_future(call)
    for _ in range(ticks):
        await asyncio.sleep(0)
    if not task.cancel("by me"):
        return await task
    with pytest.raises(asyncio.CancelledError, match="by me"):
        await task
    return None


@pytest.mark.asyncio_only
@pytest.mark.parametrize("cut", [cancelled_after, cut_by_hand])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("road", ["cold", "warm", "closing", "detour", "race"])
async def test_sweep_of_our_own_connections(
    road: str, cut: Cut, monkeypatch: pytest.MonkeyPatch, *, tls: bool
) -> None:
    """The same for the fast leaf, also where the first address refuses, or where two race."""
    reply = closing if road == "closing" else keeping
    async with loop_server(reply, tls=tls, name=NAME) as server:
        port = int(server.base_url.split(":")[2].partition("/")[0])
        resolve(
            monkeypatch, *{"detour": (free_port(), port), "race": (port, port)}.get(road, (port,))
        )
        if road == "race":
            monkeypatch.setattr(_dial, "_NEXT_ADDRESS", 1e-9)
        transport = HttptoolsTransport(max_connections=2, verify=client_context())
        ticks = await sweep(transport, server, warm=road == "warm", cut=cut)
        assert ticks > BEYOND + 3
        for number in range(20):
            request = sending(server.base_url, f"quiet-{number}-")
            assert isinstance(await transport.exchange(request, Timeouts(total=5.0)), WireResponse)
        stats = transport.stats()
        kept = road != "closing"
        assert (stats.busy, stats.waiting, stats.open, stats.idle) == (0, 0, kept, kept)
        assert stats.discarded > 3
        await transport.aclose()
        assert not transport._closing
        for number in range(ticks):
            assert server.deliveries(f"message-{number}-") <= 1
        gc.collect()  # a socket that was left open would be a ResourceWarning here


async def cancelled_at(
    seconds: float, text: str, transport: Transport, server: LoopServer
) -> Exchange | None:
    """Start an exchange and cancel it after so long; its answer if it was faster."""
    with anyio.move_on_after(seconds):
        return await transport.exchange(sending(server.base_url, text), Timeouts(total=30.0))
    return None


@pytest.mark.asyncio_only
@pytest.mark.parametrize("phase", ["head", "body", "long body", "long chunk", "connect"])
async def test_the_cancellation_comes_out_as_it_went_in(phase: str) -> None:
    """Nobody who cancels a task is handed a cancellation that is not his own."""

    def stall(connection: Connection) -> None:
        connection.read_request()
        connection.send(BEGUN.get(phase, b""))
        connection.hang()

    with RawServer(stall) as server, black_hole() as nobody:
        transport = PyreqwestTransport()
        base_url = nobody if phase == "connect" else server.base_url
        call = transport.exchange(sending(base_url), Timeouts(total=30.0))
        task = asyncio.ensure_future(call)
        await (anyio.sleep(0.05) if phase == "connect" else until(lambda: server.deliveries() == 1))
        task.cancel("by me")
        with pytest.raises(asyncio.CancelledError, match="by me"):
            await task
        stats = transport.stats()
        assert (stats.busy, stats.discarded) == (0, 1)
        await transport.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("reply", [keeping, closing])
@pytest.mark.parametrize("leaf", everywhere(LEAVES))
async def test_sweep_while_waiting_for_a_lane(reply: Callable[[int], bytes], leaf: str) -> None:
    """A cancellation at any tick of a wait in line takes nobody's place."""
    async with loop_server(reply) as server:
        transport = LEAVES[leaf](max_connections=1)
        for ticks in range(100):
            await crowd(transport, server, ticks)
        stats = transport.stats()
        assert (stats.busy, stats.waiting, stats.open - stats.idle) == (0, 0, 0)
        assert sum(b"msg=a" in body for body in server.bodies) == 100
        await transport.aclose()
        gc.collect()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # one is enough: it is about httpx
async def test_a_bare_pool_needs_lanes() -> None:
    """What the lanes are for: a pool of httpx 0.28 is dead after the same sweep."""
    async with loop_server(closing) as server:
        transport = HttpxTransport(httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=1)))
        alive = True
        for ticks in range(100):
            with anyio.move_on_after(1.0) as patience:
                await crowd(transport, server, ticks)
            alive = alive and not patience.cancelled_caught
            if not alive:
                break
        await transport.aclose()
        assert alive is not httpx.__version__.startswith("0.28")
