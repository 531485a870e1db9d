"""Answers of HTTP/1.1, put together from what a connection brings. llhttp reads; no I/O here.

Rule 1: an answer is complete or it is none; what follows a complete one cannot change it.
Rule 2: no more than the cap is kept, before decoding and after it, and no endless head.
"""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from .._wire import WireResponse
from ._answer import decode

_HEAD_MAX: Final = 100 * 1024  # bytes before the body, news on the way included; as h11 has it
_FINAL: Final = 200  # the first status that is an answer; below it are news on the way
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


class AnswerReader:
    """Reads one answer after another from the bytes of one connection."""

    __slots__ = (
        "__weakref__",
        "_coding",
        "_framed",
        "_head",
        "_keep",
        "_max",
        "_pairs",
        "_parser",
        "_parts",
        "_size",
        "_status",
        "answer",
        "broken",
    )

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._keep = False
        self.broken = False  # whether something came that is no HTTP, or came unasked
        self.expect(0)

    @property
    def keep(self) -> bool:
        """Whether the connection may serve again, after what it has brought."""
        return self._keep and not self.broken

    def expect(self, max_bytes: int) -> None:
        """Begin to wait for an answer with a body of so many bytes at most."""
        self.answer: WireResponse | None = None
        self._max = max_bytes
        self._head: int | None = 0  # bytes so far; None once the head is complete
        self._status = 0

    def feed(self, data: bytes) -> None:
        """Take what came; then look at ``answer`` and at ``broken``."""
        if self._head is not None:
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.broken = True
        if self._head is not None and self._head > _HEAD_MAX:
            self.broken = True

    def end(self) -> None:
        """Take note that nothing more comes: some answers end with their connection."""
        self._keep = False
        if self._head is None and not self._framed and not self.broken:
            self._complete()

    # ── what llhttp calls ──

    def on_message_begin(self) -> None:
        """Begin an answer."""
        self.broken = self.broken or self.answer is not None
        self._pairs: list[tuple[str, str]] = []
        self._parts: list[bytes] = []
        self._size = 0
        self._framed = False
        self._coding: bytes | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what follows a body in chunks is none."""
        if self._head is None:
            return
        self._pairs.append((name.decode("latin-1"), value.decode("latin-1")))
        lower = name.lower()
        if lower in _FRAMING:
            self._framed = True
        elif lower == b"content-encoding":
            self._coding = value if self._coding is None else b"%s, %s" % (self._coding, value)

    def on_headers_complete(self) -> None:
        """End the head, unless it is one of those that come before the answer."""
        self._status = self._parser.get_status_code()
        if self._status >= _FINAL and self.answer is None:
            self._head = None

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body, or nothing of it any more once it is too large."""
        self._size += len(body)
        if self._size <= self._max:
            self._parts.append(body)
        elif self.answer is None:
            self.answer = self._response(None)

    def on_message_complete(self) -> None:
        """End the answer."""
        if self._status >= _FINAL and self.answer is None:
            self._keep = self._parser.should_keep_alive()
            self._complete()

    def _complete(self) -> None:
        if self.answer is None:
            coding = None if self._coding is None else self._coding.decode("latin-1")
            self.answer = self._response(decode(b"".join(self._parts), coding, self._max))

    def _response(self, body: bytes | None) -> WireResponse:
        return WireResponse(self._status, tuple(self._pairs), body or b"", oversized=body is None)
