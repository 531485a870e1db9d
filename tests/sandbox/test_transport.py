"""The door in process, on virtual clocks: timeouts, trace events, cancellation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from aldeamo_async.sandbox import Fault, Sandbox, SandboxTransport, Weather

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

URL = "http://sandbox.invalid/bots/messages"
FORM = {"auth": "test-key", "channel": "sms", "client_id": "573000000001", "msg": "Hola"}
STEPS = ["connect_tcp", "send_request_headers", "send_request_body", "receive_response_headers"]


def request(timeout: dict[str, float | None] | None = None, trace: Any = None) -> httpx.Request:
    extensions: dict[str, Any] = {}
    if timeout is not None:
        extensions["timeout"] = timeout
    if trace is not None:
        extensions["trace"] = trace
    return httpx.Request("POST", URL, data=FORM, extensions=extensions)


def stormy(fault: Fault) -> Sandbox:
    return Sandbox(weather=Weather.sequence([fault]))


@pytest.mark.parametrize(
    ("fault", "error", "delivered"),
    [
        (Fault.HANG_CONNECT, httpx.ConnectTimeout, 0),
        (Fault.HANG_BEFORE_EFFECT, httpx.ReadTimeout, 0),
        (Fault.HANG_AFTER_EFFECT, httpx.ReadTimeout, 1),
    ],
    ids=repr,
)
async def test_timeouts(fault: Fault, error: type[Exception], delivered: int) -> None:
    """The timeouts of the request end a hang, each after exactly its time."""
    sandbox = stormy(fault.with_(seconds=3600))
    start = anyio.current_time()
    with pytest.raises(error):
        await SandboxTransport(sandbox).handle_async_request(
            request({"connect": 7.0, "read": 7.0, "write": 1.0, "pool": 1.0})
        )
    assert anyio.current_time() - start == pytest.approx(7.0)
    assert sandbox.delivered == delivered


@pytest.mark.parametrize("timeout", [None, {}, {"read": None, "connect": None}])
@pytest.mark.parametrize(
    "fault", [Fault.HANG_CONNECT, Fault.HANG_BEFORE_EFFECT, Fault.HANG_AFTER_EFFECT], ids=repr
)
async def test_no_timeouts(fault: Fault, timeout: dict[str, float | None] | None) -> None:
    """Without timeouts a hang takes as long as it takes, and then goes on."""
    sandbox = stormy(fault.with_(seconds=3600))
    start = anyio.current_time()
    answer = await SandboxTransport(sandbox).handle_async_request(request(timeout))
    assert answer.status_code == 200
    assert anyio.current_time() - start == pytest.approx(3600)
    assert sandbox.delivered == 1


async def test_the_read_timeout_counts_all_silence() -> None:
    """Latency and hang together are one silence; the effect comes before it is too long."""
    sandbox = stormy(Fault.HANG_AFTER_EFFECT.with_(seconds=3))
    sandbox.latency = 3
    with pytest.raises(httpx.ReadTimeout):
        await SandboxTransport(sandbox).handle_async_request(request({"read": 5.0}))
    assert anyio.current_time() == pytest.approx(sandbox.deliveries[0].at + 2)


async def test_drip_beats_a_read_timeout() -> None:
    """A drip keeps within the read timeout for each piece and lasts far beyond it in all."""
    sandbox = stormy(Fault.DRIP.with_(drip=1, seconds=0.9))
    start = anyio.current_time()
    answer = await SandboxTransport(sandbox).handle_async_request(request({"read": 1.0}))
    assert anyio.current_time() == start
    assert len(await answer.aread()) == 60
    assert anyio.current_time() - start == pytest.approx(54)


async def test_slow_drip() -> None:
    """A pause longer than the read timeout ends the reading of the body."""
    sandbox = stormy(Fault.DRIP.with_(seconds=2))
    answer = await SandboxTransport(sandbox).handle_async_request(request({"read": 1.0}))
    with pytest.raises(httpx.ReadTimeout):
        await answer.aread()
    assert sandbox.delivered == 1


async def events_of(fault: Fault | None) -> list[str]:
    heard: list[str] = []

    async def trace(event: str, info: dict[str, Any]) -> None:
        if event.endswith(".failed"):
            assert isinstance(info["exception"], Exception)
        heard.append(event.removeprefix("sandbox."))

    sandbox = Sandbox(weather=Weather.sequence([fault]))
    try:
        await SandboxTransport(sandbox).handle_async_request(
            request({"connect": 1.0, "read": 1.0}, trace)
        )
    except httpx.TransportError:
        heard.append("raised")
    return heard


async def test_trace() -> None:
    """A calm exchange tells its steps, each started and complete, as httpcore names them."""
    assert await events_of(None) == [f"{s}.{e}" for s in STEPS for e in ("started", "complete")]


@pytest.mark.parametrize("fault", [Fault.CONNECTION_REFUSED, Fault.HANG_CONNECT], ids=repr)
async def test_trace_of_what_never_left(fault: Fault) -> None:
    """Without a connection there is no `send_request_headers.started`: nothing left."""
    assert await events_of(fault) == ["connect_tcp.started", "connect_tcp.failed", "raised"]


@pytest.mark.parametrize(
    "fault", [Fault.DROP_AT_ACCEPT, Fault.DROP_AFTER_BODY, Fault.HANG_AFTER_EFFECT], ids=repr
)
async def test_trace_of_what_may_have_left(fault: Fault) -> None:
    """Once connected, the request left, whatever became of it."""
    heard = await events_of(fault)
    assert "send_request_headers.started" in heard
    assert heard[-2:] == ["receive_response_headers.failed", "raised"]


@pytest.mark.parametrize(("seconds", "delivered"), [(0.5, 0), (1.5, 1)])
async def test_cancellation(seconds: float, delivered: int) -> None:
    """Who gives up before the effect is not delivered to; who gives up after it, is."""
    sandbox = stormy(Fault.HANG_AFTER_EFFECT)
    sandbox.latency = 1.0
    with anyio.move_on_after(seconds) as scope:
        await SandboxTransport(sandbox).handle_async_request(request())
    assert scope.cancelled_caught
    assert sandbox.delivered == delivered


async def test_cancellation_between_arrival_and_effect() -> None:
    """A calm send that is cancelled when its request has just arrived is not delivered."""
    sandbox = Sandbox()
    with anyio.CancelScope() as scope:

        async def trace(event: str, info: dict[str, Any]) -> None:
            if event == "sandbox.receive_response_headers.started":
                scope.cancel()

        await SandboxTransport(sandbox).handle_async_request(request(trace=trace))
    assert scope.cancelled_caught
    assert (sandbox.delivered, sandbox.requests) == (0, {"send": 1})


async def test_cancellation_between_effect_and_answer() -> None:
    """A calm send that is cancelled at the moment of its effect is delivered, without an answer."""
    with anyio.CancelScope() as scope:

        def clock() -> float:
            scope.cancel()  # the time of a delivery is asked for at the effect
            return 0.0

        sandbox = Sandbox(clock=clock)
        await SandboxTransport(sandbox).handle_async_request(request())
    assert scope.cancelled_caught
    assert sandbox.delivered == 1


async def test_streamed_request() -> None:
    """A request body that is streamed is read to its end."""

    async def body() -> AsyncIterator[bytes]:
        yield b"auth=test-key&channel=sms&client_id=573000000001"
        yield b"&msg=Hola"

    sandbox = Sandbox()
    async with httpx.AsyncClient(transport=SandboxTransport(sandbox)) as client:
        assert (await client.post(URL, content=body())).status_code == 200
    assert sandbox.delivered == 1


async def test_rate_limit_on_the_loop_clock() -> None:
    """By default the sandbox's rate limit runs on the clock of the event loop."""
    sandbox = Sandbox(rate=1, burst=1)
    statuses = []
    for pause in (0.0, 0.5, 0.5):
        await anyio.sleep(pause)
        answer = await SandboxTransport(sandbox).handle_async_request(request())
        statuses.append(answer.status_code)
    assert statuses == [200, 429, 200]
