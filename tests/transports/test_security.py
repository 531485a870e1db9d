"""TLS settings: one context, its floor, its authorities."""

from __future__ import annotations

import ssl
import warnings
from typing import TYPE_CHECKING, TypeAlias

import anyio
import httpx
import pytest
import trustme

from aldeamo_async._errors import UsageError
from aldeamo_async.transports import (
    Exchange,
    HttptoolsTransport,
    LaneTransport,
    PyreqwestTransport,
    Timeouts,
    Transport,
    Unsent,
    UnverifiedServerWarning,
    WireResponse,
)
from aldeamo_async.transports._security import FLOOR, Security, certificates, trusting_nobody
from support.backends import FAST, RUST, everywhere
from support.rawserver import RawServer, serve_all
from support.socket_faults import authority, client_context, server_context
from support.wire import sending

if TYPE_CHECKING:
    from pathlib import Path

ANY = Timeouts(total=10.0)


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """The authority of these tests as a file."""
    path = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(path)
    return path


Leaf: TypeAlias = type[LaneTransport | HttptoolsTransport | PyreqwestTransport]
LEAVES: dict[str, Leaf] = {
    "lanes": LaneTransport,
    FAST: HttptoolsTransport,
    RUST: PyreqwestTransport,
}


@pytest.fixture(params=everywhere(LEAVES))
def leaf(request: pytest.FixtureRequest) -> Leaf:
    """The transports with TLS of their own."""
    return LEAVES[request.param]


async def visit(transport: Transport) -> Exchange:
    with RawServer(serve_all, tls=server_context()) as server:
        try:
            return await transport.exchange(sending(server.base_url), ANY)
        finally:
            await transport.aclose()


