"""The default transport: lanes, each one connection of its own.

httpx walks its whole pool for every request, so its cost grows with the connections; and httpx 0.28
loses a place for good when a request is cancelled while it connects. A lane is a pool of one, so
the cost is flat, and what a cancelled or failed request leaves behind is thrown away with its lane.
Rule 1: the gate is the pool: as many lanes as places, made on demand, the last one used first.
Rule 2: a lane comes back only after a complete answer.
"""

from __future__ import annotations

from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import anyio
import httpx
from anyio.lowlevel import current_token
from attrs import define, frozen

from .._errors import UsageError
from .._evidence import Phase
from .._home import Home
from .._wire import Exchange, OpenAnswer, Unsent, WireRequest, WireResponse
from ._answer import close_quietly, read_answer
from ._deadlines import Deadlines, deadlines_of
from ._gate import Gate
from ._httpx import OUT_OF_TIME, deadline_of, drive
from ._logs import guard_logs
from ._proxies import Proxies
from ._routes import Route, Routes
from ._security import Security
from ._streamed import Streamed, stream_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._settings import Timeouts
    from ._proxies import ProxySetting
    from ._security import Verify

MAX_CONNECTIONS: Final = 100  # as httpx; above it two cores gain nothing
# Seconds that an unused connection is kept. Common servers close theirs after 5 (Apache, Node) or
# more; a request that meets such a close on its way is neither sent nor unsent, so the first to let
# go should be this side.
KEEPALIVE_EXPIRY: Final = 4.0


@frozen
class LaneStats:
    """A look at the lanes: how they are used, and how many were thrown away so far."""

    max_connections: int
    open: int
    idle: int
    busy: int
    waiting: int
    discarded: int


@define(eq=False)
class _Lane:
    inner: httpx.AsyncBaseTransport
    route: Route
    used_at: float = 0.0


class Lanes:
    """Lanes over any kind of httpx transport that ``open_lane`` makes for a route."""

    def __init__(
        self,
        open_lane: Callable[[Route], httpx.AsyncBaseTransport],
        find_route: Callable[[str], Route],
        *,
        gate: Gate,
        keepalive_expiry: float,
    ) -> None:
        self._open_lane = open_lane
        self._find_route = find_route
        self._gate = gate
        self._expiry = keepalive_expiry
        self._idle: deque[_Lane] = deque()
        self._unfit: deque[tuple[Streamed, _Lane]] = deque()
        self._discarded = 0
        self._closed = False

    @cached_property
    def _time(self) -> Deadlines:
        return deadlines_of(current_token())  # from the event loop of the first request

    def stats(self) -> LaneStats:
        """Count the lanes as they are now."""
        return LaneStats(
            max_connections=self._gate.size,
            open=len(self._idle) + self._gate.busy,
            idle=len(self._idle),
            busy=self._gate.busy,
            waiting=self._gate.waiting,
            discarded=self._discarded,
        )

    async def exchange(self, request: WireRequest, timeouts: Timeouts) -> Exchange:
        """Take a lane, carry the request over it, and give the lane back or throw it away."""
        deadline = await self._enter(timeouts)
        if isinstance(deadline, Unsent):
            return deadline
        lane, fit = None, False
        scope = self._time.begin(deadline)
        try:
            lane = await self._take(self._find_route(request.endpoint.url))
            result = await drive(lane.inner, request, timeouts, scope, read_answer)
            fit = isinstance(result, WireResponse) and not self._closed
        finally:
            self._time.end(scope)
            try:
                if lane is not None:
                    await self._put_back(lane, fit=fit)
            finally:
                self._gate.leave()
        return result

    async def open(self, request: WireRequest, timeouts: Timeouts) -> OpenAnswer | Exchange:
        """Take a lane and carry the request over it; the lane stays with the open answer."""
        deadline = await self._enter(timeouts)
        if isinstance(deadline, Unsent):
            return deadline
        kept = False
        try:
            answer = await self._carry_open(request, timeouts, deadline)
            kept = isinstance(answer, Streamed)
        finally:
            if not kept:
                self._gate.leave()
        return answer

    async def _enter(self, timeouts: Timeouts) -> float | Unsent:
        """Take a place; return when the call's time is over."""
        if self._closed:
            raise UsageError("This transport is closed. Nothing was sent.")
        if timeouts.total is not None and timeouts.total <= 0:
            return Unsent(Phase.LANE, OUT_OF_TIME, timed_out=True)
        deadline = deadline_of(timeouts, self._time.now())
        if not await self._gate.enter(deadline):
            return no_lane(self._gate.size, closed=self._closed)
        return deadline

    async def _carry_open(
        self, request: WireRequest, timeouts: Timeouts, deadline: float
    ) -> Streamed | Exchange:
        lane = await self._take(self._find_route(request.endpoint.url))

        async def finish(response: httpx.Response, request: WireRequest) -> Streamed | WireResponse:
            return await stream_answer(response, request, _Lent(self, lane))

        kept = False
        try:
            scope = anyio.CancelScope(deadline=deadline)
            answer = await drive(lane.inner, request, timeouts, scope, finish)
            kept = isinstance(answer, Streamed)
        finally:
            if not kept:
                await self._discard(lane)
        return answer

    def give_back(self, answer: Streamed, lane: _Lane, *, fit: bool) -> None:
        """Take back the lane and the place of an answer that was open."""
        if fit and not self._closed:
            lane.used_at = self._time.now()
            self._idle.append(lane)
        else:
            self._unfit.append((answer, lane))
        self._gate.leave()

    async def sweep(self) -> None:
        """Close what open answers left behind."""
        while self._unfit:
            answer, lane = self._unfit.popleft()
            await answer.shut()
            await self._discard(lane)

    async def _take(self, route: Route) -> _Lane:
        """Take the lane used last; one made for another route makes room for a new one."""
        if self._unfit:
            await self.sweep()
        if self._idle:
            lane = self._idle.pop()
            if lane.route == route:
                return lane
            await self._discard(lane)
        return _Lane(self._open_lane(route), route)

    async def _put_back(self, lane: _Lane, *, fit: bool) -> None:
        """Keep a lane that is fit; close it otherwise, and the one that was idle too long."""
        if fit:
            lane.used_at = self._time.now()
            self._idle.append(lane)
            if lane.used_at - self._idle[0].used_at <= self._expiry:
                return
            lane = self._idle.popleft()
        await self._discard(lane)

    async def _discard(self, lane: _Lane) -> None:
        self._discarded += 1
        await close_quietly(lane.inner)

    async def aclose(self) -> None:
        """Close the idle lanes now and each busy one as its request ends; safe to call twice."""
        self._closed = True
        self._gate.send_away()
        await self.sweep()
        while self._idle:
            await close_quietly(self._idle.pop().inner)


