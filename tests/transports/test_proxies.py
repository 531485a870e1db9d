"""Which proxy a request takes, and that its credentials are shown nowhere."""

from __future__ import annotations

import base64
import sys
import types
from typing import TYPE_CHECKING

import httpx
import pytest

from aldeamo_async._errors import UsageError
from aldeamo_async._evidence import Phase
from aldeamo_async.transports import (
    HttptoolsTransport,
    LaneTransport,
    PyreqwestTransport,
    Timeouts,
    Transport,
    Unsent,
    WireResponse,
)
from aldeamo_async.transports._faults import describe, socks_faults
from aldeamo_async.transports._proxies import Proxies, shown, with_context
from support.backends import FAST, RUST, everywhere
from support.rawserver import Connection, RawServer, free_port, serve_all
from support.socket_faults import client_context
from support.wire import sending

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "https://api.example/bots/messages"
SECRET = "http://ana:s3cret@proxy.example:8080"


def chosen(url: str = URL, **arguments: object) -> str | None:
    proxy = Proxies(**arguments).choose(url)  # type: ignore[arg-type]
    return None if proxy is None else shown(proxy)


def test_the_argument_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy given as an argument is taken whatever the environment says."""
    monkeypatch.setenv("HTTPS_PROXY", "http://other.example:1")
    monkeypatch.setenv("NO_PROXY", "*")
    assert chosen(proxy=SECRET) == "http://proxy.example:8080"
    assert chosen(proxy=httpx.Proxy(SECRET)) == "http://proxy.example:8080"


@pytest.mark.parametrize("host", ["ñ..invalid", "exa\u2488mple.invalid"])
def test_a_host_that_is_none_has_no_proxy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What httpx cannot read is for whoever writes the request to refuse, in words of ours."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:8080")
    assert Proxies().choose(f"https://{host}/bots/messages") is None
    Proxies().choose("https://xn--/bots/messages")  # httpx reads it until it is asked for its host


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, URL, None),
        ({"HTTPS_PROXY": "http://p.example:1"}, URL, "http://p.example:1"),
        ({"https_proxy": "p.example:1"}, URL, "http://p.example:1"),
        ({"HTTP_PROXY": "http://p.example:1"}, URL, None),
        ({"HTTP_PROXY": "http://p.example:1"}, "http://api.example/x", "http://p.example:1"),
        ({"ALL_PROXY": "http://p.example:1"}, URL, "http://p.example:1"),
        (
            {"ALL_PROXY": "http://a.example:1", "HTTPS_PROXY": "http://p.example:1"},
            URL,
            "http://p.example:1",
        ),
        ({"ALL_PROXY": "http://p.example:1", "NO_PROXY": "api.example"}, URL, None),
        ({"ALL_PROXY": "http://p.example:1", "NO_PROXY": "x.example, .example"}, URL, None),
        ({"ALL_PROXY": "http://p.example:1", "NO_PROXY": "x.example,*"}, URL, None),
        ({"ALL_PROXY": "http://p.example:1", "NO_PROXY": "*"}, URL, None),
        ({"ALL_PROXY": "http://p.example:1", "NO_PROXY": "pi.example"}, URL, "http://p.example:1"),
        ({"ALL_PROXY": "http://p.example:1"}, "http://127.0.0.1:80/bots/users", None),
        ({"ALL_PROXY": "http://p.example:1"}, "http://localhost/bots/users", None),
        ({"ALL_PROXY": "http://p.example:1"}, "https://[::1]:8443/bots/users", None),
    ],
)
def test_the_environment(
    environment: dict[str, str], url: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is heeded as httpx does, but never for this machine itself."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert chosen(url) == expected
    assert chosen(url, trust_env=False) is None


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All calls share one proxy object, so that a lane can be used for each of them."""
    monkeypatch.setenv("HTTPS_PROXY", SECRET)
    proxies = Proxies()
    first = proxies.choose(URL)
    assert first is proxies.choose("https://api.example/bots/users")
    monkeypatch.delenv("HTTPS_PROXY")
    assert first is proxies.choose(URL)


@pytest.mark.parametrize(
    "wrong", ["ftp://ana:s3cret@proxy.example", "ana:s3cret@proxy", "http://", "", 8080]
)
def test_a_wrong_proxy_is_refused(wrong: object) -> None:
    """A proxy that is no URL of a proxy is refused without repeating it."""
    with pytest.raises(UsageError, match="proxy= is not a URL") as caught:
        LaneTransport(proxy=wrong)  # type: ignore[arg-type]
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_wrong_proxy_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal says that it is the environment's."""
    monkeypatch.setenv("HTTPS_PROXY", "ftp://ana:s3cret@proxy.example")
    with pytest.raises(UsageError, match="the proxy of the environment is not a URL"):
        chosen()


def test_socks_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy without its package is refused with what to install."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(UsageError, match=r"pip install 'httpx\[socks\]'"):
        LaneTransport(proxy="socks5://proxy.example:1080")


