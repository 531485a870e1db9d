"""Time-outs as they show on the wire, not in a signature (trap 22, trap 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from aldeamo_async._evidence import Phase
from aldeamo_async.transports import (
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
from support.rawserver import Connection, RawServer, answer, black_hole
from support.wire import sending

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.real_clock

LONG = 60.0  # seconds; no test may take as long
SLACK = 20.0  # seconds that a busy machine may add; far from LONG all the same

TRANSPORTS: dict[str, Callable[[], Transport]] = {
    "lanes": LaneTransport,
    "pool": lambda: HttpxTransport(httpx.AsyncHTTPTransport()),
    FAST: HttptoolsTransport,
    RUST: PyreqwestTransport,
}


@pytest.fixture(params=everywhere(TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> Transport:
    return TRANSPORTS[request.param]()


def hang(connection: Connection) -> None:
    connection.read_request()
    connection.hang()


def deaf(connection: Connection) -> None:
    connection.hang()


async def timed(
    transport: Transport, base_url: str, timeouts: Timeouts, text: str = "Hola"
) -> tuple[Unsent | MaybeSent, float]:
    start = anyio.current_time()
    result = await transport.exchange(sending(base_url, text), timeouts)
    took = anyio.current_time() - start
    await transport.aclose()
    assert isinstance(result, Unsent | MaybeSent)
    return result, took


async def test_connect(transport: Transport) -> None:
    """A connect that nobody answers ends after the connect time-out, provably unsent."""
    with black_hole() as base_url:
        limits = Timeouts(connect=0.3, read=LONG, write=LONG, total=LONG)
        result, took = await timed(transport, base_url, limits)
    assert result == Unsent(
        Phase.CONNECT, "ConnectTimeout: no connection within the connect time-out"
    )
    assert 0.25 < took < 0.3 + SLACK


async def test_read(transport: Transport) -> None:
    """A server that never answers is waited for no longer than the read time-out."""
    with RawServer(hang) as server:
        limits = Timeouts(connect=LONG, read=0.3, write=LONG, total=LONG)
        result, took = await timed(transport, server.base_url, limits)
    assert result == MaybeSent(Phase.READ, "ReadTimeout: no answer within the read time-out")
    assert 0.25 < took < 0.3 + SLACK


async def test_write(transport: Transport) -> None:
    """A server that stops reading is written to no longer than the write time-out."""
    with RawServer(deaf) as server:
        limits = Timeouts(connect=LONG, read=LONG, write=0.3, total=LONG)
        result, took = await timed(transport, server.base_url, limits, "x" * 20_000_000)
    assert isinstance(result, MaybeSent)
    assert result.phase is Phase.WRITE
    assert result.reason.startswith("WriteTimeout: ")
    assert 0.25 < took < 0.3 + SLACK


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.WRITE, Phase.READ])
async def test_total(phase: Phase, transport: Transport) -> None:
    """The call's time bounds each phase, however long the phase itself might take."""
    # Writing out so long a text takes a busy machine a good part of 0.3 s, before it connects.
    total = 0.3 if phase is Phase.READ else 1.0
    # A connect is given half of that by PyreqwestTransport: the largest power of two that fits.
    least = 0.45 if phase is Phase.CONNECT else total - 0.1
    limits = Timeouts(connect=None, read=None, write=None, total=total)
    with black_hole() as nobody, RawServer(deaf) as silent:
        base_url = nobody if phase is Phase.CONNECT else silent.base_url
        text = "x" * 20_000_000 if phase is Phase.WRITE else "Hola"
        result, took = await timed(transport, base_url, limits, text)
    assert isinstance(result, Unsent) is (phase is Phase.CONNECT)
    assert least <= took < total + SLACK
    if isinstance(transport, PyreqwestTransport):  # it gives up a connect in time, and cannot tell
        assert result.timed_out is (phase is not Phase.CONNECT)  # a write from a read
    else:
        assert result.timed_out
        assert result.phase is phase


async def test_a_connection_past_its_keep_alive_is_not_used() -> None:
    """An idle connection is left before a server would close it, and a new one is opened."""

    def serve(connection: Connection) -> None:
        while connection.read_request():
            connection.send(answer())

    with RawServer(serve) as server:
        transport = LaneTransport(keepalive_expiry=0.05)
        for _ in range(2):
            result = await transport.exchange(sending(server.base_url), Timeouts(total=LONG))
            assert isinstance(result, WireResponse)
            await anyio.sleep(0.1)  # real time is the subject here
        await transport.aclose()
        assert server.connections == 2
