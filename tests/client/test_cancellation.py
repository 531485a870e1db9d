"""Cancellation at every scheduler tick of a call: nothing is lost, leaked or doubled."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aldeamo_async import AsyncBotsClient, Receipt, RetryPolicy, TokenBucket
from aldeamo_async.transports import Exchange, LaneTransport, Timeouts, Unsent, WireRequest
from support.clients import KEY, PHONE, drain, messages, slowly
from support.loopserver import LoopServer, loop_server
from support.rawserver import answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.real_clock

# Ticks after which a call that nothing holds up is long done; the sweep ends when the cancellation
# came too late so many times in a row.
BEYOND = 5


class Counted(LaneTransport):
    """The default transport, that counts the requests that may have been on the wire."""

    maybe_sent = 0

    async def exchange(self, request: WireRequest, timeouts: Timeouts) -> Exchange:
        self.maybe_sent += 1
        result = await super().exchange(request, timeouts)
        self.maybe_sent -= isinstance(result, Unsent)
        return result


def make(server: LoopServer, lanes: int, limiter: TokenBucket) -> AsyncBotsClient:
    return AsyncBotsClient(
        KEY,
        base_url=server.base_url,
        transport=Counted(max_connections=lanes),
        limiter=limiter,
        deadline=float("inf"),
        retry=RetryPolicy(wait=lambda _: 0.0),
    )


async def cancel_after(ticks: int, call: Callable[[], Awaitable[object]]) -> object:
    """Start a call, let so many ticks pass, cancel it; what it returned if it was faster."""
    results: list[object] = []

    async def run() -> None:
        results.append(await call())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        for _ in range(ticks):
            await checkpoint()
        tasks.cancel_scope.cancel()
    return results[0] if results else None


async def sweep(call: Callable[[int], Awaitable[object]]) -> int:
    """Make a call for each number of ticks until cancelling comes too late; return the ticks."""
    ticks = unmoved = 0
    while unmoved < BEYOND:
        unmoved = unmoved + 1 if await call(ticks) else 0
        ticks += 1
        assert ticks < 2000
    return ticks


async def assert_well(client: AsyncBotsClient, server: LoopServer) -> None:
    """Twenty quiet sends succeed, no lane is lost, and the limiter's permits add up."""
    for number in range(20):
        assert isinstance(await client.send("sms", PHONE, f"quiet-{number}-"), Receipt)
    stats = client.stats()
    assert stats.in_flight == 0
    assert stats.lanes is not None
    assert (stats.lanes.busy, stats.lanes.waiting) == (0, 0)
    assert stats.lanes.open <= stats.lanes.max_connections
    carrier = client._engine.transport
    assert isinstance(carrier, Counted)
    assert stats.limiter.waiting == 0
    assert stats.limiter.granted - stats.limiter.refunded == carrier.maybe_sent
    assert all(server.deliveries(f"quiet-{number}-") == 1 for number in range(20))
    gc.collect()  # a socket that was left open would be a ResourceWarning here


@pytest.mark.parametrize("warm", [False, True], ids=["connect", "kept-alive"])
async def test_a_send_cancelled_on_its_way(*, warm: bool) -> None:
    """Through connect, write, wait and read."""
    async with loop_server() as server, make(server, 2, TokenBucket(1e6, 1e6)) as client:

        async def one(ticks: int) -> object:
            if warm:
                await client.send("sms", PHONE, "warm")
            return await cancel_after(ticks, lambda: client.send("sms", PHONE, f"m-{ticks}-"))

        ticks = await sweep(one)
        assert ticks > BEYOND + 3
        assert all(server.deliveries(f"m-{n}-") <= 1 for n in range(ticks))
        assert client.stats().cancelled >= ticks - BEYOND - 1
        await assert_well(client, server)


