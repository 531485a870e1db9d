"""httpcore's debug log, without what must not stand in it.

httpcore logs the headers of every answer (a redirect may repeat the URL with the key) and, for a
SOCKS proxy, its credentials.
Rule 1: only lines written while one of our requests is under way are touched; other users of
httpcore see theirs as they were.
Rule 2: the filter is one object for the whole process; adding it again changes nothing.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from .._redact import snippet_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from .._wire import WireRequest

# A filter on a parent does not see the records of its children: each logger is named. hpack writes
# every header of an HTTP/2 request, the path with its query among them.
_LOGGERS: Final = (
    *(
        f"{package}.{layer}"
        for package in ("httpcore", "httpcore2")
        for layer in ("connection", "http11", "http2", "proxy", "socks")
    ),
    "hpack.hpack",
    "hpack.table",
)
# What the lines that are written now may show of.
under_way: ContextVar[WireRequest | None] = ContextVar("aldeamo_async_under_way", default=None)


class _Redactor(logging.Filter):
    """Blanks the key, ids and texts of the request under way, and proxy credentials."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = under_way.get()
        if request is not None:
            line = record.getMessage().partition("auth=")[
                0
            ]  # the credentials come last in a SOCKS line
            private = [value for name, value in request.params if name != "channel"]
            record.msg = snippet_of(line, key=request.secret.reveal(), private=private)
            record.args = ()
        return True


_REDACTOR: Final = _Redactor()


def guard_logs() -> None:
    """Put the filter in place."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_REDACTOR)


@contextmanager
def private_logs(request: WireRequest) -> Generator[None]:
    """Redact the log lines that are written inside."""
    token = under_way.set(request)
    try:
        yield
    finally:
        under_way.reset(token)
