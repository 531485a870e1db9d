"""The fast leaf: pyreqwest, a client in Rust, right behind the port. asyncio only, an extra.

Rule 1: chosen by name, never by detection, so that a double of httpx catches what its test thinks.
Rule 2: an exception of pyreqwest becomes a value within its handler and is kept by nobody: it
quotes the URL, which holds the key of every read.
Rule 3: no name is ever bound to something whose repr shows the key.
"""

from __future__ import annotations

import math
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import httpx

from .._errors import UsageError
from .._evidence import Phase
from .._settings import Timeouts, positive_seconds
from .._turn import AsyncioTurn
from .._wire import Exchange, MaybeSent, OpenAnswer, Unsent, WireRequest, WireResponse
from ._gate import Gate
from ._httpx import OUT_OF_TIME, deadline_of
from ._lanes import KEEPALIVE_EXPIRY, MAX_CONNECTIONS, LaneStats, no_lane, whole
from ._loop_home import LoopHome
from ._proxies import Proxies, ProxySetting
from ._pyreqwest_answer import read_stream
from ._pyreqwest_faults import judge
from ._pyreqwest_open import Lender, Opened, Wanted, open_stream
from ._security import Security, certificates

if TYPE_CHECKING:
    import asyncio
    import os

    from pyreqwest.client import Client
    from pyreqwest.request import StreamRequest

    from .._wire import Rendered
    from ._pyreqwest_clients import Clients

_SHOWN: Final = frozenset({"accept", "content-type"})  # headers that cannot hold the key
_LONGEST: Final = 1e9  # seconds; pyreqwest takes a timedelta, which holds no infinity


class PyreqwestTransport:
    """The fast transport, over ``pyreqwest`` (extra ``fast``): for asyncio, HTTP/1.1 only.

    Its promises are those of the default transport; a message costs it a fraction of the CPU time.
    ``verify`` is ``True`` for the certificates of the operating system (on Linux, those of
    ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` instead), the path of a PEM file or a directory of
    certificates to trust beside them, or ``False`` (with a warning); it cannot be an
    ``ssl.SSLContext``. ``proxy``, ``trust_env``, ``max_connections`` and ``keepalive_expiry`` are
    as for ``LaneTransport``.

    Two time-outs are coarser: that of a read runs from the start of a request to the head of its
    answer, then anew for each piece of the body; that of a write is kept by the kernel, on Linux.
    What is cancelled before the head of its answer frees its place at once; its connection is
    closed with the answer or the time-out. Answers that come row by row use connections of their
    own. An instance belongs to the event loop and the process of its first use.

    Raises:
        UsageError: a setting that cannot be honoured, at once; no pyreqwest; a call on trio.
    """

    def __init__(
        self,
        *,
        max_connections: int = MAX_CONNECTIONS,
        verify: bool | str | os.PathLike[str] = True,
        proxy: ProxySetting = None,
        trust_env: bool = True,
        keepalive_expiry: float = KEEPALIVE_EXPIRY,
    ) -> None:
        clients = _need_pyreqwest()
        _refuse_contexts(verify, proxy)
        self._security = Security(verify)
        self._proxies = Proxies(proxy, trust_env=trust_env, own_socks=True)
        self._max = whole(max_connections)
        self._clients = clients(
            certificates(verify),
            self._proxies,
            verified=verify is not False,
            max_idle=self._max,
            keepalive_expiry=positive_seconds("keepalive_expiry", keepalive_expiry),
        )
        self._fault = clients.fault
        self._lender = Lender(clients.fault, self._give_back)
        self._gate = Gate(self._max, AsyncioTurn)
        self._home = LoopHome("PyreqwestTransport")
        self._discarded = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"PyreqwestTransport({self.stats()!r}, {self._security!r}, {self._proxies!r})"

    async def exchange(self, request: WireRequest, timeouts: Timeouts) -> Exchange:
        """Put one request on the wire and bring back what is known of it."""
        loop = self._home.enter_loop()
        deadline = self._due(timeouts, loop)
        if isinstance(deadline, Unsent):
            return deadline
        if not await self._gate.enter(deadline):
            return no_lane(self._max, closed=self._closed)
        try:
            return await self._carry(request, timeouts, deadline, loop)
        finally:
            self._leave()

    async def open(self, request: WireRequest, timeouts: Timeouts) -> OpenAnswer | Exchange:
        """Put one request on the wire and bring back the head of its answer."""
        loop = self._home.enter_loop()
        deadline = self._due(timeouts, loop)
        if isinstance(deadline, Unsent):
            return deadline
        if not await self._gate.enter(deadline):
            return no_lane(self._max, closed=self._closed)
        kept = fit = False
        try:
            answer = await self._carry_open(request, timeouts, deadline, loop)
            kept = isinstance(answer, Opened)
            fit = isinstance(answer, WireResponse) and not answer.oversized
        finally:
            if not kept:
                self._give_back(fit)
        return answer

    def stats(self) -> LaneStats:
        """Count the requests as they are now.

        The idle connections are those of pyreqwest, which does not count them: ``idle`` is 0, and
        ``open`` the same as ``busy``.
        """
        busy = self._gate.busy
        return LaneStats(self._max, busy, 0, busy, self._gate.waiting, self._discarded)

    async def aclose(self) -> None:
        """Close idle connections now, each busy one as its request ends; safe to call twice."""
        self._home.enter_loop()
        self._closed = True
        self._gate.send_away()
        self._clients.forget()

    def _due(self, timeouts: Timeouts, loop: asyncio.AbstractEventLoop) -> float | Unsent:
        """Return when the call's time is over, if it is not over yet."""
        if self._closed:
            raise UsageError("This transport is closed. Nothing was sent.")
        if timeouts.total is not None and timeouts.total <= 0:
            return Unsent(Phase.LANE, OUT_OF_TIME, timed_out=True)
        return deadline_of(timeouts, loop.time())

    async def _carry(
        self,
        request: WireRequest,
        timeouts: Timeouts,
        deadline: float,
        loop: asyncio.AbstractEventLoop,
    ) -> Exchange:
        """Carry one request, and say what is known of it."""
        left = deadline - loop.time()
        if left <= 0:  # its turn came in the moment in which its time ran out
            return Unsent(Phase.LANE, OUT_OF_TIME, timed_out=True)
        client = self._clients.find(request.endpoint.url, timeouts, left)
        stream = _dress(request, client, left)
        answer: WireResponse | None = None
        verdict: Unsent | MaybeSent | None = None
        try:
            answer = await read_stream(stream, request.endpoint.dialect.max_response_bytes)
        except self._fault as error:
            # A request that hyper cannot write at all is the one of them that is a ValueError too.
            if not isinstance(error, ValueError):
                verdict = judge(error, out_of_time=loop.time() >= deadline)
        finally:
            self._discarded += answer is None or answer.oversized
        if answer is not None:
            return answer
        if verdict is None:
            raise _unfit(request)
        return verdict

    async def _carry_open(
        self,
        request: WireRequest,
        timeouts: Timeouts,
        deadline: float,
        loop: asyncio.AbstractEventLoop,
    ) -> Opened | Exchange:
        """Carry one request as far as the head of its answer."""
        left = deadline - loop.time()
        if left <= 0:
            return Unsent(Phase.LANE, OUT_OF_TIME, timed_out=True)
        client = self._clients.find(request.endpoint.url, timeouts, left, patient=True)
        stream = _dress(request, client, math.inf, ahead=False)
        wanted = Wanted(request.endpoint.dialect.max_response_bytes, timeouts.read, deadline)
        answer = await open_stream(stream, wanted, self._lender)
        if answer is None:
            raise _unfit(request)
        return answer

    def _give_back(self, fit: bool) -> None:
        """Take back the place of an answer that was open, or never came."""
        self._discarded += not fit
        self._leave()

    def _leave(self) -> None:
        self._gate.leave()
        if self._closed:
            self._clients.forget()


