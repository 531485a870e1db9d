"""The inbox over plain HTTP: what it serves, whom it serves, and what it leaves alone."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from aldeamo_async.sandbox import Fault, Sandbox, Weather, serve
from support.visitors import FRESH, TLS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import SocketStream

pytestmark = pytest.mark.real_clock

SEND = {"auth": "test-key", "channel": "web", "client_id": "507000000001", "msg": "Hola"}
WRITTEN = {"channel": "web", "client_id": "507000000001", "text": "¿Y mi saldo?"}
PATHS = ["/", "/inbox", "/inbox/", "/inbox/inbox.css", "/inbox/inbox.js", "/inbox/events"]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
async def page(sandbox: Sandbox, anyio_backend: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A visitor of the served sandbox, at the root of its address."""
    inner = httpx.AsyncHTTPTransport(verify=TLS, limits=FRESH)
    async with (
        serve(sandbox) as url,
        httpx.AsyncClient(
            transport=inner, base_url=url.removesuffix("/bots"), timeout=10
        ) as client,
    ):
        yield client


class Told:
    """The stream of events; HTTP/1.0, so that nothing but events is in it."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = BufferedByteReceiveStream(stream)

    async def head(self) -> bytes:
        return await self._stream.receive_until(b"\r\n\r\n", 10_000)

    async def block(self) -> bytes:
        with anyio.fail_after(30):
            return await self._stream.receive_until(b"\n\n", 1_000_000)

    async def next(self) -> tuple[str, Any]:
        """The next event, by its name and what it holds."""
        name, data = (await self.block()).decode().split("\n")
        return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    async def news(self, text: str) -> dict[str, Any]:
        """The next event that has an entry of that text."""
        while True:
            _, found = await self.next()
            if text in [entry["text"] for entry in found["entries"]]:
                return found


@asynccontextmanager
async def told(url: str) -> AsyncIterator[Told]:
    parts = urlsplit(url)
    async with await anyio.connect_tcp(str(parts.hostname), parts.port or 0) as stream:
        await stream.send(b"GET /inbox/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
        events = Told(stream)
        assert b"content-type: text/event-stream; charset=utf-8" in await events.head()
        assert await events.block() == b"retry: 1000"
        yield events


FILES = {
    "/": ("text/html", "<!doctype html>"),
    "/inbox": ("text/html", "<!doctype html>"),
    "/inbox/": ("text/html", "<!doctype html>"),
    "/inbox/inbox.css": ("text/css", "/*"),
    "/inbox/inbox.js": ("text/javascript", "//"),
}


async def test_the_files_of_the_page(page: httpx.AsyncClient) -> None:
    """The page and its two files come from the installed package, each with its type."""
    for path, (kind, start) in FILES.items():
        answer = await page.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
        assert answer.text.startswith(start)


# What would fetch from elsewhere, and what the policy would refuse. The name of SVG is no address.
FOREIGN = r"(?<!xmlns=')https?:|url\(|\bimport\b|<style|\bstyle=|\son\w+=|\w+HTML\b"


@pytest.mark.parametrize("path", ["/", "/inbox/inbox.css", "/inbox/inbox.js"])
async def test_the_page_needs_nothing_else(page: httpx.AsyncClient, path: str) -> None:
    """It fetches from no other address, holds no inline code or style, and makes no markup."""
    text = (await page.get(path)).text
    assert re.findall(FOREIGN, text) == []
    scripts = re.findall(r"<(?:script|link)[^>]*(?:src|href)=\"(/[^\"]*)\"", text)
    assert set(scripts) == ({"/inbox/inbox.css", "/inbox/inbox.js"} if path == "/" else set())


async def test_every_answer_carries_the_policy(page: httpx.AsyncClient) -> None:
    """No inline code, no frame, no other origin, no guessing of types, no cache: refusals too."""
    for path in [*PATHS, "/inbox/say", "/inbox/weather"]:
        async with page.stream("GET", path) as answer:
            policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


async def test_the_api_is_as_it_was(sandbox: Sandbox, page: httpx.AsyncClient) -> None:
    """Every other path is the API's, under any prefix; what the inbox answers is not counted."""
    for path in ("/", "/inbox", "/inbox/inbox.js"):
        await page.get(path)
    assert sandbox.requests == {}
    answers = [
        await page.post("/inbox/messages", data=SEND),
        await page.get("/inbox/users", params={"auth": "test-key", "channel": "web"}),
        await page.get("/inbox/nothing"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert answers[2].json() == {"status": False, "error": "Unknown method"}
    assert sandbox.requests == {"send": 1, "users": 1, "other": 1}


async def test_no_weather_falls_on_the_inbox(sandbox: Sandbox, page: httpx.AsyncClient) -> None:
    """A fault that is next in line waits for a call of the API."""
    sandbox.weather = Weather.sequence([Fault.SERVER_ERROR])
    assert (await page.get("/inbox")).status_code == 200
    assert sandbox.faults == {}
    assert (await page.post("/bots/messages", data=SEND)).status_code == 500


async def test_messages_arrive_live(sandbox: Sandbox, page: httpx.AsyncClient) -> None:
    """The stream tells what is there, then each message, a duplicate as such, and the figures."""
    await page.post("/bots/messages", data=SEND)
    async with told(str(page.base_url)) as events:
        name, start = await events.next()
        assert name == "start"
        assert start["key"] == "test-key"
        assert [entry["text"] for entry in start["entries"]] == ["Hola"]
        assert start["figures"]["weather"] == "calm"
        await page.post("/bots/messages", data=SEND)
        found = await events.news("Hola")
        (entry,) = found["entries"]
        assert (entry["direction"], entry["duplicate"]) == ("out", True)
        assert (found["figures"]["delivered"], found["figures"]["duplicates"]) == (2, 1)
        assert found["figures"]["pace"] > 0
        sandbox.say("web", "507000000001", "Gracias\n\n<b>")
        found = await events.news("Gracias\n\n<b>")
        assert found["entries"][0]["direction"] == "in"
        sandbox.weather = Weather.sequence([Fault.DRIP], repeat=True)
        while (await events.next())[1]["figures"]["weather"] != "DRIP":
            pass


async def test_the_stream_is_silent_without_news(page: httpx.AsyncClient) -> None:
    """Nothing is sent while nothing happens."""
    async with told(str(page.base_url)) as events:
        await events.next()
        with anyio.move_on_after(0.5) as scope:
            await events.next()
    assert scope.cancelled_caught


async def test_the_server_stops_with_a_page_open(sandbox: Sandbox) -> None:
    """An open page does not keep the sandbox from ending."""
    with anyio.fail_after(30):
        async with serve(sandbox) as url:
            parts = urlsplit(url)
            stream = await anyio.connect_tcp(str(parts.hostname), parts.port or 0)
            await stream.send(b"GET /inbox/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in await stream.receive()
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await _receive_for_ever(stream)
        await stream.aclose()


async def _receive_for_ever(stream: SocketStream) -> None:
    while True:
        await stream.receive()


async def test_another_key_is_not_shown() -> None:
    """Only the key that is no secret is shown on the page."""
    async with serve(Sandbox(api_key="other-key")) as url, told(url) as events:
        _, start = await events.next()
    assert start["key"] is None
    assert "other-key" not in json.dumps(start)


async def test_a_user_writes(page: httpx.AsyncClient) -> None:
    """What is written as the user is what `GET /messages` lists."""
    answer = await page.post("/inbox/say", json=WRITTEN)
    read = await page.get(
        "/bots/messages",
        params={"auth": "test-key", "channel": "web", "client_id": "507000000001"},
    )
    last = read.json()["data"][-1]
    assert (last["id"], last["message"]) == (answer.json()["id"], WRITTEN["text"])


async def test_the_weather_is_switched(sandbox: Sandbox, page: httpx.AsyncClient) -> None:
    """A preset takes the place of the weather; a fault lasts, or is for the next send only."""
    outlooks = []
    for number, asked in enumerate(
        ({"name": "rough"}, {"name": "BOM"}, {"name": "BOM", "once": True}), 1
    ):
        answer = await page.post("/inbox/weather", json=asked)
        assert answer.json() == {"switches": number}
        outlooks.append(sandbox.outlook())
    assert outlooks == [("rough", True), ("BOM", True), ("BOM", False)]


BAD = [
    ("/inbox/say", WRITTEN | {"channel": "sms"}, "facebook, twitter, web, whatsapp"),
    ("/inbox/say", WRITTEN | {"channel": ["web"]}, "facebook, twitter, web, whatsapp"),
    ("/inbox/say", WRITTEN | {"client_id": "ana"}, "digits"),
    ("/inbox/say", WRITTEN | {"client_id": 507000000001}, "digits"),
    ("/inbox/say", WRITTEN | {"client_id": "5" * 21}, "20 digits at most"),
    ("/inbox/say", WRITTEN | {"text": " "}, "something"),
    ("/inbox/say", WRITTEN | {"text": None}, "something"),
    ("/inbox/say", WRITTEN | {"text": "x" * 4001}, "4000 characters"),
    ("/inbox/say", ["web"], "object"),
    ("/inbox/weather", {"name": "hail"}, "no weather 'hail'"),
    ("/inbox/weather", {}, "no weather 'None'"),
]


async def test_what_cannot_be_done_is_explained(sandbox: Sandbox, page: httpx.AsyncClient) -> None:
    """Bad input is answered 400 with a reason, and changes nothing."""
    for path, brought, why in BAD:
        answer = await page.post(path, json=brought)
        assert (answer.status_code, why in answer.json()["error"]) == (400, True), brought
    assert (sandbox.open_journal().since(0), sandbox.outlook()) == ([], ("calm", True))


async def test_what_is_not_json_is_refused(page: httpx.AsyncClient) -> None:
    """A body that cannot be read as JSON is answered 400, however deep or broken."""
    kind = {"content-type": "application/json"}
    for body in (b"", b"{", b"\xff", b"[" * 60_000):
        answer = await page.post("/inbox/say", content=body, headers=kind)
        assert (answer.status_code, "JSON" in answer.json()["error"]) == (400, True)


async def test_a_large_body_is_refused(page: httpx.AsyncClient) -> None:
    """More than the longest text can take is not read to its end."""
    answer = await page.post("/inbox/say", json=WRITTEN | {"text": "x" * 70_000})
    assert answer.status_code == 413


NAMES = ["evil.example.com", "evil.example.com:8025", "127.0.0.1.example.com", "[", "", "a b"]


async def test_a_name_of_somebody_else_is_refused(page: httpx.AsyncClient) -> None:
    """A page whose name was pointed at this machine gets nothing: no file, no event."""
    for host in NAMES:
        for path in PATHS:
            answer = await page.get(path, headers={"host": host})
            assert answer.status_code in (400, 403), (host, path)
            assert "<!doctype" not in answer.text


async def test_addresses_are_let_in(page: httpx.AsyncClient) -> None:
    """localhost and IP addresses, of any port, cannot be pointed anywhere else."""
    for host in ("localhost", "localhost:8025", "127.8.9.1", "[::1]:8025"):
        assert (await page.get("/inbox", headers={"host": host})).status_code == 200


FORGED = [
    {"origin": "http://evil.example.com"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"content-type": "text/plain"},
    {"content-type": "application/x-www-form-urlencoded"},
    {"content-type": ""},
]


async def test_another_page_cannot_write(sandbox: Sandbox, page: httpx.AsyncClient) -> None:
    """What a browser sends for a page of another origin changes nothing."""
    content = json.dumps(WRITTEN | {"name": "rough"})
    kind = {"content-type": "application/json"}
    for path in ("/inbox/say", "/inbox/weather"):
        for headers in FORGED:
            answer = await page.post(path, content=content, headers=kind | headers)
            assert answer.status_code in (403, 415), headers
    assert (sandbox.open_journal().since(0), sandbox.outlook()) == ([], ("calm", True))


async def test_its_own_page_can_write(page: httpx.AsyncClient) -> None:
    """What a browser sends for the page itself is taken."""
    own = str(page.base_url).rstrip("/")
    headers = {"origin": own, "sec-fetch-site": "same-origin"}
    assert (await page.post("/inbox/say", json=WRITTEN, headers=headers)).status_code == 200


async def test_a_path_has_one_method(page: httpx.AsyncClient) -> None:
    """A path of the inbox answers its own method only."""
    answers = [await page.post(path, json={}) for path in PATHS]
    answers += [await page.get(path) for path in ("/inbox/say", "/inbox/weather")]
    assert {answer.status_code for answer in answers} == {405}
