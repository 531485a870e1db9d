"""What the examples' tests share: their apps behind their own servers, and a crowd of callers."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager


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
