"""The adapter over any httpx transport: what it sends, what it makes of answers and failures."""

from __future__ import annotations

import gzip
import inspect
import math
import ssl
import traceback
import zlib
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from aldeamo_async._errors import UsageError
from aldeamo_async._evidence import Phase
from aldeamo_async.transports import HttpxTransport, MaybeSent, Timeouts, Unsent, WireResponse
from support.wire import KEY, PHONE, TEXT, reading, sending

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import TracebackType

BASE = "https://api.invalid/bots"
OK = b'{"status": true}'
ANY = Timeouts(total=5.0)

# Decided to propagate: a caller's mistake, not the network's doing.
PROPAGATES = {
    httpx.CookieConflict,
    httpx.InvalidURL,
    httpx.RequestNotRead,
    httpx.ResponseNotRead,
    httpx.StreamConsumed,
    httpx.StreamError,
}
# What httpx2 adds for its own client methods, which are not used here.
OTHER_CLIENTS = {"SSEError"}


def exception_classes() -> list[type[Exception]]:
    found = [
        value
        for value in vars(httpx).values()
        if inspect.isclass(value)
        and issubclass(value, Exception)
        and not issubclass(value, Warning)
        and value.__name__ not in OTHER_CLIENTS
    ]
    return sorted(set(found), key=lambda kind: kind.__name__)


def made(kind: type[Exception]) -> Exception:
    """An instance whose text and request hold everything that must not get out."""
    request = httpx.Request("GET", f"{BASE}/users?auth={KEY}")
    text = f"{KEY} {PHONE} {TEXT}"
    if kind is httpx.HTTPStatusError:
        return httpx.HTTPStatusError(text, request=request, response=httpx.Response(500))
    error = kind(text) if inspect.signature(kind).parameters else kind()
    if isinstance(error, httpx.RequestError):
        error.request = request
    return error


class Stub(httpx.AsyncBaseTransport):
    """An httpx transport that tells a story through its trace, then answers or raises."""

    def __init__(
        self,
        outcome: httpx.Response | BaseException | Callable[[httpx.Request], httpx.Response],
        events: tuple[tuple[str, dict[str, Any]], ...] = (),
        *,
        hang: float = 0.0,
    ) -> None:
        self.outcome = outcome
        self.events = events
        self.hang = hang
        self.requests: list[httpx.Request] = []
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        for name, info in self.events:
            await request.extensions["trace"](name, info)
        await anyio.sleep(self.hang)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome if isinstance(self.outcome, httpx.Response) else self.outcome(request)

    async def aclose(self) -> None:
        self.closed += 1


class Chunks(httpx.AsyncByteStream):
    """A body in chunks, which may break off; counts how often it was closed."""

    def __init__(
        self,
        *chunks: bytes,
        then: BaseException | None = None,
        closing: BaseException | None = None,
    ) -> None:
        self.chunks = chunks
        self.then = then
        self.closing = closing
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
        if self.then:
            raise self.then

    async def aclose(self) -> None:
        self.closed += 1
        if self.closing:
            raise self.closing


class CONNECT:
    method = b"CONNECT"


class POST:
    method = b"POST"


async def test_post_as_it_goes_out() -> None:
    """A send carries its host, length, our name, and the form; nothing of it is chunked."""
    stub = Stub(httpx.Response(200, content=OK))
    result = await HttpxTransport(stub).exchange(sending(BASE), ANY)
    assert isinstance(result, WireResponse)
    assert (result.status, result.body, result.oversized) == (200, OK, False)
    (request,) = stub.requests
    assert request.method == "POST"
    assert str(request.url) == f"{BASE}/messages"
    assert request.content == b"auth=test-key&channel=sms&client_id=573000000001&msg=Hola+Ana"
    headers = dict(request.headers)
    assert headers.pop("user-agent").startswith("aldeamo-async/")
    assert headers == {
        "host": "api.invalid",
        "accept": "application/json",
        "accept-encoding": "gzip",
        "content-type": "application/x-www-form-urlencoded",
        "content-length": "61",
    }


async def test_get_as_it_goes_out() -> None:
    """A read has its parameters in the URL and no body."""
    stub = Stub(httpx.Response(200, content=OK))
    await HttpxTransport(stub).exchange(reading(BASE), ANY)
    (request,) = stub.requests
    assert str(request.url) == f"{BASE}/users?auth=test-key&channel=whatsapp"
    assert request.content == b""
    assert "content-length" not in request.headers


