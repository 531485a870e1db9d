"""A shared limit over real servers, on the real clock: pacing, outages, threads and event loops."""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_left
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aldeamo_async import AsyncBotsClient, DeadlineExceeded, limits
from aldeamo_async.limits import Lease, LeaseRequest, MemoryStore, RateLimiter, SharedTokenBucket
from aldeamo_async.limits._talk import OVERDUE
from aldeamo_async.sandbox import Sandbox, SandboxTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import PostgresServer
    from support.valkey import ValkeyServer

pytestmark = pytest.mark.real_clock

SOON = 10.0  # seconds in which anything happens on a busy machine


@pytest.fixture(params=["valkey", "postgres"])
def server(request: pytest.FixtureRequest) -> ValkeyServer | PostgresServer:
    """A real server of each kind."""
    found: ValkeyServer | PostgresServer = request.getfixturevalue(f"{request.param}_server")
    return found


@contextmanager
def limiter_of(url: str, rate: float, name: str, **more: Any) -> Iterator[SharedTokenBucket]:
    limiter = SharedTokenBucket(url, rate, name=name, **more)
    yield limiter
    limiter._store.close()


@pytest.fixture
def account(request: pytest.FixtureRequest) -> str:
    """A name of a limit that only this test knows."""
    return str(request.node.name)


async def until(true: Any) -> None:
    with anyio.fail_after(SOON):
        while not true():  # noqa: ASYNC110 - of threads and processes, which set no event
            await anyio.sleep(0.01)


async def drain(limiter: RateLimiter, seconds: float, times: list[float], tasks: int = 5) -> None:
    async def loop() -> None:
        while True:
            await limiter.acquire()
            times.append(time.monotonic())

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(loop)


