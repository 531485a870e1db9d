"""Each guard of the test base, seen to catch what it is for."""

from __future__ import annotations

import socket
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from support import guards

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFTEST = Path(__file__).parents[1] / "conftest.py"

# A documentation address (RFC 5737) and name (RFC 2606): nobody answers there, should a guard fail.
FAR_ADDRESS = ("192.0.2.1", 443)
FAR_NAME = "api.example.com"


@pytest.fixture
def guard() -> Iterator[guards.NetworkGuard]:
    """A guard of the test's own, in front of the one that watches this test."""
    with guards.guarded_sockets() as guard:
        yield guard


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    """An empty suite that stands on this project's conftest."""
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makeini(
        f"[pytest]\nanyio_mode = auto\npythonpath = {CONFTEST.parent}\nmarkers = real_clock\n"
    )
    return pytester


def run_inner(inner: pytest.Pytester, source: str) -> pytest.RunResult:
    inner.makepyfile(textwrap.dedent(source))
    return inner.runpytest_subprocess("-p", "no:cacheprovider", "--import-mode=importlib")


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_a_far_address_is_refused(guard: guards.NetworkGuard, method: str) -> None:
    """A connection to another machine is an error that names the address."""
    with socket.socket() as sock, pytest.raises(guards.RealNetworkError, match=r"192\.0\.2\.1"):
        getattr(sock, method)(FAR_ADDRESS)
    assert len(guard.refused) == 1


def test_a_far_datagram_is_refused(guard: guards.NetworkGuard) -> None:
    """Datagrams leave the machine without a connection; they are refused as well."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        pytest.raises(guards.RealNetworkError),
    ):
        sock.sendto(b"x", FAR_ADDRESS)
    assert guard.refused


@pytest.mark.parametrize("host", [FAR_NAME, FAR_NAME.encode(), "192.0.2.1", "2001:db8::1"])
def test_a_far_lookup_is_refused(guard: guards.NetworkGuard, host: str | bytes) -> None:
    """Looking up a host that is not this machine is refused before anybody is asked."""
    with pytest.raises(guards.RealNetworkError, match="look up"):
        socket.getaddrinfo(host, 443)
    assert guard.refused


def test_other_lookups_are_refused(guard: guards.NetworkGuard) -> None:
    """The older lookup calls stand behind the same guard."""
    for lookup in (socket.gethostbyname, socket.gethostbyname_ex):
        with pytest.raises(guards.RealNetworkError):
            lookup(FAR_NAME)
    assert len(guard.refused) == 2


def test_an_unknown_socket_family_is_refused(guard: guards.NetworkGuard) -> None:
    """What is neither TCP/IP nor a Unix socket is refused, whatever its address looks like."""
    with pytest.raises(guards.RealNetworkError):
        guard.check_address(-1, (0, 0))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1", b"localhost", None])
def test_loopback_passes(guard: guards.NetworkGuard, host: str | bytes | None) -> None:
    """This machine's own names and addresses pass."""
    guard.check_name(host)
    assert not guard.refused


def test_loopback_and_unix_sockets_still_work(guard: guards.NetworkGuard, tmp_path: Path) -> None:
    """A guarded socket connects to loopback and to a path."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as peer:
        server.bind(path)
        server.listen()
        peer.connect(path)
    assert not guard.refused


def test_an_invalid_name_fails_as_dns_does(guard: guards.NetworkGuard) -> None:
    """A `.invalid` name gives the resolver's own error, and is no offence."""
    with pytest.raises(socket.gaierror) as caught:
        socket.getaddrinfo("nobody.invalid", 443)
    assert caught.value.errno == socket.EAI_NONAME
    assert not guard.refused


@pytest.mark.real_clock
async def test_async_lookups_stand_behind_the_guard(guard: guards.NetworkGuard) -> None:
    """anyio's connections are refused on both event loops, in their worker threads too."""
    with pytest.raises(guards.RealNetworkError):
        await anyio.connect_tcp(FAR_NAME, 443)
    with pytest.raises(socket.gaierror):
        await anyio.connect_tcp("nobody.invalid", 443)
    assert len(guard.refused) == 1


def test_a_swallowed_refusal_still_fails_the_test(inner: pytest.Pytester) -> None:
    """Code that catches every error cannot hide that it tried to leave the machine."""
    result = run_inner(
        inner,
        """
        import contextlib, socket

        def test_quiet():
            with contextlib.suppress(BaseException):
                socket.create_connection(("192.0.2.1", 443), timeout=0.1)

        def test_next_one_is_clean():
            pass
        """,
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*only loopback is allowed*"])


def test_a_blocking_call_in_the_loop_is_an_error(inner: pytest.Pytester) -> None:
    """A blocking call made by package code fails on asyncio; in a worker thread it passes."""
    result = run_inner(
        inner,
        """
        import sys, time
        import aldeamo_async, anyio, anyio.to_thread, pytest

        # Code whose file name lies in the package is what the guard watches.
        nap = compile("def nap(): time.sleep(0)", aldeamo_async.__path__[0] + "/_nap.py", "exec")
        exec(nap)

        @pytest.mark.real_clock
        async def test_in_the_loop():
            nap()

        @pytest.mark.real_clock
        async def test_in_a_thread():
            await anyio.to_thread.run_sync(nap)

        def test_without_a_loop():
            nap()
        """,
    )
    # trio has no such guard: its half of the two async tests passes.
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*BlockingError: Blocking call to time.sleep*"])


def test_a_leaked_thread_fails_the_test(inner: pytest.Pytester) -> None:
    """A thread that outlives its test is named; daemon and ended threads are no leak."""
    result = run_inner(
        inner,
        """
        import threading
        import support.guards
        support.guards.THREAD_GRACE_SECONDS = 0.05
        stop = threading.Event()

        def test_leaky():
            threading.Thread(target=stop.wait, name="forgotten").start()

        def test_tidy():
            stop.set()
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        """,
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*left threads running: forgotten*"])
