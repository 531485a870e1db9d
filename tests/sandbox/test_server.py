"""The door on a socket: its thread, its connections, and what it leaves behind (nothing)."""

from __future__ import annotations

import logging
import signal
import socket
import struct
import sys
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute

import aldeamo_async.sandbox
from aldeamo_async.sandbox import Fault, Sandbox, Weather, serve, serve_forever
from support.visitors import TLS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from anyio.abc import SocketStream

pytestmark = pytest.mark.real_clock

BODY = b"auth=test-key&channel=sms&client_id=573000000001&msg=Hola"
HEAD = b"POST /bots/messages HTTP/1.1\r\nHost: sandbox\r\nContent-Length: %d\r\n\r\n" % len(BODY)
GONE = (anyio.EndOfStream, anyio.BrokenResourceError)


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    yield
    assert "aldeamo-sandbox" not in {thread.name for thread in threading.enumerate()}


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[SocketStream]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    async with await anyio.connect_tcp(parts.hostname, parts.port) as stream:
        yield stream


async def read_answer(stream: SocketStream) -> bytes:
    """Read one answer: the body of a send is the last thing that ends with a brace."""
    answer = b""
    while not answer.endswith(b"}"):
        answer += await stream.receive()
    return answer


async def until(condition: Any) -> None:
    """Wait for what happens in the server's thread, which cannot set an event here."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.005)


async def test_base_url() -> None:
    """The URL it yields is a base URL on loopback, with the path prefix of the real one."""
    async with serve(Sandbox()) as url:
        parts = urlsplit(url)
        assert (parts.scheme, parts.hostname, parts.path) == ("http", "127.0.0.1", "/bots")
        with pytest.raises(OSError, match="in use"):
            async with serve(Sandbox(), port=parts.port or 0):
                pass


async def test_ipv6() -> None:
    """It serves on an IPv6 address as well."""
    async with serve(Sandbox(), host="::1") as url, connected(url) as stream:
        assert url.startswith("http://[::1]:")
        await stream.send(HEAD + BODY)
        assert b"Message sent" in await read_answer(stream)


async def test_keep_alive() -> None:
    """One connection carries request after request."""
    sandbox = Sandbox()
    async with serve(sandbox) as url, connected(url) as stream:
        for _ in range(3):
            await stream.send(HEAD + BODY)
            assert (await read_answer(stream)).startswith(b"HTTP/1.1 200 OK\r\n")
    assert sandbox.delivered == 3


async def test_drop_on_accept() -> None:
    """A fresh connection is reset before the client has said anything."""
    sandbox = Sandbox(weather=Weather.sequence([Fault.DROP_AT_ACCEPT]))
    async with serve(sandbox) as url:
        with pytest.raises((*GONE, OSError)):  # the reset may be faster than the connect
            await _receive_unasked(url)
        assert sandbox.faults == {"DROP_AT_ACCEPT": 1}
        async with connected(url) as stream:
            await stream.send(HEAD + BODY)
            assert b"Message sent" in await read_answer(stream)


async def _receive_unasked(url: str) -> None:
    async with connected(url) as stream:
        await stream.receive()


async def test_drop_on_a_used_connection() -> None:
    """A connection that is in use already is reset when the next request begins."""
    sandbox = Sandbox()
    async with serve(sandbox) as url, connected(url) as stream:
        await stream.send(HEAD + BODY)
        await read_answer(stream)
        sandbox.weather = Weather.sequence([Fault.DROP_AT_ACCEPT])
        await stream.send(HEAD + BODY)
        with pytest.raises(GONE):
            await stream.receive()
    assert (sandbox.delivered, sandbox.requests) == (1, {"send": 1})


async def test_drop_before_the_body() -> None:
    """The connection is reset when only the headers have arrived."""
    sandbox = Sandbox(weather=Weather.sequence([Fault.DROP_BEFORE_BODY]))
    async with serve(sandbox) as url, connected(url) as stream:
        await stream.send(HEAD)
        with pytest.raises(GONE):
            await stream.receive()
    assert (sandbox.delivered, sandbox.requests) == (0, {"send": 1})


async def test_close_after_answer() -> None:
    """The whole answer comes, without `Connection: close`, and then the end of the stream."""
    sandbox = Sandbox(weather=Weather.sequence([Fault.CLOSE_AFTER_ANSWER]))
    async with serve(sandbox) as url, connected(url) as stream:
        await stream.send(HEAD + BODY)
        assert b"connection: close" not in (await read_answer(stream)).lower()
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()


async def test_client_gone_in_the_middle_of_its_body() -> None:
    """A request that never becomes whole is not carried out, and nobody complains."""
    sandbox = Sandbox()
    async with serve(sandbox) as url, connected(url) as stream:
        await stream.send(HEAD + BODY[:-1])
        await until(lambda: sandbox.requests["send"] == 1)
    assert sandbox.delivered == 0


@pytest.mark.parametrize(
    ("fault", "delivered"),
    [(Fault.HANG_BEFORE_EFFECT, 0), (Fault.HANG_AFTER_EFFECT, 1), (Fault.DRIP, 1)],
    ids=repr,
)
async def test_client_gone_during_a_hang(fault: Fault, delivered: int) -> None:
    """When the client leaves, a hang ends: what was not delivered by then never is."""
    longer = Fault.HANG_BEFORE_EFFECT.with_(seconds=0.6)
    sandbox = Sandbox(weather=Weather.sequence([fault.with_(seconds=0.3), longer]))
    async with serve(sandbox) as url:
        async with connected(url) as stream:
            await stream.send(HEAD + BODY)
            await until(lambda: sandbox.requests["send"] == 1 and sandbox.delivered == delivered)
        async with connected(url) as stream:
            await stream.send(HEAD + BODY)
            await read_answer(stream)
    assert sandbox.delivered == delivered + 1


async def test_stops_at_once() -> None:
    """It stops with idle connections, hanging requests and half requests open."""
    hang = Fault.HANG_BEFORE_EFFECT.with_(seconds=3600)
    sandbox = Sandbox(weather=Weather.sequence([None, hang], repeat=True))
    async with anyio.create_task_group() as group, serve(sandbox) as url:
        streams = [await anyio.connect_tcp("127.0.0.1", urlsplit(url).port or 0) for _ in range(3)]
        await streams[0].send(HEAD + BODY)
        await read_answer(streams[0])
        await streams[1].send(HEAD + BODY)
        await until(lambda: sandbox.requests["send"] == 2)
        await streams[2].send(HEAD)
        await until(lambda: sandbox.requests["send"] == 3)
        group.cancel_scope.deadline = anyio.current_time() + 5
    for stream in streams:
        with pytest.raises(GONE):
            await stream.receive()
        await stream.aclose()
    assert sandbox.delivered == 1
    with pytest.raises(OSError, match="connect"):
        await anyio.connect_tcp("127.0.0.1", urlsplit(url).port or 0)


async def test_stops_when_cancelled() -> None:
    """A cancelled program still takes the server down."""
    with anyio.CancelScope() as scope:
        async with serve(Sandbox()) as url:
            scope.cancel()
            await anyio.sleep_forever()
    with pytest.raises(OSError, match="connect"):
        await anyio.connect_tcp("127.0.0.1", urlsplit(url).port or 0)


@pytest.mark.slow
async def test_many_at_once() -> None:
    """Two hundred connections at once are all served."""
    sandbox = Sandbox(latency=0.05)
    async with (
        serve(sandbox) as url,
        httpx.AsyncClient(
            base_url=url, transport=httpx.AsyncHTTPTransport(verify=TLS), timeout=30
        ) as client,
        anyio.create_task_group() as group,
    ):
        form = {"auth": "test-key", "channel": "sms", "client_id": "573000000001"}
        for number in range(200):
            group.start_soon(_post, client, form | {"msg": str(number)})
    assert (sandbox.delivered, sandbox.duplicates) == (200, 0)


async def _post(client: httpx.AsyncClient, form: dict[str, str]) -> None:
    assert (await client.post("/messages", data=form)).status_code == 200


async def test_not_http() -> None:
    """What is not HTTP is answered 400, and the server goes on."""
    async with serve(Sandbox()) as url:
        async with connected(url) as stream:
            await stream.send(b"Hola\r\n\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 400")
        async with connected(url) as stream:
            await stream.send(HEAD + BODY)
            assert b"Message sent" in await read_answer(stream)


async def test_reset_by_the_client() -> None:
    """A client that resets its connection leaves no trace of an error."""
    sandbox = Sandbox(weather=Weather.sequence([Fault.HANG_AFTER_EFFECT]))
    async with serve(sandbox) as url, connected(url) as stream:
        await stream.send(HEAD + BODY)
        await until(lambda: sandbox.delivered == 1)
        raw = stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def all_settings() -> dict[str, Any]:
    names = ["root", "uvicorn", "uvicorn.access", "uvicorn.error", "uvicorn.asgi"]
    loggers = [logging.getLogger(name if name != "root" else None) for name in names]
    return {log.name: (log.level, list(log.handlers), log.propagate) for log in loggers}


async def test_logging_is_left_alone() -> None:
    """Serving changes no logging setting, neither the root's nor uvicorn's."""
    before = all_settings()
    async with serve(Sandbox()):
        assert all_settings() == before
    assert all_settings() == before


@pytest.mark.parametrize("level", [1, logging.DEBUG])
async def test_logs_hold_no_secret(level: int, caplog: pytest.LogCaptureFixture) -> None:
    """With every logger wide open, no line has the key, a phone number or a text."""
    for name in (None, "uvicorn.error", "aldeamo_async", "aldeamo_async.sandbox"):
        caplog.set_level(level, name)
    sandbox = Sandbox(weather=Weather.sequence([None, *Fault.every()]))
    form = {"auth": "test-key", "channel": "sms", "client_id": "573000000001", "msg": "secreto"}
    inner = httpx.AsyncHTTPTransport(verify=TLS)
    request = httpx.Request("POST", "http://sandbox.invalid/bots/messages", params=form)
    async with serve(sandbox) as url, inner:
        request.url = httpx.URL(url + "/messages", params=form)
        for number in range(len(Fault.every()) + 1):
            # The first answer is waited for; of the faults some never give one.
            request.extensions["timeout"] = {"read": 0.02 if number else 20.0}
            try:
                answer = await inner.handle_async_request(request)
                await answer.aread()
                await answer.aclose()
            except httpx.TransportError:
                continue
    lines = [record.getMessage() for record in caplog.records if record.name != "httpcore"]
    assert any("send to ***01: 200 CALM" in line for line in lines)
    for secret in ("test-key", "573000000001", "secreto"):
        assert secret not in caplog.text


def test_serve_forever() -> None:
    """The blocking way tells the base URL, and ends with Ctrl+C."""
    seen: list[str] = []

    def ready(url: str) -> None:
        seen.append(url)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        serve_forever(Sandbox(), ready=ready)
    assert seen[0].startswith("http://127.0.0.1:")


@pytest.mark.parametrize("missing", ["uvicorn", "starlette"])
def test_missing_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the error names what is missing and the command that installs it."""
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "aldeamo_async.sandbox._server")
    monkeypatch.delattr(aldeamo_async.sandbox, "_server")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=missing) as caught:
        _ = aldeamo_async.sandbox.serve
    assert "pip install 'aldeamo-async[sandbox]'" in str(caught.value)


def test_unknown_name() -> None:
    """Any other name that the package lacks is an AttributeError, as usual."""
    with pytest.raises(AttributeError, match="no attribute 'server'"):
        _ = aldeamo_async.sandbox.server
