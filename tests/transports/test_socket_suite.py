"""One suite over real sockets for every transport; the server's own count is the judge."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from aldeamo_async._evidence import Evidence, Phase
from aldeamo_async.transports import (
    Exchange,
    HttptoolsTransport,
    HttpxTransport,
    LaneTransport,
    MaybeSent,
    PyreqwestTransport,
    Timeouts,
    Transport,
    Unsent,
    WireResponse,
)
from support.backends import FAST, RUST, everywhere
from support.matrix import CARRIED
from support.rawserver import Connection, RawServer
from support.socket_faults import (
    CAP,
    FAULTS,
    OVERSIZED,
    READ_TIMEOUT,
    Fault,
    Target,
    authority_file,
    client_context,
)
from support.wire import sending, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

pytestmark = pytest.mark.real_clock

EVIDENCE = {
    WireResponse: Evidence.ANSWERED,
    Unsent: Evidence.UNSENT,
    MaybeSent: Evidence.MAYBE_SENT,
}


def lanes(proxy: str | None, max_connections: int) -> Transport:
    return LaneTransport(verify=client_context(), proxy=proxy, max_connections=max_connections)


def pool(proxy: str | None, max_connections: int) -> Transport:
    return HttpxTransport(
        httpx.AsyncHTTPTransport(
            verify=client_context(),
            proxy=proxy,
            limits=httpx.Limits(max_connections=max_connections),
        )
    )


def fast(proxy: str | None, max_connections: int) -> Transport:
    return HttptoolsTransport(verify=client_context(), proxy=proxy, max_connections=max_connections)


def rust(proxy: str | None, max_connections: int) -> Transport:
    return PyreqwestTransport(verify=authority_file(), proxy=proxy, max_connections=max_connections)


# A further transport joins the suite with one line here.
TRANSPORTS: dict[str, Callable[[str | None, int], Transport]] = {
    "lanes": lanes,
    "pool": pool,
    FAST: fast,
    RUST: rust,
}


DRIPS = ("drip of a body", "drip of a head")
# The faults that only the call's own time ends: pyreqwest gives a head, however slowly it comes,
# the time of one read.
LASTING = {"lanes": DRIPS, "pool": DRIPS, FAST: DRIPS, RUST: DRIPS[:1]}


@pytest.fixture(params=everywhere(TRANSPORTS))
def carrier(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@asynccontextmanager
async def opened(
    carrier: str, proxy: str | None = None, max_connections: int = 10
) -> AsyncGenerator[Transport]:
    transport = TRANSPORTS[carrier](proxy, max_connections)
    try:
        yield transport
    finally:
        await transport.aclose()


def timeouts(total: float) -> Timeouts:
    return Timeouts(connect=2.0, read=READ_TIMEOUT, write=2.0, total=total)


async def suffer(fault: Fault, target: Target, transport: Transport) -> Exchange:
    """Send one message into a fault, after a healthy one where the fault asks for it."""
    if fault.warm_up:
        warm = await transport.exchange(sending(target.base_url, "warm-up"), timeouts(5.0))
        assert isinstance(warm, WireResponse)
        assert warm.status == 200
        await until(lambda: target.ended() >= fault.ended)
    request = sending(target.base_url, "the message", max_response_bytes=CAP)
    with anyio.fail_after(fault.total + 5.0):
        return await transport.exchange(request, timeouts(fault.total))


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_fault(fault: Fault, carrier: str, anyio_backend_name: str) -> None:
    """Each fault gives the evidence that is true, and no message arrives twice."""
    with fault.open() as target:
        async with opened(carrier, target.proxy) as transport:
            result = await suffer(fault, target, transport)
        await anyio.to_thread.run_sync(target.stop)
        delivered = target.deliveries("the+message")
    evidence = EVIDENCE[type(result)]
    phase = Phase.DONE if isinstance(result, WireResponse) else result.phase
    CARRIED.put(fault.name, f"{carrier}/{anyio_backend_name}", f"{evidence} {phase} {delivered}")
    assert evidence in fault.expected, result
    assert delivered in fault.deliveries
    if isinstance(result, WireResponse):
        assert result.status == fault.status
        assert result.oversized is (fault.name in OVERSIZED)
    else:
        assert (phase is Phase.CONNECT) is (evidence is Evidence.UNSENT)
        assert result.timed_out is (fault.name in LASTING[carrier])


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.name in OVERSIZED], ids=str)
async def test_transport_is_good_after_an_oversized_answer(fault: Fault, carrier: str) -> None:
    """An answer that is cut short costs its connection and nothing else."""
    with fault.open() as target:
        async with opened(carrier, max_connections=1) as transport:
            for _ in range(3):
                result = await suffer(fault, target, transport)
                assert isinstance(result, WireResponse)
                assert result.body == b""
        await anyio.to_thread.run_sync(target.stop)
        assert target.deliveries("the+message") == 3


async def test_all_connections_busy(carrier: str, anyio_backend_name: str) -> None:
    """A message that gets no connection within its time was not sent; a lane can prove it."""

    def hang(connection: Connection) -> None:
        connection.read_request()
        connection.hang()

    with RawServer(hang) as server:
        async with opened(carrier, max_connections=1) as transport, anyio.create_task_group() as tg:
            first = sending(server.base_url, "first")
            tg.start_soon(transport.exchange, first, Timeouts(read=None, total=60.0))
            await until(lambda: server.deliveries("first") == 1)
            result = await transport.exchange(sending(server.base_url, "second"), timeouts(0.2))
            tg.cancel_scope.cancel()
        await anyio.to_thread.run_sync(server.stop)
        delivered = server.deliveries("second")
    CARRIED.put(
        "all connections busy",
        f"{carrier}/{anyio_backend_name}",
        f"{EVIDENCE[type(result)]} {getattr(result, 'phase', '')} {delivered}",
    )
    assert delivered == 0
    if carrier != "pool":
        assert result == Unsent(Phase.LANE, "all 1 connections are busy", timed_out=True)
    else:  # the pool of httpx says nothing while a request waits, so nothing is proven
        assert isinstance(result, MaybeSent)
        assert result.timed_out
