"""Where a request goes, by TLS or not, over which proxy, and the httpx transport for it.

Rule: nothing is read from files or the environment before the first request that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from attrs import frozen

from .._settings import positive_seconds
from ._proxies import with_context
from ._security import trusting_nobody

if TYPE_CHECKING:
    import ssl

    from ._proxies import Proxies
    from ._security import Security


@frozen
class Route:
    """What a connection is made for: TLS or not, and over which proxy. It serves no other."""

    secure: bool
    proxy: httpx.Proxy | None


class Routes:
    """What the settings of a transport mean for each URL. ``keepalive_expiry`` is in seconds."""

    def __init__(self, security: Security, proxies: Proxies, keepalive_expiry: float) -> None:
        self._security = security
        self._proxies = proxies
        self.keepalive_expiry = positive_seconds("keepalive_expiry", keepalive_expiry)
        self._limits = httpx.Limits(
            max_connections=1, max_keepalive_connections=1, keepalive_expiry=keepalive_expiry
        )

    def __repr__(self) -> str:
        return f"{self._security!r}, {self._proxies!r}"

    def find(self, url: str) -> Route:
        """Return the route of a URL."""
        return Route(url.startswith("https:"), self._proxies.choose(url))

    def is_direct(self, url: str) -> bool:
        """Whether a URL is reached without a proxy."""
        return self._proxies.choose(url) is None

    def context(self) -> ssl.SSLContext:
        """Return the TLS context that all connections share."""
        return self._security.context()

    def open_lane(self, route: Route) -> httpx.AsyncHTTPTransport:
        """Make a lane: an httpx transport of a single connection."""
        return httpx.AsyncHTTPTransport(
            verify=self.context() if route.secure else trusting_nobody(),
            trust_env=False,
            limits=self._limits,
            proxy=route.proxy and with_context(route.proxy, self.context),
        )