def test_socks_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the package a SOCKS proxy is taken."""
    monkeypatch.setitem(sys.modules, "socksio", types.ModuleType("socksio"))
    assert chosen(proxy="socks5://ana:s3cret@proxy.example:1080") == "socks5://proxy.example:1080"


def test_what_a_broken_socks_proxy_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """The own protocol error of socksio counts as the network's doing, where it is installed."""

    class ProtocolError(Exception):
        """As socksio has it."""

    package = types.ModuleType("socksio")
    package.ProtocolError = ProtocolError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "socksio", package)
    assert socks_faults() == (ProtocolError,)
    assert describe(ProtocolError("x")) == "ProtocolError: the proxy broke the SOCKS protocol"
    monkeypatch.setitem(sys.modules, "socksio", None)
    assert socks_faults() == ()


def test_credentials_are_shown_nowhere() -> None:
    """No repr shows the user or the password of a proxy."""
    for thing in (LaneTransport(proxy=SECRET), PyreqwestTransport(proxy=SECRET), Proxies(SECRET)):
        assert "http://proxy.example:8080" in repr(thing)
        assert "ana" not in repr(thing).replace("LaneTransport", "").replace("LaneStats", "")
        assert "s3cret" not in repr(thing)


def test_an_https_proxy_shares_the_context() -> None:
    """TLS to the proxy itself uses the shared context; a plain proxy stays as it is."""
    secure = with_context(httpx.Proxy("https://ana:s3cret@proxy.example"), client_context)
    assert secure.ssl_context is client_context()
    assert secure.raw_auth == (b"ana", b"s3cret")
    assert with_context(secure, client_context) is secure
    plain = httpx.Proxy(SECRET)
    assert with_context(plain, client_context) is plain


# ── on the wire ──

LEAVES: dict[str, Callable[..., Transport]] = {
    "lanes": LaneTransport,
    FAST: HttptoolsTransport,
    RUST: PyreqwestTransport,
}


@pytest.mark.real_clock
@pytest.mark.parametrize("leaf", everywhere(LEAVES))
async def test_a_proxy_sees_its_credentials(leaf: str) -> None:
    """User and password reach the proxy as they were given, with the headers meant for it."""
    with RawServer(serve_all) as server:
        address = f"http://ana%40x:s%3Acret@127.0.0.1:{server.port}"
        proxy = httpx.Proxy(address, headers={"x-team": "bots"})
        transport = LEAVES[leaf](proxy=proxy)
        result = await transport.exchange(sending("http://127.0.0.1:9/bots"), Timeouts(total=9.0))
        await transport.aclose()
    assert isinstance(result, WireResponse)
    (seen,) = server.requests
    assert seen.target == "http://127.0.0.1:9/bots/messages"
    credentials = base64.b64encode(b"ana@x:s:cret").decode()
    assert seen.headers["proxy-authorization"] == f"Basic {credentials}"
    assert seen.headers["x-team"] == "bots"


@pytest.mark.real_clock
@pytest.mark.parametrize("leaf", everywhere(LEAVES))
async def test_the_environment_on_the_wire(leaf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is taken, with trust_env alone, and never to this machine."""
    with RawServer(serve_all) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        for trust_env in (True, False):
            transport = LEAVES[leaf](trust_env=trust_env)
            for base_url in ("http://api.invalid/bots", f"http://localhost:{free_port()}/bots"):
                request = sending(base_url, allow_insecure=True)
                await transport.exchange(request, Timeouts(total=9.0))
            await transport.aclose()
    assert [seen.target for seen in proxy.requests] == ["http://api.invalid/bots/messages"]


def socks(connection: Connection) -> None:
    """Speak SOCKS 5 with a user and a password, then be the server as well."""
    connection.sock.recv(9)
    connection.send(b"\x05\x02")
    asked.append(connection.sock.recv(99))
    connection.send(b"\x01\x00")
    connection.sock.recv(99)
    connection.send(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
    serve_all(connection)


asked: list[bytes] = []


@pytest.mark.real_clock
@pytest.mark.asyncio_only
async def test_socks_without_a_package() -> None:
    """The fast leaf speaks SOCKS by itself."""
    asked.clear()
    with RawServer(socks) as server:
        transport = PyreqwestTransport(proxy=f"socks5://ana:s%3Acret@127.0.0.1:{server.port}")
        result = await transport.exchange(sending("http://127.0.0.1:9/bots"), Timeouts(total=9.0))
        await transport.aclose()
        assert server.deliveries("Hola") == 1
    assert isinstance(result, WireResponse)
    assert asked == [b"\x01\x03ana\x06s:cret"]


def refusing_socks(connection: Connection) -> None:
    connection.sock.recv(9)
    connection.send(b"\x05\xff")


@pytest.mark.real_clock
@pytest.mark.asyncio_only
async def test_socks_that_refuses() -> None:
    """A SOCKS proxy that lets nobody through has let no request through either."""
    with RawServer(refusing_socks) as server:
        transport = PyreqwestTransport(proxy=f"socks5://127.0.0.1:{server.port}")
        result = await transport.exchange(sending("http://127.0.0.1:9/bots"), Timeouts(total=9.0))
        await transport.aclose()
    assert result == Unsent(
        Phase.CONNECT, "ProxyError: the proxy refused, or could not reach the server"
    )


def test_a_proxy_with_a_context_is_not_for_rust() -> None:
    """The fast leaf refuses a proxy that brings an `ssl.SSLContext`."""
    proxy = httpx.Proxy("https://proxy.example", ssl_context=client_context())
    with pytest.raises(UsageError, match=r"cannot honour an ssl\.SSLContext"):
        PyreqwestTransport(proxy=proxy)