async def test_empty_post_has_its_length() -> None:
    """A send whose parameters all stand in the URL says that its body is empty."""
    stub = Stub(httpx.Response(200, content=OK))
    await HttpxTransport(stub).exchange(sending(BASE, post_encoding="query"), ANY)
    assert stub.requests[0].headers["content-length"] == "0"


async def test_key_in_a_header_of_any_script() -> None:
    """A key outside of ASCII goes out as UTF-8 instead of failing with an error that holds it."""
    stub = Stub(httpx.Response(200, content=OK))
    request = sending(BASE, auth_in="header")
    await HttpxTransport(stub).exchange(request, ANY)
    assert (b"auth", KEY.encode()) in stub.requests[0].headers.raw


async def test_timeouts_reach_httpx() -> None:
    """The time-outs of each phase are handed to the transport inside."""
    stub = Stub(httpx.Response(200, content=OK))
    await HttpxTransport(stub).exchange(sending(BASE), Timeouts(1.0, 2.0, None, total=9.0))
    given = {"connect": 1.0, "read": 2.0, "write": None, "pool": None}
    assert stub.requests[0].extensions["timeout"] == given


async def test_a_url_that_httpx_cannot_open() -> None:
    """A URL too long for httpx is the caller's to mend, and the refusal does not quote it."""
    request = sending(BASE, "x" * 70_000, post_encoding="query")
    with pytest.raises(UsageError) as caught:
        await HttpxTransport(Stub(httpx.Response(200))).exchange(request, ANY)
    assert "post_encoding='form'" in str(caught.value)
    assert caught.value.__context__ is None


async def test_closing_closes_the_transport_inside() -> None:
    """`aclose()` closes what was passed in, and says what it is before."""
    stub = Stub(httpx.Response(200))
    transport = HttpxTransport(stub)
    assert repr(transport) == "HttpxTransport(Stub)"
    await transport.aclose()
    assert stub.closed == 1


