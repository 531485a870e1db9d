"""Decipher what a transport brought back: one exchange to one finding.

Rule 1: the verdict rests on evidence, status and envelope, in this order, and on nothing else.
Rule 2: a server's own words are shown without the key, numbers or the message's text.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from .._codec import Codec, Envelope, Malformed
from .._errors import ApiError, AuthError, RateLimited, UnexpectedResponse
from .._evidence import Evidence, Phase
from .._redact import snippet_of
from .._retry import Verdict, judge_status, parse_retry_after
from ._port import Exchange, Unsent, WireResponse
from ._request import WireRequest

_SNIPPET_BYTES: Final = 2000  # enough to cut one line from; an error page can be megabytes
_AUTH_STATUSES: Final = frozenset({401, 403})
_AUTH_WORDS: Final = re.compile(r"\b(invalid|missing|wrong|unknown|expired)\b.*\b(api[ _-]?key|token|auth)\b", re.IGNORECASE)


@frozen
class Finding:
    """What one attempt came to. ``envelope`` is there for ``OK``, ``error`` for an answer that is no success."""

    verdict: Verdict
    evidence: Evidence
    phase: Phase
    reason: str
    status: int | None = None
    retry_after: float | None = None
    timed_out: bool = False
    envelope: Envelope | None = None
    error: ApiError | UnexpectedResponse | None = None


def unsent(phase: Phase, reason: str, *, timed_out: bool) -> Finding:
    """Make the finding of an attempt that never left."""
    return Finding(Verdict.UNSENT, Evidence.UNSENT, phase, reason, timed_out=timed_out)


def decipher(request: WireRequest, exchange: Exchange, codec: Codec, now: datetime) -> Finding:
    """Judge one exchange. ``now`` is the wall clock (aware), for dates in ``Retry-After``."""
    if isinstance(exchange, WireResponse):
        return _judge(request, exchange, codec, now)
    if isinstance(exchange, Unsent):
        return unsent(exchange.phase, exchange.reason, timed_out=exchange.timed_out)
    return Finding(
        Verdict.UNKNOWN, Evidence.MAYBE_SENT, exchange.phase, exchange.reason, timed_out=exchange.timed_out
    )


def _judge(request: WireRequest, answer: WireResponse, codec: Codec, now: datetime) -> Finding:
    retry_after = parse_retry_after(answer.header("retry-after"), date=answer.header("date"), now=now)
    verdict = judge_status(answer.status, retry_after=retry_after)
    envelope: Envelope | None = None
    problems: tuple[str, ...] = ()
    try:
        envelope = _envelope(answer, codec, request.endpoint.call)
    except Malformed as fault:
        problems = fault.problems
    if verdict is None:
        verdict = _judge_envelope(envelope)
    if verdict is Verdict.OK:
        return _answered(verdict, answer, "ok", envelope=envelope)
    words = _Words(request, answer, envelope, retry_after)
    error = words.unexpected(problems) if _is_noise(verdict, envelope) else words.api_error(verdict)
    return _answered(verdict, answer, f"HTTP {answer.status}", retry_after=retry_after, error=error)


def _answered(verdict: Verdict, answer: WireResponse, reason: str, **rest: Any) -> Finding:
    return Finding(verdict, Evidence.ANSWERED, Phase.DONE, reason, status=answer.status, **rest)


def _envelope(answer: WireResponse, codec: Codec, call: str) -> Envelope:
    if answer.oversized:
        raise Malformed("body: larger than Dialect.max_response_bytes")
    return codec.envelope(answer.body, call)


def _judge_envelope(envelope: Envelope | None) -> Verdict:
    """Judge a 2xx by its envelope: yes, no, or no envelope that says either."""
    if envelope is None:
        return Verdict.UNKNOWN
    if envelope.ok is False or envelope.code not in (None, 0):
        return Verdict.REJECTED
    return Verdict.OK if envelope.ok else Verdict.UNKNOWN


def _is_noise(verdict: Verdict, envelope: Envelope | None) -> bool:
    """Tell whether an answer is outside the contract, rather than the API's own no."""
    if verdict is Verdict.UNKNOWN:
        return envelope is None or envelope.ok is not False
    return False


@frozen
class _Words:
    """What the server said, made safe to show, as the error that fits."""

    request: WireRequest
    answer: WireResponse
    envelope: Envelope | None
    retry_after: float | None

    def api_error(self, verdict: Verdict) -> ApiError:
        """Return the API's no as an error."""
        text = self._text()
        values: dict[str, Any] = {
            "call": self.request.endpoint.call,
            "text": text,
            "http_status": self.answer.status,
            "code": self.envelope.code if self.envelope else None,
            "raw": _blank(self.envelope.raw, self.request.secret.reveal()) if self.envelope else None,
        }
        if verdict is Verdict.REFUSED:
            return RateLimited(**values, retry_after=self.retry_after)
        if self.answer.status in _AUTH_STATUSES or _AUTH_WORDS.search(text):
            return AuthError(**values)
        return ApiError(**values)

    def unexpected(self, problems: tuple[str, ...]) -> UnexpectedResponse:
        """Return an answer outside the contract as an error."""
        if not 200 <= self.answer.status < 300:
            problems = (f"HTTP {self.answer.status}: neither a success nor a refusal", *problems)
        return UnexpectedResponse(
            call=self.request.endpoint.call,
            http_status=self.answer.status,
            problems=problems or ("status: missing, or neither yes nor no",),
            content_type=self._safe(self.answer.header("content-type") or ""),
            snippet=self._safe(self.answer.body[:_SNIPPET_BYTES].decode("utf-8", "replace")),
        )

    def _text(self) -> str:
        if self.envelope is not None:
            return self._safe(self.envelope.text)
        return self._safe(self.answer.body[:_SNIPPET_BYTES].decode("utf-8", "replace"))

    def _safe(self, text: str) -> str:
        private = [value for name, value in self.request.params if name != "channel"]
        return snippet_of(text, key=self.request.secret.reveal(), private=private)


def _blank(value: Any, key: str) -> Any:
    """Return a decoded answer with the key blanked wherever a text holds it."""
    if isinstance(value, str):
        return value.replace(key, "***")
    if isinstance(value, list):
        return [_blank(item, key) for item in value]
    if isinstance(value, dict):
        return {_blank(name, key): _blank(item, key) for name, item in value.items()}
    return value