@frozen
class _Lent:
    """A lane that an open answer has taken."""

    lanes: Lanes
    lane: _Lane

    def give_back(self, answer: Streamed, *, fit: bool) -> None:
        self.lanes.give_back(answer, self.lane, fit=fit)

    async def sweep(self) -> None:
        await self.lanes.sweep()


class LaneTransport(Lanes):
    """The default transport: up to ``max_connections`` lanes over ``httpx.AsyncHTTPTransport``.

    ``verify`` is ``True``, the path of a PEM file or of a directory of certificates, an
    ``ssl.SSLContext`` with TLS 1.2 as its floor, or ``False`` (with a warning). ``proxy`` is a URL
    (``http``, ``https``, ``socks5``) or an ``httpx.Proxy``; without it, and with ``trust_env``,
    ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are heeded, never for this
    machine itself. ``keepalive_expiry`` is in seconds.

    HTTP/1.1 only: a lane carries one request at a time, so HTTP/2 would add nothing but its own
    ways to fail. An instance belongs to the event loop and the process of its first use.
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
        security = Security(verify, trust_env=trust_env)
        self._routes = Routes(security, Proxies(proxy, trust_env=trust_env), keepalive_expiry)
        self._home = Home("transport")
        super().__init__(
            self._routes.open_lane,
            self._routes.find,
            gate=Gate(whole(max_connections)),
            keepalive_expiry=keepalive_expiry,
        )
        guard_logs()

    def __repr__(self) -> str:
        return f"LaneTransport({self.stats()!r}, {self._routes!r})"

    async def _enter(self, timeouts: Timeouts) -> float | Unsent:
        self._home.enter()
        return await super()._enter(timeouts)

    async def aclose(self) -> None:
        """Close idle connections now, each busy one as its request ends; safe to call twice."""
        self._home.enter()
        await super().aclose()


def no_lane(max_connections: int, *, closed: bool) -> Unsent:
    """Say why a request that stood in line got no connection."""
    if closed:
        return Unsent(
            Phase.LANE, "the transport was closed while this request waited for a connection"
        )
    return Unsent(Phase.LANE, f"all {max_connections} connections are busy", timed_out=True)


def whole(count: Any) -> int:
    """Check that a limit is a whole number above zero."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UsageError(f"max_connections must be a whole number above 0, not {count!r}.")
    return count