def _dress(
    request: WireRequest, client: Client, left: float, *, ahead: bool = True
) -> StreamRequest:
    """Render a request and dress it for pyreqwest.

    ``ahead`` lets it read up to 64 KiB of the body before it hands over the head: all of most.
    """
    rendered = request.render()
    try:
        return _built(rendered, client, left, ahead=ahead)
    except ValueError:
        problem = _unfit(request)
    raise problem  # outside of the handler: the exception may quote the URL


def _built(rendered: Rendered, client: Client, left: float, *, ahead: bool) -> StreamRequest:
    builder = client.request(rendered.method, rendered.url)
    for name, value in rendered.headers:
        builder = builder.header(name, value, is_sensitive=name not in _SHOWN)
    if rendered.body:
        # As text, which is copied: of bytes pyreqwest keeps Python's own, and a thread of Rust that
        # lets go of them while the interpreter ends aborts the process.
        builder = builder.body_text(rendered.body.decode())
    elif rendered.method != "GET":
        builder = builder.header("content-length", "0")
    if left < math.inf:
        builder = builder.timeout(timedelta(seconds=min(left, _LONGEST)))
    if not ahead:
        builder = builder.streamed_read_buffer_limit(0)
    return builder.build_streamed()


def _unfit(request: WireRequest) -> UsageError:
    return UsageError(
        f"{request.endpoint.call} makes a URL or a header that pyreqwest cannot write: check "
        "base_url and the key, and use post_encoding='form' for texts of more than about 60,000 "
        "bytes. Nothing was sent."
    )


def _refuse_contexts(verify: object, proxy: ProxySetting) -> None:
    contexts = (verify, proxy.ssl_context if isinstance(proxy, httpx.Proxy) else None)
    if any(isinstance(context, ssl.SSLContext) for context in contexts):
        raise UsageError(
            "PyreqwestTransport does not use Python's TLS and cannot honour an ssl.SSLContext; "
            "pass verify= the path of a PEM file or of a directory of certificates."
        )


def _need_pyreqwest() -> type[Clients]:
    """Load what needs the extra."""
    try:
        from ._pyreqwest_clients import Clients
    except ImportError:
        problem = UsageError(
            "PyreqwestTransport needs pyreqwest, which is not installed. "
            "Install it with: pip install 'aldeamo-async[fast]'"
        )
    else:
        return Clients
    raise problem
