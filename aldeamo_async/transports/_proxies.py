"""Which proxy a request takes, if any.

Rule 1: the argument wins; then the environment, unless ``NO_PROXY`` names the host or the host is
this machine.
Rule 2: credentials of a proxy are shown nowhere.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias
from urllib.request import getproxies, proxy_bypass

import httpx

from .._errors import UsageError
from .._settings import is_loopback

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

ProxySetting: TypeAlias = str | httpx.Proxy | None


class Proxies:
    """Tells the proxy for a URL; each proxy is parsed once.

    ``own_socks`` is for whoever speaks SOCKS without the package that httpx needs for it.
    """

    def __init__(
        self, proxy: ProxySetting = None, *, trust_env: bool = True, own_socks: bool = False
    ) -> None:
        self._own_socks = own_socks
        self._fixed = None if proxy is None else self._parse(proxy, "proxy=")
        self._trust_env = trust_env
        self._parsed: dict[str, httpx.Proxy] = {}
        self._chosen: dict[str, httpx.Proxy | None] = {}

    def __repr__(self) -> str:
        return f"Proxies({'environment' if self._fixed is None else shown(self._fixed)})"

    def choose(self, url: str) -> httpx.Proxy | None:
        """Return the proxy for a URL; the environment is read at the first call for it."""
        if self._fixed is not None or not self._trust_env:
            return self._fixed
        if url not in self._chosen:
            self._chosen[url] = None
            with suppress(httpx.InvalidURL, UnicodeError):  # whoever writes the request will say so
                self._chosen[url] = self._from_environment(httpx.URL(url))
        return self._chosen[url]

    def _from_environment(self, url: httpx.URL) -> httpx.Proxy | None:
        # A proxy cannot reach this machine's loopback, and http:// is let through to loopback
        # alone: by way of a proxy the key would travel in the clear after all.
        if is_loopback(url.host) or proxy_bypass(url.netloc.decode("ascii")):
            return None
        found = getproxies()
        if "*" in (name.strip() for name in found.get("no", "").split(",")):
            return None
        address = found.get(url.scheme) or found.get("all")
        if not address:
            return None
        if address not in self._parsed:
            self._parsed[address] = self._parse(
                address if "://" in address else f"http://{address}", "the proxy of the environment"
            )
        return self._parsed[address]

    def _parse(self, proxy: object, what: str) -> httpx.Proxy:
        parsed = _parse(proxy, what)
        if parsed.url.scheme.startswith("socks") and not self._own_socks:
            _need_socks(what)
        return parsed


def with_context(proxy: httpx.Proxy, context: Callable[[], ssl.SSLContext]) -> httpx.Proxy:
    """Give an https:// proxy the shared context; httpcore would make one per connection."""
    if proxy.url.scheme != "https" or proxy.ssl_context is not None:
        return proxy
    return httpx.Proxy(proxy.url, auth=proxy.auth, headers=proxy.headers, ssl_context=context())


def shown(proxy: httpx.Proxy) -> str:
    """Return a proxy's address without user, password or headers."""
    return f"{proxy.url.scheme}://{proxy.url.netloc.decode('ascii')}"


def _parse(proxy: object, what: str) -> httpx.Proxy:
    """Return a proxy as httpx has it; a refusal does not repeat what may hold a password."""
    parsed = proxy if isinstance(proxy, httpx.Proxy) else None
    if isinstance(proxy, str):
        with suppress(ValueError, httpx.InvalidURL):
            parsed = httpx.Proxy(proxy)
    if parsed is None or not parsed.url.host:
        raise UsageError(
            f"{what} is not a URL such as http://proxy.example:8080 or socks5://proxy.example:1080."
        )
    return parsed


def _need_socks(what: str) -> None:
    try:
        import_module("socksio")
    except ImportError:
        missing = True
    else:
        missing = False
    if missing:
        raise UsageError(
            f"{what} is a SOCKS proxy, which needs another package: pip install 'httpx[socks]'."
        )
