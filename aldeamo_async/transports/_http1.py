"""A request as the bytes of HTTP/1.1, and where they go.

Rule: no name in this module is ever bound to something whose repr shows the key.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import httpx
from attrs import field, frozen

from .._errors import UsageError
from ._outgoing import ALWAYS

if TYPE_CHECKING:
    from .._wire import Rendered, WireRequest

_PORTS: Final = {"http": 80, "https": 443}
_URL_MAX: Final = 65_536  # characters, as httpx has it; no server takes more
_FIXED: Final = b"".join(b"%s: %s\r\n" % header for header in ALWAYS)


@frozen
class Origin:
    """Where a connection leads."""

    host: str
    port: int
    secure: bool


@frozen
class Written:
    """A request written out, and where it goes; the bytes hold the key."""

    origin: Origin
    data: bytes = field(repr=False)


@frozen
class Bounds:
    """What one exchange may take: bytes of a body, seconds for a phase, a time on the clock."""

    max_bytes: int
    read: float
    write: float
    deadline: float


@frozen
class _Target:
    """What the URL of a call says, ready to be written."""

    origin: Origin
    path: bytes
    lines: bytes  # the headers that every request to this host begins with


def write_out(request: WireRequest) -> Written:
    """Render a request and write it out. Keep nothing of what this returns."""
    url = request.endpoint.url  # without a query: it holds no key, and is the same for many
    try:
        target = _parse(url)
        return Written(target.origin, _write(request.render(), target, len(url)))
    except (httpx.InvalidURL, OverflowError):
        problem = UsageError(
            f"{request.endpoint.call} makes a URL that cannot be opened: check base_url, and use "
            "post_encoding='form' for texts of more than about 60,000 bytes. Nothing was sent."
        )
    raise problem  # outside of the handler: the exception may quote the URL


def _write(rendered: Rendered, target: _Target, query: int) -> bytes:
    """Write a request out; ``query`` is where its query begins in its URL."""
    if len(rendered.url) > _URL_MAX:
        raise OverflowError
    # Nothing here can break out of its line: names and queries are plain, and a key is printable.
    return b"%s %s%s HTTP/1.1\r\n%s%s%s\r\n%s" % (
        rendered.method.encode(),
        target.path,
        rendered.url[query:].encode(),
        target.lines,
        "".join([f"{name}: {value}\r\n" for name, value in rendered.headers]).encode(),
        b"" if rendered.method == "GET" else b"Content-Length: %d\r\n" % len(rendered.body),
        rendered.body,
    )


@lru_cache(maxsize=256)
def _parse(url: str) -> _Target:
    parsed = httpx.URL(url)
    secure = parsed.scheme == "https"
    host = parsed.raw_host.decode("ascii")
    origin = Origin(host, parsed.port or _PORTS[parsed.scheme], secure)
    return _Target(origin, parsed.raw_path, b"Host: %s\r\n%s" % (parsed.netloc, _FIXED))
