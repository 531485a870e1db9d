"""What httpcore tells of one request, and what is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aldeamo_async._evidence import Phase
from aldeamo_async.transports import HttpxTransport, LaneTransport, Timeouts, WireResponse
from aldeamo_async.transports._witness import Witness
from support.rawserver import RawServer, serve_all
from support.wire import sending

if TYPE_CHECKING:
    from collections.abc import Callable

    from aldeamo_async.transports import Transport

TRANSPORTS: dict[str, Callable[[], Transport]] = {
    "lanes": LaneTransport,
    "pool": lambda: HttpxTransport(httpx.AsyncHTTPTransport()),
}


@pytest.mark.real_clock
@pytest.mark.parametrize("name", TRANSPORTS)
async def test_once_a_request_is_on_its_way_no_more_is_told(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each message on an open connection is told of twice: as its headers go, and have gone."""
    told: list[str] = []
    take_note = Witness.__call__

    async def listen(witness: Witness, step: str, info: dict[str, Any]) -> None:
        told.append(step)
        await take_note(witness, step, info)

    monkeypatch.setattr(Witness, "__call__", listen)
    transport = TRANSPORTS[name]()
    with RawServer(serve_all) as server:
        for _ in range(2):
            told.clear()
            answer = await transport.exchange(sending(server.base_url), Timeouts(total=60.0))
            assert isinstance(answer, WireResponse)
        await transport.aclose()
    assert told == ["http11.send_request_headers.started", "http11.send_request_headers.complete"]


async def test_the_phase_follows_what_was_told_and_written() -> None:
    """Nothing told: the guess. Told: the last step, unless the answer was already awaited."""
    witness = Witness()
    assert witness.phase_of(None) is Phase.READ
    assert witness.phase_of(Phase.WRITE) is Phase.WRITE
    await witness("connection.connect_tcp.started", {})
    witness.written()
    assert witness.proves_unsent
    assert witness.phase_of(Phase.READ) is Phase.CONNECT
    await witness("http11.send_request_headers.started", {})
    assert not witness.proves_unsent
    assert witness.phase_of(None) is Phase.WRITE
    assert witness.phase_of(Phase.CONNECT) is Phase.WRITE
    assert witness.phase_of(Phase.READ) is Phase.READ
    witness.written()
    assert witness.phase_of(None) is Phase.READ