@pytest.mark.real_clock
class TestOnTheWire:
    async def test_a_file(self, pem: Path, leaf: Leaf) -> None:
        """`verify` as a path trusts the authority in that file."""
        assert isinstance(await visit(leaf(verify=pem)), WireResponse)
        assert isinstance(await visit(leaf(verify=str(pem))), WireResponse)

    async def test_the_system_alone(self, leaf: Leaf) -> None:
        """By default a private authority is not trusted, and nothing is sent."""
        result = await visit(leaf())
        assert isinstance(result, Unsent)
        assert "(certificate verify failed" in result.reason

    async def test_the_environment(self, pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """`SSL_CERT_FILE` is honoured with `trust_env`, and not without."""
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert isinstance(await visit(LaneTransport()), WireResponse)
        result = await visit(LaneTransport(trust_env=False))
        assert isinstance(result, Unsent)
        assert "(certificate verify failed: " in result.reason

    @pytest.mark.asyncio_only
    @pytest.mark.parametrize("trust_env", [True, False])
    async def test_the_system_of_the_fast_leaf(
        self, pem: Path, monkeypatch: pytest.MonkeyPatch, *, trust_env: bool
    ) -> None:
        """What the fast leaf calls the system's certificates is `SSL_CERT_FILE`, if that is set."""
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert isinstance(await visit(PyreqwestTransport(trust_env=trust_env)), WireResponse)

    async def test_nobody_is_verified(self, leaf: Leaf) -> None:
        """`verify=False` works, and says aloud what it means."""
        with pytest.warns(UnverifiedServerWarning, match="can read the API key"):
            transport = leaf(verify=False)
        assert isinstance(await visit(transport), WireResponse)

    async def test_one_context_for_all_lanes(
        self, pem: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ten connections at once share one TLS context (trap 24)."""
        made: list[ssl.SSLContext] = []
        make = httpx.create_ssl_context

        def counting(**arguments: object) -> ssl.SSLContext:
            made.append(make(**arguments))  # type: ignore[arg-type]
            return made[-1]

        monkeypatch.setattr(httpx, "create_ssl_context", counting)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        transport = LaneTransport()
        assert not made  # not before the first connection
        results: list[Exchange] = []
        with RawServer(serve_all, tls=server_context()) as server:

            async def send() -> None:
                results.append(await transport.exchange(sending(server.base_url), ANY))

            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(send)
            await transport.aclose()
            assert server.connections == 10
        assert all(isinstance(result, WireResponse) for result in results)
        assert len(made) == 1


def test_the_floor_of_the_default() -> None:
    """The context that is made speaks TLS 1.2 at least."""
    security = Security()
    assert security.context().minimum_version is FLOOR
    assert security.context() is security.context()
    assert repr(security) == "Security(verified=True)"


def test_a_directory(tmp_path: Path) -> None:
    """`verify` may be a directory of certificates."""
    assert Security(tmp_path).context().minimum_version is FLOOR


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_path_that_holds_no_certificate(content: str | None, tmp_path: Path) -> None:
    """A wrong path is refused when the transport is made, not at the first call."""
    path = tmp_path / "wrong.pem"
    if content:
        path.write_text(content)
    with pytest.raises(UsageError, match=r"wrong\.pem.*is not a file or directory of certificates"):
        LaneTransport(verify=path)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_environment_that_holds_no_certificate(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong `SSL_CERT_FILE` is named in the refusal."""
    path = tmp_path / "wrong.pem"
    if content:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(UsageError, match="SSL_CERT_FILE or SSL_CERT_DIR names no file"):
        Security().context()


def test_a_context_is_taken_as_it_is() -> None:
    """A context of one's own is used itself, with its settings."""
    context = client_context()
    assert Security(context).context() is context


@pytest.mark.parametrize(
    "floor", [ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]
)
def test_a_context_below_the_floor_is_refused(floor: ssl.TLSVersion) -> None:
    """A context that lets TLS 1.1 through is refused, with what to set."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = floor
    with pytest.raises(UsageError, match=r"minimum_version = ssl\.TLSVersion\.TLSv1_2"):
        LaneTransport(verify=context)


def test_the_old_way_to_set_the_floor() -> None:
    """A context that switches old versions off by its options is above the floor as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.options |= ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
    assert Security(context).context() is context


def test_a_context_that_verifies_nobody_warns() -> None:
    """A context without verification gets the same warning as `verify=False`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.warns(UnverifiedServerWarning):
        security = Security(context)
    assert repr(security) == "Security(verified=False)"


@pytest.mark.parametrize("wrong", [1, None, b"/path", object()])
def test_another_type_is_refused(wrong: object) -> None:
    """`verify` of another type is refused, with what it may be."""
    with pytest.raises(UsageError, match="verify is True, False, the path"):
        LaneTransport(verify=wrong)  # type: ignore[arg-type]


def test_the_context_for_plain_http_opens_nothing() -> None:
    """The stand-in for http:// would fail every handshake: it verifies, and trusts no authority."""
    context = trusting_nobody()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.get_ca_certs()


def test_the_certificates_of_a_path(tmp_path: Path, pem: Path) -> None:
    """A file gives each of its certificates, a directory those of its files, once."""
    one = pem.read_bytes().strip()
    other = trustme.CA().cert_pem.bytes().strip()
    pem.write_bytes(b"a comment\n" + one + b"\n" + other + b"\n")
    assert certificates(pem) == (one, other)
    (tmp_path / "again.pem").write_bytes(one)
    (tmp_path / "notes.txt").write_text("no certificate")
    assert set(certificates(str(tmp_path))) == {one, other}
    assert certificates(True) == certificates(False) == certificates(client_context()) == ()


def test_a_directory_without_certificates(tmp_path: Path) -> None:
    """A path that would add no trust is refused by a leaf that reads the files itself."""
    with pytest.raises(UsageError, match="holds no certificate between BEGIN CERTIFICATE"):
        PyreqwestTransport(verify=tmp_path)


def test_a_context_is_not_for_rust() -> None:
    """The fast leaf refuses an `ssl.SSLContext` rather than ignore it."""
    with pytest.raises(UsageError, match=r"cannot honour an ssl\.SSLContext"):
        PyreqwestTransport(verify=client_context())  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [1, None, b"/path"])
def test_another_type_is_not_for_rust(wrong: object) -> None:
    """Another type is refused in the same words by the fast leaf."""
    with pytest.raises(UsageError, match="verify is True, False, the path"):
        PyreqwestTransport(verify=wrong)  # type: ignore[arg-type]
