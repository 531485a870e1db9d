"""The fast leaf: connections of our own over asyncio, read by httptools. asyncio only, an extra.

Rule 1: chosen by name, never by detection, so that a double of httpx catches what its test thinks.
Rule 2: a request is unsent until its bytes are given to a connection; a connection that is known to
be closed is never given any.
Rule 3: what is not the hot path goes over lanes: proxies, and answers that are read row by row.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING

from attrs import evolve

from .._errors import UsageError
from .._evidence import Phase
from .._turn import AsyncioTurn
from .._wire import Exchange, OpenAnswer, Unsent, WireRequest
from ._gate import Gate
from ._http1 import Bounds, write_out
from ._httpx import OUT_OF_TIME, deadline_of
from ._lanes import KEEPALIVE_EXPIRY, MAX_CONNECTIONS, Lanes, LaneStats, no_lane, whole
from ._logs import guard_logs
from ._loop_home import LoopHome
from ._proxies import Proxies
from ._routes import Routes
from ._security import Security

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from .._settings import Timeouts
    from ._connection import Connection
    from ._http1 import Origin
    from ._proxies import ProxySetting
    from ._security import Verify

    Dial = Callable[[Origin, ssl.SSLContext | None, float, float], Awaitable[Connection | Unsent]]


class HttptoolsTransport:
    """The fast transport, read by ``httptools`` (extra ``fast``): for asyncio, HTTP/1.1 only.

    Its promises and its settings are those of ``LaneTransport``; a message costs it a fraction of
    the CPU time, in the thread of the event loop alone. What goes through a proxy, and answers that
    come row by row, are carried by lanes, which count as connections here.

    Its connect time-out bounds the name, TCP and TLS together. An instance belongs to the event
    loop and the process of its first use.

    Raises:
        UsageError: a setting that cannot be honoured, at once; no httptools; a call on trio.
    """

    def __init__(
        self,
        *,
        max_connections: int = MAX_CONNECTIONS,
        verify: Verify = True,
        proxy: ProxySetting = None,
        trust_env: bool = True,
        keepalive_expiry: float = KEEPALIVE_EXPIRY,
    ) -> None:
        self._dial = _need_httptools()
        security = Security(verify, trust_env=trust_env)
        self._routes = Routes(security, Proxies(proxy, trust_env=trust_env), keepalive_expiry)
        self._gate = Gate(whole(max_connections), AsyncioTurn)
        self._lanes = Lanes(
            self._routes.open_lane,
            self._routes.find,
            gate=self._gate,
            keepalive_expiry=keepalive_expiry,
        )
        self._home = LoopHome("HttptoolsTransport")
        self._idle: deque[Connection] = deque()
        self._closing: set[asyncio.Future[None]] = set()
        self._discarded = 0
        self._closed = False
        guard_logs()

    def __repr__(self) -> str:
        return f"HttptoolsTransport({self.stats()!r}, {self._routes!r})"

    async def exchange(self, request: WireRequest, timeouts: Timeouts) -> Exchange:
        """Put one request on the wire and bring back what is known of it."""
        loop = self._home.enter_loop()
        if not self._routes.is_direct(request.endpoint.url):
            return await self._lanes.exchange(request, timeouts)
        if self._closed:
            raise UsageError("This transport is closed. Nothing was sent.")
        deadline = deadline_of(timeouts, loop.time())
        if not await self._gate.enter(deadline):
            return no_lane(self._gate.size, closed=self._closed)
        try:
            return await self._carry(request, timeouts, deadline, loop)
        finally:
            self._gate.leave()

    async def open(self, request: WireRequest, timeouts: Timeouts) -> OpenAnswer | Exchange:
        """Put one request on the wire and bring back the head of its answer."""
        self._home.enter_loop()
        return await self._lanes.open(request, timeouts)

    def stats(self) -> LaneStats:
        """Count the connections as they are now, the lanes among them."""
        lanes = self._lanes.stats()  # their gate is this one's
        idle = sum(connection.usable for connection in self._idle)
        return evolve(
            lanes,
            open=lanes.open + idle,
            idle=lanes.idle + idle,
            discarded=lanes.discarded + self._discarded,
        )

    async def aclose(self) -> None:
        """Close idle connections now, each busy one as its request ends; safe to call twice."""
        self._home.enter_loop()
        self._closed = True
        while self._idle:
            self._close(self._idle.pop())
        await self._lanes.aclose()
        if self._closing:
            await asyncio.wait(self._closing)

    async def _carry(
        self,
        request: WireRequest,
        timeouts: Timeouts,
        deadline: float,
        loop: asyncio.AbstractEventLoop,
    ) -> Exchange:
        """Carry one request over a connection, and keep or discard that."""
        written = write_out(request)
        now = loop.time()
        if now >= deadline:  # there was none, or its turn came as it ran out
            return Unsent(Phase.LANE, OUT_OF_TIME, timed_out=True)
        found: Connection | Unsent | None = self._take(written.origin, now)
        if found is None:
            found = await self._connect(written.origin, timeouts, deadline, loop)
        if isinstance(found, Unsent):
            return found
        bounds = Bounds(
            request.endpoint.dialect.max_response_bytes,
            _endless(timeouts.read),
            _endless(timeouts.write),
            deadline,
        )
        try:
            return await found.ask(written, bounds)
        finally:
            self._put_back(found)

    def _take(self, origin: Origin, now: float) -> Connection | None:
        """Take the connection used last; one that leads elsewhere makes room for a new one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.fits(origin, now, self._routes.keepalive_expiry):
                return connection
            self._discard(connection)
            if connection.origin != origin:
                break
        return None

    async def _connect(
        self,
        origin: Origin,
        timeouts: Timeouts,
        deadline: float,
        loop: asyncio.AbstractEventLoop,
    ) -> Connection | Unsent:
        """Make a connection, for as long as there is time to send something over it."""
        context = self._routes.context() if origin.secure else None
        found: Connection | Unsent | None = None
        try:
            found = await self._dial(origin, context, _endless(timeouts.connect), deadline)
        finally:
            self._discarded += found is None or isinstance(found, Unsent)
        if not isinstance(found, Unsent) and loop.time() >= deadline:
            self._discard(found)
            return Unsent(Phase.CONNECT, OUT_OF_TIME, timed_out=True)
        return found

    def _put_back(self, connection: Connection) -> None:
        if connection.usable and not self._closed:
            self._idle.append(connection)
            longest = self._idle[0]  # it goes once it is past its time
            if connection.idle_since - longest.idle_since > self._routes.keepalive_expiry:
                self._discard(self._idle.popleft())
        else:
            self._discard(connection)

    def _discard(self, connection: Connection) -> None:
        self._discarded += 1
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        connection.close()
        if not connection.lost.done():
            self._closing.add(connection.lost)
            connection.lost.add_done_callback(self._closing.discard)


def _endless(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds


def _need_httptools() -> Dial:
    """Load what needs the extra."""
    try:
        from ._dial import dial
    except ImportError:
        problem = UsageError(
            "HttptoolsTransport needs httptools and aiohappyeyeballs, which are not installed. "
            "Install them with: pip install 'aldeamo-async[fast]'"
        )
    else:
        return dial
    raise problem
