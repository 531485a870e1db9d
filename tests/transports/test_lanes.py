"""The lanes without a network, on virtual clocks: order, counts, discards, closing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
import respx

from aldeamo_async._errors import UsageError
from aldeamo_async._evidence import Phase
from aldeamo_async.transports import (
    LaneStats,
    LaneTransport,
    MaybeSent,
    Timeouts,
    Unsent,
    WireResponse,
)
from aldeamo_async.transports._gate import Gate
from aldeamo_async.transports._lanes import Lanes
from aldeamo_async.transports._routes import Route
from support.wire import reading, sending

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = "https://api.invalid/bots"
OTHER = "http://127.0.0.1/bots"
ANY = Timeouts(total=60.0)


class Inner(httpx.AsyncBaseTransport):
    """One lane's transport: hangs as long as it is told, then answers or raises."""

    def __init__(self, factory: Factory, route: Route) -> None:
        self.factory = factory
        self.route = route
        self.used = 0
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.used += 1
        self.factory.open += 1
        try:
            await anyio.sleep(self.factory.hang)
        finally:
            self.factory.open -= 1
        if self.factory.error:
            raise self.factory.error
        return httpx.Response(200, content=b"{}")

    async def aclose(self) -> None:
        await anyio.sleep(0.001)
        self.closed += 1


class Factory:
    """Makes the transports of the lanes and keeps them for the test to look at."""

    def __init__(self) -> None:
        self.made: list[Inner] = []
        self.hang = 1.0
        self.error: Exception | None = None
        self.open = 0

    def __call__(self, route: Route) -> httpx.AsyncBaseTransport:
        self.made.append(Inner(self, route))
        return self.made[-1]


def by_scheme(url: str) -> Route:
    return Route(url.startswith("https:"), None)


def lanes_of(factory: Factory, size: int, find_route: Callable[[str], Route] = by_scheme) -> Lanes:
    return Lanes(factory, find_route, gate=Gate(size), keepalive_expiry=4.0)


async def send_at_once(lanes: Lanes, count: int, timeouts: Timeouts = ANY) -> list[object]:
    results: list[object] = []

    async def send() -> None:
        results.append(await lanes.exchange(sending(BASE), timeouts))

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(send)
    return results


async def test_lanes_are_made_on_demand_and_used_again() -> None:
    """One after the other takes one lane; at once each takes its own."""
    factory = Factory()
    lanes = lanes_of(factory, 10)
    for _ in range(3):
        await lanes.exchange(sending(BASE), ANY)
    assert len(factory.made) == 1
    await send_at_once(lanes, 4)
    assert len(factory.made) == 4
    assert lanes.stats() == LaneStats(10, open=4, idle=4, busy=0, waiting=0, discarded=0)


async def test_the_last_used_lane_goes_first() -> None:
    """Idle lanes are a stack, so that a quiet client keeps one connection warm."""
    factory = Factory()
    lanes = lanes_of(factory, 10)
    await send_at_once(lanes, 3)
    for _ in range(4):
        await lanes.exchange(sending(BASE), ANY)
    assert sorted(inner.used for inner in factory.made) == [1, 1, 5]


async def test_no_more_at_once_than_places() -> None:
    """With 2 lanes 5 messages take three rounds, and the counts say so on the way."""
    factory = Factory()
    lanes = lanes_of(factory, 2)
    start = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send_at_once, lanes, 5)
        await anyio.sleep(0.5)
        assert lanes.stats() == LaneStats(2, open=2, idle=0, busy=2, waiting=3, discarded=0)
        assert factory.open == 2
    assert anyio.current_time() - start == pytest.approx(3.0)
    assert len(factory.made) == 2


async def test_waiting_counts_against_the_call() -> None:
    """The time in line is part of the call's time: what is left bounds the exchange."""
    factory = Factory()
    lanes = lanes_of(factory, 1)
    results = await send_at_once(lanes, 3, Timeouts(total=1.5))
    assert {type(result) for result in results} == {WireResponse, MaybeSent, Unsent}
    assert Unsent(Phase.LANE, "all 1 connections are busy", timed_out=True) in results
    assert lanes.stats().busy == 0


async def test_no_time_left() -> None:
    """Without any time left not even a lane is asked for."""
    factory = Factory()
    result = await lanes_of(factory, 1).exchange(sending(BASE), Timeouts(total=-1.0))
    assert result == Unsent(Phase.LANE, "the time of the call ran out", timed_out=True)
    assert not factory.made


async def test_a_failed_lane_is_thrown_away() -> None:
    """A lane whose request failed is closed and not used again."""
    factory = Factory()
    factory.error = httpx.ReadError("broken")
    lanes = lanes_of(factory, 2)
    assert isinstance(await lanes.exchange(sending(BASE), ANY), MaybeSent)
    assert factory.made[0].closed == 1
    assert lanes.stats() == LaneStats(2, open=0, idle=0, busy=0, waiting=0, discarded=1)


async def test_a_bug_costs_its_lane_and_nothing_else() -> None:
    """A programming error propagates; its place is free again."""
    factory = Factory()
    factory.error = TypeError("bug")
    lanes = lanes_of(factory, 1)
    for _ in range(3):
        with pytest.raises(TypeError):
            await lanes.exchange(sending(BASE), ANY)
    assert lanes.stats() == LaneStats(1, open=0, idle=0, busy=0, waiting=0, discarded=3)


async def test_a_lane_that_cannot_be_opened_costs_no_place() -> None:
    """An error before there is a lane leaves the counts right."""

    def refuse(url: str) -> Route:
        raise UsageError("no route")

    lanes = lanes_of(Factory(), 1, refuse)
    for _ in range(3):
        with pytest.raises(UsageError):
            await lanes.exchange(sending(BASE), ANY)
    assert lanes.stats().busy == 0


