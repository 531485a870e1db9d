"""What a network can do to a request, in words that hold nothing private.

Rule 1: only what is listed here counts as the network's doing; everything else is a bug and
propagates.
Rule 2: the words are ours or the operating system's. The text of an exception is never quoted: h11
quotes the bytes it choked on, a proxy writes its own sentence, and either may hold the key.
"""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from importlib import import_module
from typing import Final

import anyio
import httpx

from .._evidence import Phase


def socks_faults() -> tuple[type[Exception], ...]:
    """Return what httpcore lets through of a SOCKS proxy that breaks off, where that is spoken."""
    with suppress(ImportError):
        return (import_module("socksio").ProtocolError,)
    return ()


# What the transport layer of httpx may raise, and what is known to slip through it.
# httpx.StreamClosed is the one StreamError that a network can cause; the others, CookieConflict and
# InvalidURL are mistakes of a caller.
FAULTS: Final[tuple[type[Exception], ...]] = (
    httpx.HTTPError,
    httpx.StreamClosed,
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    OSError,  # ssl.SSLError, socket.gaierror, ConnectionError and TimeoutError among them
    *socks_faults(),
)

_MEANINGS: Final[dict[type[Exception], str]] = {
    httpx.ConnectTimeout: "no connection within the connect time-out",
    httpx.ReadTimeout: "no answer within the read time-out",
    httpx.WriteTimeout: "the request could not be written within the write time-out",
    httpx.PoolTimeout: "no free connection in the pool",
    httpx.TimeoutException: "a time-out ran out",
    httpx.ConnectError: "no connection could be made",
    httpx.ReadError: "the connection broke while the answer was awaited",
    httpx.WriteError: "the connection broke while the request was written",
    httpx.CloseError: "the connection could not be closed",
    httpx.NetworkError: "the network failed",
    httpx.ProxyError: "the proxy refused, or could not reach the server",
    httpx.UnsupportedProtocol: "the URL or the proxy asks for a protocol that httpx does not speak",
    httpx.LocalProtocolError: "the request is not valid HTTP",
    httpx.RemoteProtocolError: "the server closed the connection early or broke the HTTP protocol",
    httpx.ProtocolError: "the HTTP protocol was broken",
    httpx.TransportError: "the transport failed",
    httpx.DecodingError: "the answer could not be decoded",
    httpx.TooManyRedirects: "the transport followed redirects without an end",
    httpx.RequestError: "the request failed",
    httpx.HTTPStatusError: "the transport raised an HTTP status instead of returning it",
    httpx.HTTPError: "the request failed",
    httpx.StreamClosed: "the answer was closed before it was read",
    anyio.EndOfStream: "the connection ended",
    anyio.BrokenResourceError: "the connection broke",
    anyio.ClosedResourceError: "the connection was closed",
    ssl.SSLError: "TLS failed",
    OSError: "the operating system reported an error",
}

# A guess for the report alone, where the transport left no trace of it; it never decides whether
# something was sent.
_PHASES: Final[dict[type[Exception], Phase]] = {
    httpx.PoolTimeout: Phase.LANE,
    httpx.ConnectTimeout: Phase.CONNECT,
    httpx.ConnectError: Phase.CONNECT,
    httpx.ProxyError: Phase.CONNECT,
    httpx.UnsupportedProtocol: Phase.CONNECT,
    httpx.WriteTimeout: Phase.WRITE,
    httpx.WriteError: Phase.WRITE,
    httpx.LocalProtocolError: Phase.WRITE,
    httpx.ReadTimeout: Phase.READ,
    httpx.ReadError: Phase.READ,
    httpx.RemoteProtocolError: Phase.READ,
}


def describe(error: BaseException) -> str:
    """Say what happened: the class, its meaning, and the cause where that is safe to tell."""
    meaning = next(
        (_MEANINGS[base] for base in type(error).__mro__ if base in _MEANINGS),
        "the proxy broke the SOCKS protocol",
    )
    detail = _root_cause(error)
    return f"{type(error).__name__}: {meaning}" + (f" ({detail})" if detail else "")


def phase_of(error: BaseException) -> Phase | None:
    """Guess a phase from an exception, where it suggests one."""
    return next((_PHASES[base] for base in type(error).__mro__ if base in _PHASES), None)


def _root_cause(error: BaseException | None) -> str:
    """Name the innermost cause that the operating system or OpenSSL words itself."""
    said, seen = "", set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        said = _system_text(error) or said
        error = _below(error)
    return said


def _below(error: BaseException) -> BaseException | None:
    # trio tries all addresses of a host and reports all failures: the first one stands for them
    group: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if group:
        return group[0]
    return error.__cause__ or error.__context__


def _system_text(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        # OpenSSL sets these; an SSLError made in Python has neither.
        said = (getattr(error, "reason", ""), getattr(error, "verify_message", ""))
        return ": ".join(filter(None, said)).replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return error.strerror or ""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return ""
