"""The aiohttp example behind aiohttp's own server, with the sandbox as the judge."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from aiohttp_app import honest_answers, make_app
from aldeamo_async import NotSent, Phase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aldeamo_async.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("aldeamo_env")
MESSAGE = {"client_id": "573000000001", "text": "Hola Ana"}


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    runner = web.AppRunner(make_app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.slow
async def test_five_hundred_requests_at_once_send_five_hundred_messages(
    crowd: Any, aldeamo_sandbox: Sandbox, assert_no_duplicates: Callable[[], None]
) -> None:
    """Each is answered, each message is delivered once, and the service shuts down cleanly."""
    async with serving() as url:
        assert await crowd(url, 500) == {200: 500}
    assert aldeamo_sandbox.delivered == 500
    assert_no_duplicates()


async def test_each_fate_has_an_answer_of_its_own(tells_the_fate: Any) -> None:
    """Whoever calls the service can tell what is safe to repeat."""
    async with serving() as url:
        await tells_the_fate(url)


@pytest.mark.parametrize("body", [{"text": "Hola"}, [], MESSAGE | {"channel": "fax"}], ids=str)
async def test_bad_input_is_the_callers_fault(
    http: Any, aldeamo_sandbox: Sandbox, body: object
) -> None:
    """A body that is no message is a 422, and nothing went out."""
    async with serving() as url, http.post(f"{url}/messages", json=body) as answer:
        assert answer.status == 422
    assert aldeamo_sandbox.requests["send"] == 0


async def test_what_never_left_may_be_repeated() -> None:
    """When nothing reached the API, the answer is a 503 that says when to come again."""

    async def handler(request: web.Request) -> web.Response:
        raise NotSent("POST /messages", Phase.CONNECT, "connection refused")

    answer = await honest_answers(make_mocked_request("POST", "/messages"), handler)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_the_service_shows_its_health(http: Any) -> None:
    """A health check reads the client's numbers, and sends nothing."""
    async with serving() as url, http.get(f"{url}/health") as answer:
        assert await answer.json() == {"in_flight": 0, "unknown": 0}