@pytest.mark.parametrize("kind", exception_classes(), ids=lambda kind: kind.__name__)
async def test_every_exception_of_httpx_has_a_decision(kind: type[Exception]) -> None:
    """Each exception class of httpx is mapped to a value that shows nothing, or propagates."""
    error = made(kind)
    transport = HttpxTransport(Stub(error))
    if kind in PROPAGATES:
        with pytest.raises(kind):
            await transport.exchange(sending(BASE), ANY)
        return
    result = await transport.exchange(sending(BASE), ANY)
    assert isinstance(result, MaybeSent)  # no trace, no proof
    assert result.reason.startswith(f"{kind.__name__}: ")
    assert not result.timed_out
    for private in (KEY, PHONE, TEXT, BASE):
        assert private not in repr(result)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ssl.SSLError(1, "decryption failed"), "SSLError: TLS failed"),
        (ssl.SSLEOFError(8, "EOF"), "SSLEOFError: TLS failed"),
        (anyio.EndOfStream(), "EndOfStream: the connection ended"),
        (anyio.BrokenResourceError(), "BrokenResourceError: the connection broke"),
        (anyio.ClosedResourceError(), "ClosedResourceError: the connection was closed"),
        (
            ConnectionResetError(104, "('10.0.0.1', 443)"),
            (
                "ConnectionResetError: the operating system reported an error "
                "(Connection reset by peer)"
            ),
        ),
        (TimeoutError(), "TimeoutError: the operating system reported an error"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_slips_through_httpx_is_mapped(error: Exception, said: str) -> None:
    """Errors of TLS, anyio and the system that httpx lets through become values too (trap 8)."""
    result = await HttpxTransport(Stub(error)).exchange(sending(BASE), ANY)
    assert result == MaybeSent(Phase.READ, said)


async def test_a_cause_in_a_circle_ends() -> None:
    """A chain of causes that leads back to itself is walked once."""
    error = httpx.ConnectError("first")
    error.__cause__ = httpx.ConnectError("second")
    error.__cause__.__cause__ = error
    result = await HttpxTransport(Stub(error)).exchange(sending(BASE), ANY)
    assert result == MaybeSent(Phase.CONNECT, "ConnectError: no connection could be made")


@pytest.mark.parametrize("error", [TypeError("bug"), AssertionError("bug"), KeyError("bug")])
async def test_programming_errors_propagate(error: Exception) -> None:
    """A bug is not taken for the network's doing (trap 9)."""
    with pytest.raises(type(error)):
        await HttpxTransport(Stub(error)).exchange(sending(BASE), ANY)


CONNECTING = (("connection.connect_tcp.started", {"host": "api.invalid"}),)
TUNNEL = (
    *CONNECTING,
    ("http11.send_request_headers.started", {"request": CONNECT()}),
    ("http11.send_request_headers.complete", {"return_value": None}),
    ("http11.receive_response_headers.started", {"request": CONNECT()}),
)
WRITING = (*TUNNEL, ("http11.send_request_headers.started", {"request": POST()}))
BODY = (*WRITING, ("http11.send_request_body.started", {"request": POST()}))
AWAITING = (*BODY, ("http11.receive_response_headers.started", {"request": POST()}))
READING = (*AWAITING, ("http11.receive_response_body.started", {"request": POST()}))
CLEANING = (*AWAITING, ("http11.response_closed.started", {}))
NOVEL = (*CONNECTING, ("quic.send_datagram.started", {"request": POST()}))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (CONNECTING, Unsent(Phase.CONNECT, "")),
        (TUNNEL, Unsent(Phase.CONNECT, "")),
        ((("http2.send_connection_init.started", {}),), Unsent(Phase.CONNECT, "")),
        (WRITING, MaybeSent(Phase.WRITE, "")),
        (BODY, MaybeSent(Phase.WRITE, "")),
        (AWAITING, MaybeSent(Phase.READ, "")),
        (READING, MaybeSent(Phase.READ, "")),
        (CLEANING, MaybeSent(Phase.READ, "")),
        (NOVEL, MaybeSent(Phase.WRITE, "")),
        ((), MaybeSent(Phase.CONNECT, "")),
    ],
)
async def test_evidence_comes_from_the_trace(
    events: tuple[tuple[str, dict[str, Any]], ...], expected: Unsent | MaybeSent
) -> None:
    """Only a trace without any step of the request itself proves that nothing was sent."""
    stub = Stub(httpx.ConnectError("whatever it is called"), events)
    result = await HttpxTransport(stub).exchange(sending(BASE), ANY)
    assert isinstance(result, Unsent | MaybeSent)
    assert type(result) is type(expected)
    assert result.phase is expected.phase


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (CONNECTING, Unsent(Phase.CONNECT, "the time of the call ran out", timed_out=True)),
        (READING, MaybeSent(Phase.READ, "the time of the call ran out", timed_out=True)),
        ((), MaybeSent(Phase.READ, "the time of the call ran out", timed_out=True)),
    ],
)
async def test_the_total_holds(
    events: tuple[tuple[str, dict[str, Any]], ...], expected: Unsent | MaybeSent
) -> None:
    """When the call's time runs out, the exchange ends there, with what is known by then."""
    stub = Stub(httpx.Response(200), events, hang=math.inf)
    start = anyio.current_time()
    result = await HttpxTransport(stub).exchange(sending(BASE), Timeouts(total=7.0))
    assert anyio.current_time() - start == pytest.approx(7.0)
    assert result == expected


async def test_no_time_left() -> None:
    """Without any time left nothing is begun."""
    stub = Stub(httpx.Response(200))
    result = await HttpxTransport(stub).exchange(sending(BASE), Timeouts(total=0.0))
    assert result == Unsent(Phase.CONNECT, "the time of the call ran out", timed_out=True)
    assert not stub.requests


async def test_without_a_total_only_the_phases_bound() -> None:
    """`total=None` sets no bound over all phases."""
    stub = Stub(httpx.Response(200, content=OK), hang=3600.0)
    result = await HttpxTransport(stub).exchange(sending(BASE), Timeouts(total=None))
    assert isinstance(result, WireResponse)


class Socket:
    """A network stream of httpcore, seen by its trace."""

    def __init__(self, error: Exception | None = None) -> None:
        self.closed = 0
        self.error = error

    async def aclose(self) -> None:
        self.closed += 1
        if self.error:
            raise self.error


