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
    from .._wire import Pairs, Rendered, WireRequest
    from ._witness import Witness

USER_AGENT: Final = f"aldeamo-async/{version('aldeamo-async')}"
# gzip alone: a long list shrinks tenfold, and one coding leaves nothing to guess. The answer's size
# is capped after decoding, so a decompression bomb is cut as any other answer that is too large.
ALWAYS: Final = (
    (b"User-Agent", USER_AGENT.encode("ascii")),
    (b"Accept-Encoding", b"gzip"),
)


# Bytes that any socket takes at once while nothing else waits in its buffer (Linux: 4.6 kB at the
# least, 16 kB where nobody asked for less), so that writing them needs no bound of its own.
_TAKEN_AT_ONCE: Final = 4_096


class _MaskedRequest(httpx.Request):
    """An ``httpx.Request`` whose repr leaves the URL out: it holds the key on every read."""

    def __init__(self, rendered: Rendered, extensions: dict[str, Any], stream: _Body) -> None:
        # All that the constructor of httpx would set here, without its copies.
        self.method = rendered.method
        # A URL without a query holds no key, is the same for every message, and is parsed once.
        self.url = httpx.URL(rendered.url) if "?" in rendered.url else _parsed(rendered.url)
        self.extensions = extensions
        self.stream = stream

    def __repr__(self) -> str:
        return f"<Request({self.method!r}, '***')>"


class _Once:
    """Iterates over one chunk, and lets a witness know when that was taken and written."""

    __slots__ = ("_left", "_witness")

    def __init__(self, chunk: bytes, witness: Witness) -> None:
        self._left: bytes | None = chunk
        self._witness = witness

    def __aiter__(self) -> _Once:
        return self

    async def __anext__(self) -> bytes:
        if self._left is None:
            self._witness.written()
            raise StopAsyncIteration
        chunk, self._left = self._left, None
        return chunk


class _Body(httpx.ByteStream):
    """A body without a generator: trio warns of one that is left behind half-way."""

    def __init__(self, body: bytes, witness: Witness) -> None:
        super().__init__(body)
        self._body = body
        self._witness = witness

    def __aiter__(self) -> _Once:
        return _Once(self._body, self._witness)


def outgoing(
    request: WireRequest, timeouts: Timeouts, witness: Witness, *, alone: bool
) -> httpx.Request:
    """Render a request and dress it for httpx, with its phase time-outs and its witness.

    ``alone`` says that its connection carries nothing else while it does.
    """
    problem = None
    try:
        return _dress(request, timeouts, witness, alone=alone)
    except httpx.InvalidURL:
        problem = UsageError(
            f"{request.endpoint.call} makes a URL that httpx cannot open: check base_url, and use "
            "post_encoding='form' for texts of more than about 60,000 bytes. Nothing was sent."
        )
    raise problem  # outside of the handler: the exception of httpx may quote the URL


def _phases(timeouts: Timeouts, *, at_once: bool) -> dict[str, float | None]:
    return {
        "connect": timeouts.connect,
        "read": timeouts.read,
        "write": None if at_once else timeouts.write,
        "pool": None,  # the wait for a connection is bounded by the call's own time
    }


def _dress(
    request: WireRequest, timeouts: Timeouts, witness: Witness, *, alone: bool
) -> httpx.Request:
    rendered = request.render()
    at_once = alone and len(rendered.url) + len(rendered.body) < _TAKEN_AT_ONCE
    extensions = {"timeout": _phases(timeouts, at_once=at_once), "trace": witness}
    dressed = _MaskedRequest(rendered, extensions, _Body(rendered.body, witness))
    # Headers that hold the key are made anew for each request; nobody keeps them.
    make = _headers if request.endpoint.dialect.auth_in.startswith("header") else _usual_headers
    length = None if rendered.method == "GET" else len(rendered.body)
    dressed.headers = httpx.Headers(make(dressed.url.netloc, rendered.headers, length))
    return dressed


def _headers(netloc: bytes, rendered: Pairs, length: int | None) -> httpx.Headers:
    return httpx.Headers(
        [
            (b"Host", netloc),
            *ALWAYS,
            *((name.encode("utf-8"), value.encode("utf-8")) for name, value in rendered),
            *(() if length is None else ((b"Content-Length", b"%d" % length),)),
        ]
    )


_usual_headers = lru_cache(maxsize=1_024)(_headers)


@lru_cache(maxsize=256)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)
