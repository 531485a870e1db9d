"""What `transport=` takes, and the transport for tests."""

from __future__ import annotations

import types

import httpx
import pytest

import aldeamo_async.transports as door
from aldeamo_async._errors import UsageError
from aldeamo_async._evidence import Phase
from aldeamo_async.transports import (
    HttpxTransport,
    LaneTransport,
    MaybeSent,
    ScriptedTransport,
    Timeouts,
    Unsent,
    WireResponse,
    as_transport,
)
from support.wire import sending

ANY = Timeouts()


def handler(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200)


class SyncOnly(httpx.BaseTransport):
    """A transport for `httpx.Client` alone."""


def test_the_door_is_sorted() -> None:
    """The public names are sorted and all there."""
    assert door.__all__ == sorted(door.__all__)
    assert all(hasattr(door, name) for name in door.__all__)


def test_default_is_lanes() -> None:
    """Without a transport the lanes are made, with every argument honoured."""
    transport = as_transport(
        max_connections=3,
        verify=True,
        proxy="http://proxy.example:1",
        trust_env=False,
        keepalive_expiry=1.0,
    )
    assert isinstance(transport, LaneTransport)
    assert "max_connections=3" in repr(transport)
    assert "Proxies(http://proxy.example:1)" in repr(transport)
    assert isinstance(as_transport(None), LaneTransport)


def test_a_transport_of_httpx_is_wrapped() -> None:
    """An `httpx.AsyncBaseTransport` is carried by the adapter."""
    assert repr(as_transport(httpx.MockTransport(handler))) == "HttpxTransport(MockTransport)"


@pytest.mark.parametrize("own", [ScriptedTransport(), HttpxTransport(httpx.MockTransport(handler))])
def test_a_transport_of_ones_own_is_taken_as_it_is(own: object) -> None:
    """An object with `exchange` and `aclose` needs no wrapping."""
    assert as_transport(own) is own


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", 5),
        ("verify", False),
        ("proxy", "http://proxy.example:8080"),
        ("trust_env", True),
        ("keepalive_expiry", 1.0),
    ],
)
def test_an_argument_beside_a_transport_is_refused(name: str, value: object) -> None:
    """Settings that a given transport would ignore are refused, not dropped (trap 23)."""
    with pytest.raises(UsageError, match=f"transport= and {name}= were given together"):
        as_transport(ScriptedTransport(), **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (httpx.MockTransport, "the class MockTransport. Pass an instance: MockTransport(...)."),
        (ScriptedTransport, "the class ScriptedTransport. Pass an instance"),
        (httpx.AsyncClient, "the class AsyncClient"),
        (httpx.Client(), "type Client. A client brings redirects"),
        (SyncOnly(), "type SyncOnly. This one is for httpx.Client"),
        ("http://proxy.example", "type str. Pass an httpx.AsyncBaseTransport"),
        (types.SimpleNamespace(exchange=handler, aclose=handler), "coroutine methods"),
        (42, "type int"),
    ],
)
def test_what_cannot_be_a_transport_is_refused(value: object, said: str) -> None:
    """Anything else is refused with what to pass instead."""
    with pytest.raises(UsageError) as caught:
        as_transport(value)
    assert said in str(caught.value)


def test_an_async_client_is_refused() -> None:
    """An `httpx.AsyncClient` is not taken apart; the refusal says what to pass."""
    with pytest.raises(UsageError, match=r"httpx\.AsyncHTTPTransport"):
        as_transport(httpx.AsyncClient())


def test_a_transport_of_httpx2_needs_the_alias() -> None:
    """A transport of httpx2 beside httpx is refused with the way to use it."""
    other = type("AsyncHTTPTransport", (), {"__module__": "httpx2._transports.default"})()
    with pytest.raises(UsageError, match="alias_httpx"):
        as_transport(other)


async def test_a_script_is_played() -> None:
    """The transport for tests answers in order, remembers what came, and ends with its script."""
    script = [
        WireResponse(200, (), b"{}"),
        Unsent(Phase.CONNECT, "refused"),
        MaybeSent(Phase.READ, "dropped"),
    ]
    transport = ScriptedTransport(script)
    request = sending("https://api.invalid/bots")
    assert [await transport.exchange(request, ANY) for _ in script] == script
    assert transport.requests == [request] * 3
    assert transport.timeouts == [ANY] * 3
    with pytest.raises(UsageError, match="ended before request 4"):
        await transport.exchange(request, ANY)
    await transport.aclose()
    assert repr(transport) == "ScriptedTransport(requests=4, closed=True)"
