"""Traps 17 to 24: where a client lives, and whether its settings reach the wire."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from aldeamo_async import AsyncBotsClient, DeliveryUnknown, NotSent, RetryPolicy, UsageError
from support.clients import BASE_URL, KEY, PHONE, TEXT, make, opened, scripted
from support.loopserver import loop_server
from support.rawserver import SENT_BODY, Connection, RawServer, answer, serve_all
from support.socket_faults import client_context, server_context

if TYPE_CHECKING:
    import ssl

ONCE = RetryPolicy(attempts=1)


def hang(connection: Connection) -> None:
    connection.read_request()
    connection.hang()


@pytest.mark.real_clock
async def test_trap_17_a_cancelled_connect_does_not_poison_the_client() -> None:
    """One connection, three who wait for it, one cancelled at any tick; then all is as it was."""
    one_each = answer(SENT_BODY, "connection: close")
    async with (
        loop_server(lambda _: one_each) as server,
        AsyncBotsClient(KEY, base_url=server.base_url, max_connections=1, deadline=3) as client,
    ):
        for ticks in range(60):
            async with anyio.create_task_group() as staying:
                for text in "abc":
                    staying.start_soon(client.send, "sms", PHONE, text)
                async with anyio.create_task_group() as leaving:
                    leaving.start_soon(client.send, "sms", PHONE, "cancelled")
                    for _ in range(ticks):
                        await checkpoint()
                    leaving.cancel_scope.cancel()
        for number in range(20):
            await client.send("sms", PHONE, f"quiet {number}")
        lanes = client.stats().lanes
        assert lanes is not None
        assert (lanes.busy, lanes.waiting) == (0, 0)


async def test_trap_18_a_forgotten_client_starts_nothing() -> None:
    """It warns when it goes; it makes no task and closes nothing behind the caller's back."""
    carrier = scripted()
    client = make(carrier)
    await client.send("sms", PHONE, TEXT)
    tasks = [type(thing) for thing in gc.get_objects() if isinstance(thing, asyncio.Task)]
    held = [client]
    del client
    with pytest.warns(ResourceWarning, match="was not closed"):
        held.clear()
    gc.collect()
    after = [type(thing) for thing in gc.get_objects() if isinstance(thing, asyncio.Task)]
    assert len(after) <= len(tasks)
    assert carrier.closed == 0


def forget(held: list[AsyncBotsClient]) -> None:
    """Let the only reference go, and whatever errors still point at it."""
    held.clear()
    gc.collect()


def test_trap_19_a_second_event_loop_is_a_clear_error() -> None:
    """Not "Event loop is closed" from somewhere deep, and nothing is sent."""
    carrier = scripted()
    held = [make(carrier)]

    async def send() -> None:
        await held[0].send("sms", PHONE, TEXT)

    asyncio.run(send())
    with pytest.raises(UsageError, match="client belongs to another event loop"):
        asyncio.run(send())
    assert len(carrier.requests) == 1
    with pytest.warns(ResourceWarning):
        forget(held)


async def test_trap_20_a_client_made_in_another_context_works_here() -> None:
    """No ContextVar stands between a client made at start-up and the handlers that use it."""
    client = contextvars.Context().run(make, scripted())
    async with client:
        assert (await client.send("sms", PHONE, TEXT)).message_id == "32"


def test_trap_21_the_constructor_needs_no_loop() -> None:
    """A module may make its client, its views and its limiter at import time."""
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    client = AsyncBotsClient(KEY)
    assert "new" in repr(client.with_options(deadline=5))


@pytest.mark.real_clock
@pytest.mark.parametrize("own", [False, True], ids=["lanes", "own transport"])
@pytest.mark.parametrize("view", [False, True], ids=["client", "view"])
async def test_trap_22_timeouts_are_kept_on_the_wire(*, own: bool, view: bool) -> None:
    """Those of the constructor and those of a view, also over a transport that was passed in."""
    options: dict[str, Any] = {"transport": httpx.AsyncHTTPTransport()} if own else {}
    if not view:
        options["timeout"] = 0.5
    with RawServer(hang) as server:
        async with AsyncBotsClient(KEY, base_url=server.base_url, **options) as client:
            caller = client.with_options(timeout=0.5) if view else client
            began = anyio.current_time()
            with pytest.raises(DeliveryUnknown):
                await caller.send("sms", PHONE, TEXT)
            assert anyio.current_time() - began < 20  # the default is 30


@pytest.mark.real_clock
async def test_trap_23_verify_and_proxy_are_honoured_or_refused() -> None:
    """A CA and a proxy take effect on the wire; beside `transport=` they are an error."""
    for option in ({"verify": False}, {"proxy": "http://127.0.0.1:1"}, {"trust_env": False}):
        with pytest.raises(UsageError, match="given together"):
            AsyncBotsClient(KEY, transport=httpx.AsyncHTTPTransport(), **option)  # type: ignore[arg-type]
    with RawServer(serve_all, tls=server_context()) as server:
        async with AsyncBotsClient(KEY, base_url=server.base_url, retry=ONCE) as client:
            with pytest.raises(NotSent, match="certificate"):
                await client.send("sms", PHONE, TEXT)
        trusting = {"base_url": server.base_url, "verify": client_context()}
        async with AsyncBotsClient(KEY, **trusting) as client:  # type: ignore[arg-type]
            await client.send("sms", PHONE, TEXT)
        assert server.deliveries() == 1


@pytest.mark.real_clock
async def test_trap_23_the_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`HTTPS_PROXY` is where the connection goes, unless `trust_env` is off."""

    def refuse(connection: Connection) -> None:
        connection.read_head()
        connection.send(answer(b"", status="407 Proxy Authentication Required"))

    with RawServer(refuse) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        for trust_env, connections in ((True, 1), (False, 1)):
            async with AsyncBotsClient(
                KEY, base_url=BASE_URL, retry=ONCE, trust_env=trust_env
            ) as client:
                with pytest.raises(NotSent):
                    await client.send("sms", PHONE, TEXT)
            assert proxy.connections == connections


@pytest.mark.real_clock
async def test_trap_24_all_connections_share_one_tls_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten connections with the usual certificates load these once."""
    made = 0
    original = httpx.create_ssl_context

    def counted(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        nonlocal made
        made += 1
        return original(*args, **kwargs)

    monkeypatch.setattr(httpx, "create_ssl_context", counted)
    with RawServer(serve_all, tls=server_context()) as server:
        async with AsyncBotsClient(KEY, base_url=server.base_url, retry=ONCE) as client:
            for _ in range(10):
                with pytest.raises(NotSent, match="certificate"):
                    await client.send("sms", PHONE, TEXT)
        server.stop()
        assert server.connections == 10
    assert made == 1


async def test_trap_20_every_task_sees_the_same_client() -> None:
    """Tasks that were started before the client was made use it like any other."""
    ready = anyio.Event()
    holder: list[AsyncBotsClient] = []
    texts: list[str | None] = []

    async def handler() -> None:
        await ready.wait()
        texts.append((await holder[0].send("sms", PHONE, TEXT)).message_id)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(handler)
        await checkpoint()
        async with opened(scripted()) as client:
            holder.append(client)
            ready.set()
            while len(texts) < 3:
                await checkpoint()
    assert texts == ["32"] * 3