async def test_a_cancelled_lane_is_closed_all_the_same() -> None:
    """The lane of a cancelled request is closed to the end, under the cancellation."""
    factory = Factory()
    lanes = lanes_of(factory, 1)
    with anyio.move_on_after(0.5):
        await lanes.exchange(sending(BASE), ANY)
    assert factory.made[0].closed == 1
    assert lanes.stats().busy == 0


async def test_a_lane_serves_one_route() -> None:
    """A lane made for http:// is never used for https://, whose certificates it would not check."""
    factory = Factory()
    lanes = lanes_of(factory, 1)
    for base in (BASE, OTHER, OTHER, BASE):
        await lanes.exchange(sending(base), ANY)
    assert [inner.route.secure for inner in factory.made] == [True, False, True]
    assert [inner.closed for inner in factory.made] == [1, 1, 0]


async def test_old_lanes_are_closed_by_and_by() -> None:
    """After a burst, lanes past their keep-alive are closed one with each request."""
    factory = Factory()
    lanes = lanes_of(factory, 10)
    await send_at_once(lanes, 5)
    await anyio.sleep(10.0)
    for left in (4, 3, 2, 1, 1):
        await lanes.exchange(sending(BASE), ANY)
        assert lanes.stats().idle == left


async def test_closing() -> None:
    """Idle lanes close at once, a busy one when its request ends; who waits is refused."""
    factory = Factory()
    lanes = lanes_of(factory, 2)
    await send_at_once(lanes, 2)
    results: list[object] = []

    async def send(hang: float) -> None:
        factory.hang = hang
        results.append(await lanes.exchange(sending(BASE), ANY))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, 5.0)
        await anyio.sleep(0.1)
        await lanes.aclose()
        assert sorted(inner.closed for inner in factory.made) == [0, 1]
        await lanes.aclose()
    assert isinstance(results[0], WireResponse)
    assert [inner.closed for inner in factory.made] == [1, 1]
    with pytest.raises(UsageError, match="closed"):
        await lanes.exchange(sending(BASE), ANY)


async def test_closing_sends_the_line_away() -> None:
    """Who waits for a lane when the transport closes has not sent anything."""
    factory = Factory()
    lanes = lanes_of(factory, 1)
    results: list[object] = []

    async def send() -> None:
        results.append(await lanes.exchange(sending(BASE), ANY))

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(send)
            await anyio.wait_all_tasks_blocked()
        await lanes.aclose()
    refused, answered = results
    assert isinstance(refused, Unsent)
    assert (refused.phase, refused.timed_out) == (Phase.LANE, False)
    assert isinstance(answered, WireResponse)
    assert lanes.stats().open == 0


async def test_respx_catches_the_default_transport() -> None:
    """respx sees the requests of the lanes, and what it makes of them proves nothing."""
    transport = LaneTransport()
    with respx.mock(base_url=BASE) as router:
        route = router.post("/messages").respond(200, json={"status": True})
        router.get("/users").mock(side_effect=httpx.ConnectError)
        answer = await transport.exchange(sending(BASE), ANY)
        failure = await transport.exchange(reading(BASE), ANY)
    assert isinstance(answer, WireResponse)
    assert route.calls.last.request.content.endswith(b"msg=Hola+Ana")
    assert failure == MaybeSent(Phase.CONNECT, "ConnectError: no connection could be made")
    await transport.aclose()


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "10", None])
def test_max_connections_is_a_whole_number(bad: object) -> None:
    """A limit that is no limit is refused when the transport is made."""
    with pytest.raises(UsageError, match="max_connections must be a whole number above 0"):
        LaneTransport(max_connections=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [0.0, -1.0, "4"])
def test_keepalive_expiry_is_a_time(bad: object) -> None:
    """A keep-alive that is no time is refused when the transport is made."""
    with pytest.raises(UsageError, match="keepalive_expiry"):
        LaneTransport(keepalive_expiry=bad)  # type: ignore[arg-type]


def test_made_without_an_event_loop() -> None:
    """The constructor needs no running loop (trap 21), and the repr counts things."""
    assert repr(LaneTransport(max_connections=7)) == (
        "LaneTransport("
        "LaneStats(max_connections=7, open=0, idle=0, busy=0, waiting=0, discarded=0), "
        "Security(verified=True), Proxies(environment))"
    )


def test_a_second_event_loop_is_refused() -> None:
    """A transport used in a second loop says so instead of "Event loop is closed" (trap 19)."""
    transport = LaneTransport()

    async def use() -> None:
        with respx.mock(base_url=BASE) as router:
            router.post("/messages").respond(200)
            await transport.exchange(sending(BASE), ANY)

    asyncio.run(use())
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(use())
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(transport.aclose())


def test_another_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport that was bound in one process is refused in another."""
    transport = LaneTransport()
    asyncio.run(transport.aclose())
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(UsageError, match="before a fork"):
        asyncio.run(transport.aclose())


FORK = """
import asyncio, os, sys
import aldeamo_async.transports

async def main(name):
    transport = getattr(aldeamo_async.transports, name)()
    await transport.aclose()
    if os.fork():
        os.wait()
        return
    try:
        await transport.aclose()
    except Exception as error:
        os.write(1, str(error).encode())
    finally:
        os._exit(0)

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("name", ["LaneTransport", "HttptoolsTransport", "PyreqwestTransport"])
def test_a_fork_is_refused(name: str) -> None:
    """A child that inherits a transport is told so, though it has lost its event loop as well."""
    command = [sys.executable, "-c", FORK, name]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "before a fork" in run.stdout
