"""What a failure of pyreqwest proves, read off its chain of causes.

Rule 1: the class of the exception proves nothing: pyreqwest 0.15 raises ``ConnectError`` for a
connection that broke after the whole request, and ``ConnectTimeoutError`` for an answer that never
came. Proof is the one cause with which hyper marks everything up to a ready connection.
Rule 2: no cause is quoted. The first one holds the URL, and with it the key of every read; ours and
the operating system's are the only words.
"""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING, Any, Final

import httpx

from .._evidence import Phase
from .._wire import MaybeSent, Unsent
from ._faults import describe
from ._httpx import OUT_OF_TIME

if TYPE_CHECKING:
    from collections.abc import Iterable

# hyper-util's client says this of looking a name up, of TCP, a proxy's tunnel and the TLS
# handshake, and of nothing later. A text that changes one day makes all of it maybe sent, which is
# the safe side.
UNSENT_MARK: Final = "client error (Connect)"
_ON_THE_WIRE: Final = ("client error (SendRequest)", "error reading a body from connection")
_PROXY: Final = ("tunnel error", "error connecting to socks proxy")
_SYSTEM: Final = re.compile(r"\(os error ([0-9]+)\)$")
_WORDS: Final = (
    ("dns error", "the host's name was not found"),
    ("invalid peer certificate", "certificate verify failed"),
    ("received fatal alert", "TLS failed"),
    ("peer is incompatible", "TLS failed"),
)
# What a read time-out proves that this side keeps itself.
READ_TIMED_OUT: Final = MaybeSent(Phase.READ, describe(httpx.ReadTimeout("")))


def judge(error: BaseException, *, out_of_time: bool) -> Unsent | MaybeSent:
    """Say what is known of a request that ended in ``error``, an exception of pyreqwest.

    ``out_of_time`` tells whether the call's own time was over by then.
    """
    causes = _causes(error)
    # The names are those of httpx: one vocabulary for both leaves.
    if UNSENT_MARK in causes:
        kind = _kind_of_connect(causes, late=isinstance(error, TimeoutError))
        return Unsent(Phase.CONNECT, _worded(kind, causes), timed_out=out_of_time)
    if out_of_time:
        return MaybeSent(Phase.READ, OUT_OF_TIME, timed_out=True)
    return judge_body(error)


def judge_body(error: BaseException) -> MaybeSent:
    """Say what is known of a request whose answer was on its way, in what time it may take."""
    causes = _causes(error)
    if _number(causes) == errno.ETIMEDOUT:
        return MaybeSent(Phase.WRITE, _worded(httpx.WriteTimeout, ()))
    return MaybeSent(Phase.READ, _worded(_kind_of_rest(causes, error), causes))


def _kind_of_connect(causes: list[str], *, late: bool) -> type[httpx.TransportError]:
    if late:
        return httpx.ConnectTimeout
    proxied = any(cause.startswith(_PROXY) for cause in causes)
    return httpx.ProxyError if proxied else httpx.ConnectError


def _kind_of_rest(causes: list[str], error: BaseException) -> type[httpx.TransportError]:
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout
    if _number(causes):
        return httpx.ReadError
    return httpx.RemoteProtocolError if set(_ON_THE_WIRE) & set(causes) else httpx.TransportError


def _causes(error: BaseException) -> list[str]:
    details: dict[str, Any] = getattr(error, "details", {})
    return [cause["message"] for cause in details.get("causes") or ()]


def _worded(kind: type[httpx.TransportError], causes: Iterable[str]) -> str:
    number = _number(causes)
    detail = os.strerror(number) if number else _known(causes)
    return describe(kind("")) + (f" ({detail})" if detail else "")


def _number(causes: Iterable[str]) -> int:
    """Return the operating system's number for what went wrong; 0 where it had no part in it."""
    found = next(filter(None, map(_SYSTEM.search, causes)), None)
    return int(found[1]) if found else 0


def _known(causes: Iterable[str]) -> str:
    return next((words for cause in causes for mark, words in _WORDS if cause.startswith(mark)), "")