async def test_a_send_cancelled_in_the_limiter_s_line() -> None:
    """Before, while and after its permit comes."""
    limiter = TokenBucket(1e-9, 1)
    async with loop_server() as server, make(server, 2, limiter) as client:

        async def one(ticks: int) -> object:
            held = limiter.try_acquire()
            assert held is not None

            async def let_go() -> None:
                for _ in range(5):
                    await checkpoint()
                held.release()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(let_go)
                found = await cancel_after(ticks, lambda: client.send("sms", PHONE, f"m-{ticks}-"))
            # A request that may have been sent keeps its permit: give the bucket a fresh one.
            limiter.set_rate(1e6)
            await anyio.sleep(0.001)
            limiter.set_rate(1e-9, 1)
            return found

        ticks = await sweep(one)
        assert ticks > BEYOND + 5
        limiter.set_rate(1e6, 1e6)
        assert client.stats().limiter.refunded >= ticks
        await assert_well(client, server)


async def test_a_send_cancelled_in_the_line_for_a_lane() -> None:
    """A place in that line is never lost, and nobody else's either."""
    async with loop_server() as server, make(server, 1, TokenBucket(1e6, 1e6)) as client:
        for ticks in range(100):
            async with anyio.create_task_group() as tasks:
                for name in "abc":
                    tasks.start_soon(client.send, "sms", PHONE, f"{name}-{ticks}-")
                await cancel_after(ticks, lambda: client.send("sms", PHONE, f"m-{ticks}-"))  # noqa: B023
        for name in "abc":
            assert all(server.deliveries(f"{name}-{n}-") == 1 for n in range(100))
        await assert_well(client, server)


async def test_a_send_cancelled_between_its_attempts() -> None:
    """Through a refusal, the back-off after it, and the second attempt."""

    def reply(number: int) -> bytes:
        if number % 2 == 0 and not calm:
            return answer(b"{}", "retry-after: 0", status="429 Too Many Requests")
        return answer()

    calm: list[bool] = []
    async with (
        loop_server(reply) as server,
        make(server, 2, TokenBucket(1e6, 1e6, adaptive=False)) as client,
    ):
        for ticks in range(80):
            await cancel_after(ticks, lambda: client.send("sms", PHONE, f"m-{ticks}-"))  # noqa: B023
        assert all(server.deliveries(f"m-{n}-") <= 2 for n in range(80))
        calm.append(True)
        await assert_well(client, server)


@pytest.mark.slow
@pytest.mark.parametrize("ordered", [False, True])
async def test_a_bulk_run_cancelled_at_any_tick(*, ordered: bool) -> None:
    """No worker, lane or permit is left behind, and no message goes out twice."""
    async with loop_server() as server, make(server, 3, TokenBucket(1e6, 1e6)) as client:

        async def run(ticks: int) -> object:
            source = messages(8, clients=3)
            async with client.send_many(source, concurrency=4, ordered=ordered) as outcomes:
                await drain(outcomes)
            return ticks

        for ticks in range(0, 160, 2):
            server.bodies.clear()
            await cancel_after(ticks, lambda: run(ticks))  # noqa: B023
            assert client.stats().in_flight == 0
            assert all(server.deliveries(f"Hola+{n}") <= 1 for n in range(8))
        await assert_well(client, server)


@pytest.mark.parametrize("how", ["break", "error"])
async def test_a_bulk_run_that_is_left_early(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """A break and an exception leave as little behind; what was on the wire is in the log."""
    caplog.set_level(logging.WARNING, "aldeamo_async")
    async with loop_server() as server, make(server, 3, TokenBucket(1e6, 1e6)) as client:

        async def run() -> None:
            async with client.send_many(messages(500), concurrency=6) as outcomes:
                async for _ in outcomes:
                    if how == "break":
                        break
                    raise ZeroDivisionError

        for _ in range(10):
            if how == "break":
                await run()
            else:
                with pytest.raises(ZeroDivisionError):
                    await run()
        cut_off = sum("may have been delivered" in r.getMessage() for r in caplog.records)
        assert cut_off == client.stats().cancelled > 0
        await assert_well(client, server)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # it is about asyncio's own cancellation
async def test_a_native_timeout_around_a_bulk_run_is_a_timeout() -> None:
    """`asyncio.timeout` and `wait_for` end a run and its tasks, and stay usable afterwards."""
    async with loop_server() as server, make(server, 3, TokenBucket(1e6, 1e6)) as client:

        async def run() -> None:
            async with client.send_many(slowly(10_000, 0.001), concurrency=4) as outcomes:
                await drain(outcomes)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await run()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run(), 0.05)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await assert_well(client, server)
