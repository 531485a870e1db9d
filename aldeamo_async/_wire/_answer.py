"""Decipher what a transport brought back: one exchange to one finding.

Rule 1: the verdict rests on evidence, status and envelope, in this order, and on nothing else.
Rule 2: every answer that is no success comes with the error that describes it; the verdict says
what it means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from .._codec import Codec, Envelope, Malformed
from .._errors import ApiError, UnexpectedResponse
from .._evidence import Evidence, Phase
from .._retry import Verdict, judge_status, parse_retry_after
from ._port import Exchange, Unsent, WireResponse
from ._words import Words

if TYPE_CHECKING:
    from datetime import datetime

    from ._request import WireRequest


@frozen
class Finding:
    """What one attempt came to: ``envelope`` for ``OK``, ``error`` for any other answer."""

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
        Verdict.UNKNOWN,
        Evidence.MAYBE_SENT,
        exchange.phase,
        exchange.reason,
        timed_out=exchange.timed_out,
    )


def _judge(request: WireRequest, answer: WireResponse, codec: Codec, now: datetime) -> Finding:
    retry_after = _retry_after(answer, now)
    envelope, problems = _read(answer, codec, request.endpoint.call)
    verdict = judge_status(answer.status, retry_after=retry_after) or _judge_envelope(envelope)
    words = Words(request, answer, envelope)
    if verdict is Verdict.OK and envelope is not None:
        text = words.text()
        safe = envelope if text == envelope.text else evolve(envelope, text=text)
        return _answered(verdict, answer, "ok", retry_after=retry_after, envelope=safe)
    error: ApiError | UnexpectedResponse
    if verdict is not Verdict.UNKNOWN:
        error = words.refusal(verdict, retry_after)
    elif envelope is not None and envelope.says_no:
        error = words.server_error()
    else:
        error = words.noise(problems)
    return _answered(verdict, answer, words.reason(error), retry_after=retry_after, error=error)


def _retry_after(answer: WireResponse, now: datetime) -> float | None:
    value = answer.header("retry-after")
    if value is None:
        return None
    return parse_retry_after(value, date=answer.header("date"), now=now)


def _answered(verdict: Verdict, answer: WireResponse, reason: str, **rest: Any) -> Finding:
    return Finding(verdict, Evidence.ANSWERED, Phase.DONE, reason, status=answer.status, **rest)


def _read(answer: WireResponse, codec: Codec, call: str) -> tuple[Envelope | None, tuple[str, ...]]:
    """Read the envelope of an answer and what is wrong with it."""
    if answer.oversized:
        return None, ("body: larger than Dialect.max_response_bytes",)
    try:
        envelope = codec.envelope(answer.body, call)
    except Malformed as fault:
        return None, fault.problems
    return envelope, envelope.problems


def _judge_envelope(envelope: Envelope | None) -> Verdict:
    """Judge a 2xx by its envelope: yes, no, or nothing that says either."""
    if envelope is None:
        return Verdict.UNKNOWN
    if envelope.says_no:
        return Verdict.REJECTED
    return Verdict.OK if envelope.says_yes else Verdict.UNKNOWN
