"""A rendered request in the shape that httpx wants.

Rule: no name in this module is ever bound to something whose repr shows the key.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import httpx

from .._errors import UsageError

if TYPE_CHECKING:
    from .._settings import Timeouts
    from .._wire import Rendered, WireRequest
    from ._witness import Witness

USER_AGENT: Final = f"aldeamo-async/{version('aldeamo-async')}"
# gzip alone: a long list shrinks tenfold, and one coding leaves nothing to guess. The answer's size
# is capped after decoding, so a decompression bomb is cut as any other answer that is too large.
ALWAYS: Final = (
    (b"User-Agent", USER_AGENT.encode("ascii")),
    (b"Accept-Encoding", b"gzip"),
)


class _MaskedRequest(httpx.Request):
    """An ``httpx.Request`` whose repr leaves the URL out: it holds the key on every read."""

    def __repr__(self) -> str:
        return f"<Request({self.method!r}, '***')>"


class _Once:
    """Iterates over one chunk."""

    __slots__ = ("_left",)

    def __init__(self, chunk: bytes) -> None:
        self._left: bytes | None = chunk

    def __aiter__(self) -> _Once:
        return self

    async def __anext__(self) -> bytes:
        if self._left is None:
            raise StopAsyncIteration
        chunk, self._left = self._left, None
        return chunk


class _Body(httpx.ByteStream):
    """A body without a generator: trio warns of one that is left behind half-way."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._body = body

    def __aiter__(self) -> _Once:
        return _Once(self._body)


def outgoing(request: WireRequest, timeouts: Timeouts, witness: Witness) -> httpx.Request:
    """Render a request and dress it for httpx, with its phase time-outs and its witness."""
    problem = None
    try:
        return _dress(request.render(), {"timeout": _phases(timeouts), "trace": witness})
    except httpx.InvalidURL:
        problem = UsageError(
            f"{request.endpoint.call} makes a URL that httpx cannot open: check base_url, and use "
            "post_encoding='form' for texts of more than about 60,000 bytes. Nothing was sent."
        )
    raise problem  # outside of the handler: the exception of httpx may quote the URL


def _phases(timeouts: Timeouts) -> dict[str, float | None]:
    return {
        "connect": timeouts.connect,
        "read": timeouts.read,
        "write": timeouts.write,
        "pool": None,  # the wait for a connection is bounded by the call's own time
    }


def _dress(rendered: Rendered, extensions: dict[str, Any]) -> httpx.Request:
    request = _MaskedRequest(
        rendered.method,
        # A URL without a query holds no key, is the same for every message, and is parsed once.
        httpx.URL(rendered.url) if "?" in rendered.url else _parsed(rendered.url),
        stream=_Body(rendered.body),
        extensions=extensions,
    )
    request.headers = httpx.Headers(
        [
            (b"Host", request.url.netloc),
            *ALWAYS,
            *((name.encode("utf-8"), value.encode("utf-8")) for name, value in rendered.headers),
            *_length(rendered),
        ]
    )
    return request


def _length(rendered: Rendered) -> tuple[tuple[bytes, bytes], ...]:
    if rendered.method == "GET":
        return ()
    return ((b"Content-Length", b"%d" % len(rendered.body)),)


@lru_cache(maxsize=256)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)
