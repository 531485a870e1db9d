"""The pyreqwest clients behind the fast leaf: each a pool of connections with its time-outs.

pyreqwest takes the time-outs of a connect, of a read and of a write for a whole client, not for one
request, and tells nothing of a request whose total time ran out. So there is a client for each set.
Rule 1: a connect is always given up by its own time-out, the only one that proves that nothing
left; never by one that began before it.
Rule 2: HTTP/1.1, no redirect, no cookie, no referer, no decoding, TLS 1.2 at least; nothing of the
environment but what is asked for.
"""

from __future__ import annotations

import atexit
import math
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.proxy import ProxyBuilder

from .._errors import UsageError
from ._outgoing import USER_AGENT

if TYPE_CHECKING:
    import httpx

    from .._settings import Timeouts
    from ._proxies import Proxies

# The timer of a read begins with the request here, so a connect must end a little before it.
_BEFORE_READ: Final = 0.9
_MAX_CLIENTS: Final = 32  # for time-outs that differ with every call; the oldest client goes
# Seconds; a request that was cancelled before its answer began goes on in pyreqwest until this.
_MUST_END: Final = 3600.0
_FOR_EVER: Final = 1e9  # seconds; a timedelta cannot hold infinity
_PATIENCE: Final = 1.0  # seconds for the threads of Rust when the interpreter ends
_TICK: Final = 0.002  # seconds; a thread of Rust is in Python for some microseconds at a time


@atexit.register
def settle() -> None:
    """Let the threads of pyreqwest leave Python before the interpreter ends.

    One that is caught inside, waking the event loop for an answer just come, aborts the process.
    """
    patience = time.monotonic() + _PATIENCE
    time.sleep(_TICK)
    while _strangers() and time.monotonic() < patience:
        time.sleep(_TICK)


def _strangers() -> set[int]:
    """Return the threads that run Python code and were not made by Python."""
    running = sys._current_frames()  # pyright: ignore[reportPrivateUsage]
    return running.keys() - {thread.ident for thread in threading.enumerate()}


class Clients:
    """Finds the client for a request; makes it where there is none."""

    fault: Final = PyreqwestError  # every exception of pyreqwest

    def __init__(
        self,
        pems: tuple[bytes, ...],
        proxies: Proxies,
        *,
        verified: bool,
        max_idle: int,
        keepalive_expiry: float,
    ) -> None:
        self._pems = pems
        self._verified = verified
        self._proxies = proxies
        self._max_idle = max_idle
        self._expiry = keepalive_expiry
        self._made: dict[tuple[str, float | None, float | None, float | None], Client] = {}

    def find(self, url: str, timeouts: Timeouts, left: float, *, patient: bool = False) -> Client:
        """Return the client for a URL, with ``left`` seconds of the call to go.

        A ``patient`` one leaves the time of a read to its caller.
        """
        read = _MUST_END if patient and timeouts.read is not None else timeouts.read
        key = (url, _connect_seconds(timeouts, left), read, timeouts.write)
        client = self._made.get(key)
        if client is None:
            client = self._made[key] = self._usable(*key)
            if len(self._made) > _MAX_CLIENTS:
                del self._made[next(iter(self._made))]
        return client

    def forget(self) -> None:
        """Let go of all clients: idle connections close now, each busy one as its request ends."""
        self._made.clear()

    def _usable(
        self, url: str, connect: float | None, read: float | None, write: float | None
    ) -> Client:
        try:
            return self._make(url, connect, read, write)
        except ValueError:
            problem = UsageError(
                "pyreqwest cannot use what the transport was given: look at the host of the proxy "
                "and at the certificates of verify=. Nothing was sent."
            )
        raise problem  # outside of the handler: the exception may quote the proxy's password

    def _make(
        self, url: str, connect: float | None, read: float | None, write: float | None
    ) -> Client:
        """Make a client; some 20 ms, for it reads the certificates of the system."""
        builder = self._secured(ClientBuilder())
        builder = (
            builder.http1_only()
            .follow_redirects(False)
            .referer(False)
            .default_cookie_store(False)
            .gzip(False)
            .brotli(False)
            .zstd(False)
            .deflate(False)
            .no_proxy()
            .user_agent(USER_AGENT)
            .default_headers([("accept-encoding", "gzip")])
            .pool_idle_timeout(_seconds(self._expiry))
            .pool_max_idle_per_host(self._max_idle)
        )
        if connect is not None:
            builder = builder.connect_timeout(_seconds(connect))
        if read is not None:
            builder = builder.read_timeout(_seconds(read))
        if write is not None and sys.platform == "linux":
            # What the server does not take is given up by the kernel; elsewhere by the read's time.
            builder = builder.tcp_user_timeout(_seconds(write))
        return _proxied(builder, self._proxies.choose(url)).build()

    def _secured(self, builder: ClientBuilder) -> ClientBuilder:
        builder = builder.min_tls_version("TLSv1.2")
        for pem in self._pems:
            builder = builder.add_root_certificate_pem(pem)
        return builder if self._verified else builder.danger_accept_invalid_certs(True)


def _seconds(number: float) -> timedelta:
    """Return a time for pyreqwest."""
    return timedelta(seconds=min(number, _FOR_EVER))


def _connect_seconds(timeouts: Timeouts, left: float) -> float | None:
    """Bound the connect by what else could end it first.

    What is left of a call differs each time, and a client per number would share no connection: so
    it is rounded down to a power of two.
    """
    connect, read = timeouts.connect, timeouts.read
    if read is not None and (connect is None or connect >= read):
        connect = read * _BEFORE_READ
    if left == math.inf or (connect is not None and connect < left):
        return connect
    return 2.0 ** math.floor(math.log2(left * _BEFORE_READ))


def _proxied(builder: ClientBuilder, proxy: httpx.Proxy | None) -> ClientBuilder:
    if proxy is None:
        return builder
    url = proxy.url
    user = ":".join(quote(part, safe="") for part in proxy.auth) + "@" if proxy.auth else ""
    chosen = ProxyBuilder.all(f"{url.scheme}://{user}{url.netloc.decode('ascii')}")
    if proxy.headers:
        chosen = chosen.headers(proxy.headers.multi_items())
    return builder.proxy(chosen)
