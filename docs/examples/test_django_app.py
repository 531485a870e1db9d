"""The Django example behind uvicorn, with the sandbox as the judge."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from aldeamo_async import NotSent, Phase
from django_app import Bots, application, honest_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aldeamo_async.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("aldeamo_env")
MESSAGE = {"client_id": "573000000001", "text": "Hola Ana"}


async def test_a_crowd_of_requests_sends_each_message_once(
    uvicorn_serving: Any,
    crowd: Any,
    aldeamo_sandbox: Sandbox,
    assert_no_duplicates: Callable[[], None],
) -> None:
    """A hundred requests at once are a hundred deliveries, and the client is closed at the end."""
    async with uvicorn_serving(application) as url:
        assert await crowd(url, 100) == {200: 100}
    assert aldeamo_sandbox.delivered == 100
    assert "closed" in repr(Bots.client)
    assert_no_duplicates()


async def test_each_fate_has_an_answer_of_its_own(
    uvicorn_serving: Any, tells_the_fate: Any
) -> None:
    """Whoever calls the service can tell what is safe to repeat."""
    async with uvicorn_serving(application) as url:
        await tells_the_fate(url)


@pytest.mark.parametrize("body", [{"text": "Hola"}, [], MESSAGE | {"channel": "fax"}], ids=str)
async def test_bad_input_is_the_callers_fault(
    uvicorn_serving: Any, http: Any, aldeamo_sandbox: Sandbox, body: object
) -> None:
    """A body that is no message is a 422, and nothing went out."""
    async with (
        uvicorn_serving(application) as url,
        http.post(f"{url}/messages", json=body) as answer,
    ):
        assert answer.status == 422
    assert aldeamo_sandbox.requests["send"] == 0


def test_what_never_left_may_be_repeated() -> None:
    """When nothing reached the API, the answer is a 503 that says when to come again."""
    answer = honest_answer(NotSent("POST /messages", Phase.CONNECT, "connection refused"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


async def test_a_caller_that_hangs_up_does_not_cut_a_send_in_two(
    uvicorn_serving: Any, http: Any, aldeamo_sandbox: Sandbox
) -> None:
    """The send behind a lost request comes to its end, and its outcome is known and counted."""
    aldeamo_sandbox.latency = 0.2  # seconds
    async with uvicorn_serving(application) as url:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await http.post(f"{url}/messages", json=MESSAGE)
        async with asyncio.timeout(10):
            while not aldeamo_sandbox.delivered or Bots.client.stats().in_flight:
                await asyncio.sleep(0.01)
        stats = Bots.client.stats()
    assert (stats.sent, stats.cancelled) == (1, 0)