@pytest.mark.parametrize("error", [None, OSError(9, "gone")])
async def test_a_stranded_socket_is_closed(error: Exception | None) -> None:
    """A socket that was opened, but not used for the request, is closed when the exchange fails."""
    socket = Socket(error)
    events = (*CONNECTING, ("connection.connect_tcp.complete", {"return_value": socket}))
    result = await HttpxTransport(Stub(httpx.ConnectError(""), events)).exchange(sending(BASE), ANY)
    assert isinstance(result, Unsent)
    assert socket.closed == 1


async def test_a_used_socket_is_left_to_httpx() -> None:
    """A socket that carried the request belongs to the pool, which closes it or keeps it."""
    socket = Socket()
    events = (("connection.connect_tcp.complete", {"return_value": socket}), *AWAITING)
    await HttpxTransport(Stub(httpx.ReadError(""), events)).exchange(sending(BASE), ANY)
    assert socket.closed == 0


@pytest.mark.parametrize(
    "then", [httpx.ReadError("broken"), ssl.SSLError(1, "broken"), httpx.StreamClosed()]
)
async def test_an_answer_that_breaks_off(then: Exception) -> None:
    """Half an answer is no answer, and the response is closed."""
    body = Chunks(b'{"status"', then=then)
    result = await HttpxTransport(Stub(httpx.Response(200, stream=body))).exchange(
        sending(BASE), ANY
    )
    assert isinstance(result, MaybeSent)
    assert body.closed == 1


async def test_a_complete_answer_survives_its_closing() -> None:
    """A connection that breaks while it is closed does not cost the answer that came before."""
    body = Chunks(OK, closing=httpx.CloseError("broken"))
    result = await HttpxTransport(Stub(httpx.Response(200, stream=body))).exchange(
        sending(BASE), ANY
    )
    assert isinstance(result, WireResponse)
    assert result.body == OK


async def test_a_sync_body_is_a_bug() -> None:
    """A transport that answers with a body for `httpx.Client` is told so by a TypeError."""

    class Sync(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield OK

    with pytest.raises((TypeError, RuntimeError)):
        await HttpxTransport(Stub(httpx.Response(200, stream=Sync()))).exchange(sending(BASE), ANY)


async def test_headers_come_as_they_came() -> None:
    """Repeated headers and their spelling are kept."""
    response = httpx.Response(
        200,
        headers=[("Set-Cookie", "a"), ("Set-Cookie", "b"), ("X-Ñ".encode(), b"\xf1")],
        content=OK,
    )
    result = await HttpxTransport(Stub(response)).exchange(sending(BASE), ANY)
    assert isinstance(result, WireResponse)
    assert [value for name, value in result.headers if name == "Set-Cookie"] == ["a", "b"]
    assert "ñ" in dict(result.headers).values()


def deflated(data: bytes, window: int) -> bytes:
    packer = zlib.compressobj(wbits=window)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "raw", "body"),
    [
        ("gzip", gzip.compress(OK, mtime=0), OK),
        (" X-GZip ", gzip.compress(OK, mtime=0), OK),
        ("deflate", deflated(OK, 15), OK),
        ("deflate", deflated(OK, -15), OK),
        ("identity", OK, OK),
        ("br", b"\x0b\x02\x80hello\x03", b"\x0b\x02\x80hello\x03"),
        ("gzip", OK, OK),
        ("gzip", gzip.compress(OK, mtime=0)[:-3], gzip.compress(OK, mtime=0)[:-3]),
        ("gzip", gzip.compress(OK, mtime=0) * 2, gzip.compress(OK, mtime=0) * 2),
        ("gzip", b"", b""),
    ],
)
async def test_codings(coding: str, raw: bytes, body: bytes) -> None:
    """gzip and deflate are undone; what cannot be undone is kept as it came, status and all."""
    response = httpx.Response(
        429, headers={"content-encoding": coding}, stream=Chunks(raw[:5], raw[5:])
    )
    result = await HttpxTransport(Stub(response)).exchange(sending(BASE), ANY)
    assert isinstance(result, WireResponse)
    assert (result.status, result.body, result.oversized) == (429, body, False)


