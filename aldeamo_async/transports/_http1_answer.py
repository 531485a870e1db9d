"""Answers of HTTP/1.1, put together from what a connection brings. llhttp reads; no I/O here.

Rule 1: an answer is complete or it is none; what follows a complete one cannot change it.
Rule 2: no more than the cap is kept, before decoding and after it, and no endless head or trailer.
Rule 3: what could be read in two ways is not read at all.
"""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from .._wire import WireResponse
from ._answer import decode

# Bytes in a row that are not of a body: heads, news on the way, trailers. The bound is that of h11.
_BARE_MAX: Final = 100 * 1024
_FINAL: Final = 200  # the first status that is an answer; below it are news on the way


class AnswerReader:
    """Reads one answer after another from the bytes of one connection."""

    __slots__ = (
        "_answer",
        "_bare",
        "_coding",
        "_framed",
        "_in_head",
        "_keep",
        "_max",
        "_pairs",
        "_parser",
        "_parts",
        "_size",
        "_status",
        "_wanted",
        "broken",
    )

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self.broken = False  # whether something came that is no answer, or that nobody asked for
        self.expect(0)
        self._wanted = False

    @property
    def keep(self) -> bool:
        """Whether the connection may serve again, after what it has brought."""
        return self._keep and not self.broken

    def expect(self, max_bytes: int) -> None:
        """Begin to wait for an answer with a body of so many bytes at most."""
        self._wanted = True
        self._answer: WireResponse | None = None
        self._max = max_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._bare = 0
        self._in_head = True
        self._keep = False

    def feed(self, data: bytes) -> WireResponse | None:
        """Take what came; return the answer that it completes. Without one look at ``broken``."""
        size = self._size
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._give_up()
        self._bare = self._bare + len(data) if self._size == size else 0
        if self._bare > _BARE_MAX:
            self._give_up()
        return self._take()

    def end(self) -> WireResponse | None:
        """Take note that nothing more comes: some answers end with their connection."""
        if self._wanted and not self._in_head and not self._framed:
            self._finish()
        return self._take()

    def _take(self) -> WireResponse | None:
        answer, self._answer = self._answer, None
        return answer

    def _give_up(self) -> None:
        self.broken = True
        self._wanted = False

    # ── what llhttp calls ──

    def on_message_begin(self) -> None:
        """Begin an answer."""
        if not self._wanted:
            self.broken = True
        self._pairs: list[tuple[str, str]] = []
        self._framed = False
        self._coding: bytes | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what follows a body in chunks is none."""
        if not self._in_head:
            return
        value = value.rstrip(b" \t")
        self._pairs.append((name.decode("latin-1"), value.decode("latin-1")))
        lower = name.lower()
        if lower == b"content-length":
            self._framed = True
        elif lower == b"content-encoding":
            self._coding = value if self._coding is None else b"%s, %s" % (self._coding, value)
        elif lower == b"transfer-encoding":
            # llhttp undoes "gzip, chunked" and "chunked" twice by one half.
            if self._framed or value.lower() != b"chunked":
                self._give_up()
            self._framed = True

    def on_headers_complete(self) -> None:
        """End the head, unless it is one of those that come before the answer."""
        self._status = self._parser.get_status_code()
        self._in_head = self._in_head and self._status < _FINAL

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body, or nothing of it any more once it is too large."""
        self._size += len(body)
        if self._in_head:  # llhttp lets some news on the way have one
            self._give_up()
        elif self._size <= self._max:
            self._parts.append(body)
        elif self._wanted:
            self._put_together(None)

    def on_message_complete(self) -> None:
        """End the answer."""
        if self._wanted and not self._in_head:
            self._keep = self._parser.should_keep_alive()
            self._finish()

    def _finish(self) -> None:
        coding = None if self._coding is None else self._coding.decode("latin-1")
        self._put_together(decode(b"".join(self._parts), coding, self._max))

    def _put_together(self, body: bytes | None) -> None:
        self._wanted = False
        self._parts = []
        self._answer = WireResponse(
            self._status, tuple(self._pairs), body or b"", oversized=body is None
        )