async def test_two_limiters_share_one_rate(
    server: ValkeyServer | PostgresServer, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together they stay below 400/s and get most of it, though the wall clock is 30 s off."""
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + 30.0)
    times: list[float] = []
    url = server.url()
    with limiter_of(url, 400, account) as first, limiter_of(url, 400, account) as second:
        async with anyio.create_task_group() as group:
            for limiter in (first, second):
                group.start_soon(drain, limiter, 1.5, times)
        assert first.snapshot().workers == 2
        assert min(first.snapshot().granted, second.snapshot().granted) > 50
    times.sort()
    worst = max(bisect_left(times, t + 0.5) - i for i, t in enumerate(times))
    assert worst <= 0.5 * 400 + 8 + 40  # the burst, and 100 ms of lateness: two rates would be 400
    assert len(times) >= 300


async def test_a_freeze_reaches_another_process_by_the_server(
    server: ValkeyServer | PostgresServer, account: str
) -> None:
    """Frozen in one, frozen in the other with its next question."""
    url = server.url()
    with limiter_of(url, 400, account) as first, limiter_of(url, 400, account) as second:
        await first.acquire()
        first.throttled(30.0)
        await until(lambda: not first._bucket.asking)
        assert second.try_acquire() is None
        await until(lambda: second._courier.inbox)
        assert second.try_acquire() is None
        assert 25 < second.snapshot().frozen_for <= 30
        assert second.snapshot().effective_rate == pytest.approx(280, abs=1)


async def test_the_server_dies_and_comes_back(
    server: ValkeyServer | PostgresServer, account: str
) -> None:
    """Both go on with their careful share, and are back on leases soon after the server is."""
    times: list[float] = []
    url = server.url()
    with limiter_of(url, 200, account) as first, limiter_of(url, 200, account) as second:
        async with anyio.create_task_group() as group:
            for limiter in (first, second):
                group.start_soon(drain, limiter, 60.0, times)
            await until(lambda: first.snapshot().workers == second.snapshot().workers == 2)
            await anyio.to_thread.run_sync(server.kill)
            await until(lambda: first.snapshot().trouble and second.snapshot().trouble)
            await anyio.sleep(0.4)
            before = len(times)
            await until(lambda: len(times) > before)
            assert first._bucket.outage.local is not None
            await anyio.to_thread.run_sync(server.start)
            await until(lambda: not first.snapshot().trouble and not second.snapshot().trouble)
            await until(lambda: first._bucket.outage.local is second._bucket.outage.local is None)
            group.cancel_scope.cancel()


async def test_a_server_that_hangs_is_given_up(valkey_server: ValkeyServer, account: str) -> None:
    """Silence counts as down: a call with a deadline fails in time, and later all is well."""
    with limiter_of(valkey_server.url(), 100, account, on_store_error="closed") as limiter:
        await limiter.acquire()
        with valkey_server.hanging():
            await anyio.sleep(0.5)  # no slot is left of before
            with pytest.raises(DeadlineExceeded):
                await limiter.acquire(deadline=anyio.current_time() + 1.4)
            assert limiter.snapshot().trouble
        with anyio.fail_after(SOON):
            await limiter.acquire()
        assert limiter.snapshot().trouble == ""


async def test_the_next_event_loop_goes_on_with_the_same_limiter(
    valkey_server: ValkeyServer, account: str, anyio_backend_name: str
) -> None:
    """An answer that comes after its loop has ended is not lost, and nothing is bound to it."""
    with limiter_of(valkey_server.url(), 1_000, account) as limiter:

        async def ask_and_leave() -> None:
            with anyio.move_on_after(0):
                await limiter.acquire()

        async def take() -> None:
            with anyio.fail_after(SOON):
                await limiter.acquire()

        def elsewhere() -> None:
            anyio.run(ask_and_leave, backend=anyio_backend_name)
            anyio.run(take, backend=anyio_backend_name)
            anyio.run(take, backend=anyio_backend_name)

        await anyio.to_thread.run_sync(elsewhere)
        assert limiter.snapshot().granted == 2


async def test_a_client_takes_its_permits_from_the_shared_limit(
    valkey_server: ValkeyServer, account: str
) -> None:
    """A plain client with a shared limiter needs nothing else, and both clients keep one limit."""
    sandbox = Sandbox(api_key="test-key")
    with (
        limiter_of(valkey_server.url(), 50, account) as first,
        limiter_of(valkey_server.url(), 50, account) as second,
    ):
        began = anyio.current_time()
        async with anyio.create_task_group() as group:
            for limiter in (first, second):
                group.start_soon(send_ten, sandbox, limiter)
        assert anyio.current_time() - began >= 18 / 50
        assert first.snapshot().granted == second.snapshot().granted == 10
    assert len(sandbox.deliveries) == 20


async def send_ten(sandbox: Sandbox, limiter: SharedTokenBucket) -> None:
    client = AsyncBotsClient("test-key", limiter=limiter, transport=SandboxTransport(sandbox))
    async with client, anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(client.send, "sms", f"57300000000{number}", "Hola")


class Slow:
    """A store that answers when it is told to."""

    blocking = True

    def __init__(self) -> None:
        self._memory = MemoryStore(time.monotonic)
        self.go = threading.Event()
        self.asked = threading.Semaphore(0)
        self.closed = 0

    def __str__(self) -> str:
        return "slow"

    def exchange(self, ask: LeaseRequest) -> Lease:
        self.asked.release()
        assert self.go.wait(SOON)
        return self._memory.exchange(ask)

    def close(self) -> None:
        self.closed += 1


async def test_an_answer_that_comes_too_late_is_worth_nothing() -> None:
    """The store is given up and closed; its late answer is not mistaken for the next one."""
    store, now = Slow(), [100.0]
    limiter = SharedTokenBucket(store, 10, clock=lambda: now[0])
    assert limiter.try_acquire() is None
    assert store.asked.acquire(timeout=SOON)
    now[0] += OVERDUE
    assert limiter.try_acquire() is None
    assert limiter.snapshot().trouble == "its store slow is down (it does not answer)"
    assert store.closed == 1
    now[0] += 1.0
    assert limiter.try_acquire() is None
    store.go.set()
    await until(lambda: len(limiter._courier.inbox) == 2)
    limiter._courier.collect()
    assert limiter.snapshot().trouble == ""
    assert limiter.snapshot().round_trips == 2


async def test_a_waiter_that_was_cancelled_leaves_its_answer_to_the_next() -> None:
    """The round trip of a cancelled call goes on, and the slot that it brings is used."""
    store = Slow()
    limiter = SharedTokenBucket(store, 1_000)
    async with anyio.create_task_group() as group:
        group.start_soon(limiter.acquire)
        await until(lambda: store.asked.acquire(blocking=False))
        group.cancel_scope.cancel()
    store.go.set()
    with anyio.fail_after(SOON):
        await limiter.acquire()
    assert limiter.snapshot().granted == 1


async def test_a_lease_of_before_a_new_rate_is_not_used() -> None:
    """What was asked for at the old rate comes too late; the new rate is told at once."""
    store = Slow()
    limiter = SharedTokenBucket(store, 10)
    assert limiter.try_acquire() is None
    await until(lambda: store.asked.acquire(blocking=False))
    limiter.set_rate(20)
    store.go.set()
    await until(lambda: limiter._courier.inbox)
    assert limiter.try_acquire() is None
    assert (limiter.snapshot().rate, limiter.snapshot().forfeited) == (20, 1)
    await until(lambda: limiter._courier.inbox)
    other = SharedTokenBucket(store, 10)
    with anyio.fail_after(SOON):
        await limiter.acquire()
    assert limiter.snapshot().rate == 20
    assert other.snapshot().round_trips == 0


def test_a_freeze_needs_no_event_loop() -> None:
    """Outside of a loop it binds at once, and a thread tells the store."""
    store = Slow()
    store.go.set()
    limiter = SharedTokenBucket(store, 10)
    limiter.freeze(5.0)
    assert limiter.snapshot().frozen_for > 4
    deadline = time.monotonic() + SOON
    while not limiter._courier.inbox:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert limiter.try_acquire() is None
    assert limiter.snapshot().workers == 1


def test_the_wall_clock_is_never_read() -> None:
    """No module of the limits asks for the time of day."""
    files = list(Path(limits.__file__).parent.glob("*.py"))
    assert len(files) > 10
    for file in files:
        assert re.search(r"\btime\.time\b|\bdatetime\b", file.read_text()) is None, file