@pytest.mark.parametrize(
    ("size", "coding", "oversized"),
    [
        (1000, "identity", False),
        (1001, "identity", True),
        (1000, "gzip", False),
        (1001, "gzip", True),
        (10_000_000, "gzip", True),
    ],
)
async def test_the_cap(size: int, coding: str, oversized: bool) -> None:
    """No more than the cap is kept of an answer, before and after decoding."""
    raw = bytes(size) if coding == "identity" else gzip.compress(bytes(size))
    if len(raw) > 1000 and coding == "gzip":
        raw = raw[:1000]
    response = httpx.Response(200, headers={"content-encoding": coding}, stream=Chunks(raw))
    request = sending(BASE, max_response_bytes=1000)
    result = await HttpxTransport(Stub(response)).exchange(request, ANY)
    assert isinstance(result, WireResponse)
    assert result.oversized is oversized
    assert result.body == (b"" if oversized else bytes(size))


class Endless(httpx.AsyncByteStream):
    """A body without an end; remembers that its generator was closed."""

    def __init__(self, *, generator: bool) -> None:
        self.generator = generator
        self.ended = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.generate() if self.generator else self

    async def __anext__(self) -> bytes:
        return b"x" * 1000

    async def generate(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            self.ended = True


@pytest.mark.parametrize("generator", [True, False])
async def test_an_endless_answer_ends(*, generator: bool) -> None:
    """An answer without an end is cut at the cap and let go."""
    body = Endless(generator=generator)
    request = sending(BASE, max_response_bytes=10_000)
    result = await HttpxTransport(Stub(httpx.Response(200, stream=body))).exchange(request, ANY)
    assert isinstance(result, WireResponse)
    assert result.oversized
    assert body.ended is generator


async def test_cut_answer_lets_the_generators_run_out() -> None:
    """After the cap the rest is taken until the closed connection ends it."""
    body = Chunks(*[b"x" * 600] * 5, then=httpx.ReadError("closed"))
    request = sending(BASE, max_response_bytes=1000)
    result = await HttpxTransport(Stub(httpx.Response(200, stream=body))).exchange(request, ANY)
    assert isinstance(result, WireResponse)
    assert result.oversized
    assert body.closed == 1


def our_locals(tb: TracebackType | None) -> Iterator[str]:
    """The repr of every local variable in our own frames of a traceback."""
    for frame, _ in traceback.walk_tb(tb):
        if "aldeamo_async" in frame.f_code.co_filename:
            for name, value in frame.f_locals.items():
                yield f"{frame.f_code.co_name}.{name} = {value!r}"


@pytest.mark.parametrize("make", [sending, reading])
@pytest.mark.parametrize("where", ["handle", "stream"])
async def test_frames_of_a_bug_show_no_key(make: Callable[..., Any], where: str) -> None:
    """Whoever prints local variables with a traceback sees no key, number or text (trap 27)."""
    bug = TypeError("bug")
    outcome = bug if where == "handle" else httpx.Response(200, stream=Chunks(then=bug))
    with pytest.raises(TypeError) as caught:
        await HttpxTransport(Stub(outcome)).exchange(make(BASE), ANY)
    shown = list(our_locals(caught.tb))
    assert len(shown) > 5
    for private in (KEY, PHONE, TEXT, "Hola"):
        assert not [line for line in shown if private in line]


async def test_doubles_of_httpx_work() -> None:
    """MockTransport sees the request as httpx users know it."""

    def handler(request: httpx.Request) -> httpx.Response:
        assert "msg=Hola+Ana" in request.content.decode()
        return httpx.Response(200, json={"status": True, "data": 1})

    result = await HttpxTransport(httpx.MockTransport(handler)).exchange(sending(BASE), ANY)
    assert isinstance(result, WireResponse)
    assert result.header("content-type") == "application/json"


async def test_the_body_is_an_ordinary_stream() -> None:
    """A transport may iterate over the body, or over its iterator, as often as it likes."""

    async def handler(request: httpx.Request) -> httpx.Response:
        stream = request.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        for chunks in (stream, aiter(aiter(stream))):
            assert b"".join([chunk async for chunk in chunks]) == request.content
        return httpx.Response(200)

    result = await HttpxTransport(httpx.MockTransport(handler)).exchange(sending(BASE), ANY)
    assert isinstance(result, WireResponse)
