"""The FastAPI example behind uvicorn, with callers on sockets and the sandbox as the judge."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from aldeamo_async.sandbox import Fault, Weather
from fastapi_app import app

if TYPE_CHECKING:
    from collections.abc import Callable

    from aldeamo_async.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("aldeamo_env")
MESSAGE = {"client_id": "573000000001", "text": "Hola Ana"}


@pytest.mark.slow
async def test_five_hundred_requests_at_once_send_five_hundred_messages(
    uvicorn_serving: Any,
    crowd: Any,
    aldeamo_sandbox: Sandbox,
    assert_no_duplicates: Callable[[], None],
) -> None:
    """Each is answered, each message is delivered once, and the service shuts down cleanly."""
    async with uvicorn_serving(app) as url:
        assert await crowd(url, 500) == {200: 500}
    assert aldeamo_sandbox.delivered == 500
    assert_no_duplicates()


async def test_a_crowd_in_rough_weather_gets_honest_answers(
    uvicorn_serving: Any,
    crowd: Any,
    aldeamo_sandbox: Sandbox,
    assert_no_duplicates: Callable[[], None],
) -> None:
    """A 200 was delivered, a 502 or 503 was not, and only a 202 leaves it open."""
    aldeamo_sandbox.weather = Weather.random(
        {Fault.DROP_AFTER_EFFECT: 0.1, Fault.DROP_BEFORE_BODY: 0.1, Fault.STATUS_FALSE: 0.1},
        only="sends",
    )
    async with uvicorn_serving(app) as url:
        answers = await crowd(url, 200)
    assert set(answers) == {200, 202, 502}
    assert answers[200] <= aldeamo_sandbox.delivered <= answers[200] + answers[202]
    assert_no_duplicates()


async def test_each_fate_has_an_answer_of_its_own(
    uvicorn_serving: Any, tells_the_fate: Any
) -> None:
    """Whoever calls the service can tell what is safe to repeat."""
    async with uvicorn_serving(app) as url:
        await tells_the_fate(url)


async def test_bad_input_is_the_callers_fault(
    uvicorn_serving: Any, http: Any, aldeamo_sandbox: Sandbox
) -> None:
    """A channel that cannot be sent to is a 422 that says which can; nothing went out."""
    async with (
        uvicorn_serving(app) as url,
        http.post(f"{url}/messages", json=MESSAGE | {"channel": "fax"}) as answer,
    ):
        assert answer.status == 422
        assert "sms" in (await answer.json())["detail"]
    assert aldeamo_sandbox.requests["send"] == 0


async def test_a_service_that_reaches_nobody_says_that_nothing_went_out(
    uvicorn_serving: Any, http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the API's name is not known, the answer is a 503 that may be repeated."""
    monkeypatch.setenv("ALDEAMO_BASE_URL", "https://nobody.invalid/bots")
    async with (
        uvicorn_serving(app) as url,
        http.post(f"{url}/messages", json=MESSAGE) as answer,
    ):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


@pytest.mark.slow
async def test_a_campaign_outlives_the_service(
    uvicorn_serving: Any,
    http: Any,
    aldeamo_sandbox: Sandbox,
    assert_no_duplicates: Callable[[], None],
) -> None:
    """A shutdown in the middle loses nothing: the next start sends the rest, and nothing twice."""
    rows = [{"client_id": f"57300{n:07}", "text": f"Promo {n}"} for n in range(600)]
    aldeamo_sandbox.latency = 0.1  # seconds; so that the shutdown comes in the middle
    async with uvicorn_serving(app) as url:
        async with http.post(f"{url}/campaigns/promo", json=rows) as answer:
            assert (answer.status, await answer.json()) == (202, {"added": 600, "refused": 0})
        async with http.post(f"{url}/campaigns/promo", json=rows) as answer:
            assert answer.status == 409
        async with http.get(f"{url}/campaigns/promo") as answer:
            assert sum((await answer.json()).values()) == 600
    assert 0 < aldeamo_sandbox.delivered < 600
    aldeamo_sandbox.latency = 0
    async with uvicorn_serving(app) as url:
        counts: dict[str, int] = {}
        while counts.get("sent") != 600:
            await asyncio.sleep(0.05)
            async with http.get(f"{url}/campaigns/promo") as answer:
                counts = await answer.json()
        async with http.get(f"{url}/health") as answer:
            assert (await answer.json())["unknown"] == 0
        async with http.get(f"{url}/campaigns/another") as answer:
            assert answer.status == 404
    assert aldeamo_sandbox.delivered == 600
    assert_no_duplicates()
