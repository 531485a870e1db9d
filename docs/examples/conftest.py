"""What the examples' tests share: apps behind their own servers, callers, and what they may ask."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import uvicorn

from aldeamo_async.sandbox import Fault, Weather

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from aldeamo_async.sandbox import Sandbox


@pytest.fixture
def anyio_backend() -> str:
    """The frameworks run on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _away(aldeamo_no_network: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test of an example on this machine, and in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def uvicorn_serving() -> Callable[[Any], AbstractAsyncContextManager[str]]:
    """Serve an ASGI application with uvicorn, lifespan and all, and give its URL."""

    @asynccontextmanager
    async def serving(app: Any) -> AsyncIterator[str]:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        config = uvicorn.Config(app, lifespan="on", log_config=None, timeout_keep_alive=60)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(20):
                while not server.started and not task.done():  # uvicorn has no event for it
                    await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task

    return serving


@pytest.fixture
async def http(anyio_backend: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A caller of the service under test."""
    connector = aiohttp.TCPConnector(limit=0)  # 500 requests at once are 500 connections
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
def crowd(http: aiohttp.ClientSession) -> Callable[[str, int], Awaitable[Counter[int]]]:
    """Post so many messages at once, each to another phone; count the answers by status."""

    async def post(url: str, number: int) -> int:
        message = {"client_id": f"57300{number:07}", "text": f"Hola {number}"}
        async with http.post(f"{url}/messages", json=message) as answer:
            await answer.read()
            return answer.status

    async def crowd(url: str, count: int) -> Counter[int]:
        async with asyncio.TaskGroup() as tasks:
            posts = [tasks.create_task(post(url, number)) for number in range(count)]
        return Counter(task.result() for task in posts)

    return crowd


# What becomes of a send, the status of the answer, and its word.
FATES = [
    (Fault.DROP_AFTER_EFFECT, 202, "unknown"),
    (Fault.BAD_GATEWAY, 202, "unknown"),
    (Fault.RATE_LIMITED.with_(retry_after=500), 503, "rejected"),
    (Fault.STATUS_FALSE, 502, "rejected"),
    (None, 200, "sent"),
]


@pytest.fixture(params=FATES, ids=[repr(fault) for fault, _, _ in FATES])
def tells_the_fate(
    request: pytest.FixtureRequest, http: aiohttp.ClientSession, aldeamo_sandbox: Sandbox
) -> Callable[[str], Awaitable[None]]:
    """Check that a service answers what became of its send, and so what is safe to repeat."""
    fault, status, word = request.param
    aldeamo_sandbox.weather = Weather.sequence([fault], only="sends")

    async def check(url: str) -> None:
        message = {"client_id": "573000000001", "text": "Hola Ana"}
        async with http.post(f"{url}/messages", json=message) as answer:
            assert (answer.status, (await answer.json())["status"]) == (status, word)
            assert answer.headers.get("Retry-After") == ("500" if status == 503 else None)

    return check
