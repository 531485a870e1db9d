"""OpenTelemetry: a span for each call, and metrics, by the conventions for HTTP clients.

Rule 1: one span covers a whole call; each attempt is an event on it.
Rule 2: of a URL only the server and the template are given: key and numbers stand in the query.
Rule 3: an e-mail is no HTTP: its span has the same shape and the names of SMTP, and it is in none
of the HTTP metrics.
Rule 4: the API package alone is needed; which SDK takes it up is the program's choice.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from .._errors import UsageError
from .._evidence import Attempt, Phase
from .._observer import CallRecord, Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import TracerProvider

    from .._stats import ClientStats

_NAME: Final = "aldeamo_async"
_OFF_THE_WIRE: Final = frozenset({Phase.LIMITER, Phase.LANE, Phase.BACKOFF})
# Seconds; those that the conventions advise for http.client.request.duration.
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class OpenTelemetry(Observer):
    """Tells OpenTelemetry what its clients do: ``AsyncBotsClient(..., observer=OpenTelemetry())``.

    Without arguments it uses the global providers. Make one for the whole program and give it to
    each client. What it tells is listed in ``docs/how-to/observing.md``.

    Raises:
        UsageError: ``opentelemetry-api`` is not installed.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        try:
            from opentelemetry import metrics, trace
        except ModuleNotFoundError:
            raise UsageError(
                "OpenTelemetry() needs opentelemetry-api, which is not installed. "
                "Install it with: pip install 'aldeamo-async[otel]'"
            ) from None
        self._trace = trace
        self._observation = metrics.Observation
        self._looks: list[Callable[[], ClientStats | None]] = []
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of one attempt on the wire",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._wait = meter.create_histogram(
            "aldeamo.limiter.wait",
            "s",
            "Time in the line of the rate limiter",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._outcomes = meter.create_counter(
            "aldeamo.outcomes", "{call}", "Calls by their outcome"
        )
        gauge, level = meter.create_observable_gauge, meter.create_observable_up_down_counter
        gauge("aldeamo.limiter.frozen", [self._frozen], "s", "How long a freeze still lasts")
        gauge("aldeamo.limiter.rate", [self._rate], "{request}/s", "Present rate of the limiter")
        level("aldeamo.limiter.waiting", [self._waiting], "{call}", "Calls in the limiter's line")
        level("aldeamo.lanes", [self._lanes], "{connection}", "Open connections by their state")
        level("aldeamo.calls", [self._calls], "{call}", "Calls in flight")

    # ── what is heard ──

    def joined(self, look: Callable[[], ClientStats | None]) -> None:
        """Include a client in the gauges, until it is gone."""
        self._looks.append(look)

    def waited(self, seconds: float) -> None:
        """Record a wait for the limiter."""
        self._wait.record(seconds)

    def ended(self, record: CallRecord) -> None:
        """Make the span of a call, now that all of it is known, and count it."""
        server = _server_of(record.base_url, record.call)
        self._outcomes.add(
            1, {"aldeamo.outcome": record.outcome, "aldeamo.channel": record.channel}
        )
        for attempt in record.attempts if _METHOD in server else ():
            if attempt.phase not in _OFF_THE_WIRE:
                self._duration.record(attempt.took, {**server, **_answer_of(attempt)})
        self._span(record, server)

    def _span(self, record: CallRecord, server: dict[str, str | int]) -> None:
        end = time.time_ns()
        start = end - _ns(record.seconds)
        last = record.attempts[-1] if record.attempts else None
        fault = _fault_of(record, last)
        resend_count, status = _HTTP if _METHOD in server else _SMTP
        facts = {
            "aldeamo.channel": record.channel,
            "aldeamo.outcome": record.outcome,
            resend_count: len(record.attempts) - 1 if record.attempts[1:] else None,
            status: None if last is None else last.status,
            "error.type": fault,
        }
        span = self._tracer.start_span(
            record.call,
            kind=self._trace.SpanKind.CLIENT,
            attributes={**server, **_known(facts)},
            start_time=start,
        )
        at = start
        for attempt in record.attempts:
            at += _ns(attempt.waited + attempt.took)
            span.add_event("aldeamo.attempt", _event_of(attempt, status), at)
        if fault is not None:
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))
        span.end(end)

    # ── what is looked up ──

    def _stats(self) -> Iterator[ClientStats]:
        """Look at each client; forget those that are gone."""
        for look in self._looks.copy():
            try:
                stats = look()
            except (RuntimeError, StopIteration):
                # Metrics are read in a thread of their own, and a queue changed while it was read.
                continue
            if stats is None:
                self._looks.remove(look)
            else:
                yield stats

    def _frozen(self, _: CallbackOptions) -> list[Observation]:
        longest = max((stats.limiter.frozen_for for stats in self._stats()), default=0.0)
        return [self._observation(longest)]

    def _rate(self, _: CallbackOptions) -> list[Observation]:
        rates = [stats.limiter.effective_rate for stats in self._stats()]
        known = [rate for rate in rates if rate != float("inf")]
        return [self._observation(min(known))] if known else []

    def _waiting(self, _: CallbackOptions) -> list[Observation]:
        return [self._observation(sum(stats.limiter.waiting for stats in self._stats()))]

    def _lanes(self, _: CallbackOptions) -> list[Observation]:
        lanes = [stats.lanes for stats in self._stats() if stats.lanes is not None]
        return [
            self._observation(sum(one.idle for one in lanes), {"aldeamo.lane.state": "idle"}),
            self._observation(sum(one.busy for one in lanes), {"aldeamo.lane.state": "busy"}),
            self._observation(sum(one.waiting for one in lanes), {"aldeamo.lane.state": "awaited"}),
        ]

    def _calls(self, _: CallbackOptions) -> list[Observation]:
        return [self._observation(sum(stats.in_flight for stats in self._stats()))]


_METHOD: Final = "http.request.method"
_STATUS: Final = "http.response.status_code"
# How often it was tried again, and what was answered.
_HTTP: Final = ("http.request.resend_count", _STATUS)
_SMTP: Final = ("aldeamo.smtp.resend_count", "aldeamo.smtp.reply_code")


@lru_cache(maxsize=64)
def _server_of(base_url: str, call: str) -> dict[str, str | int]:
    """Return what is the same for every request of a call."""
    parts = urlsplit(base_url)
    if parts.scheme.startswith("smtp"):
        return {
            "network.protocol.name": "smtp",
            "server.address": parts.hostname or "",
            "server.port": parts.port or 0,
        }
    method, _, path = call.partition(" ")
    return {
        _METHOD: method,
        "server.address": parts.hostname or "",
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        "url.scheme": parts.scheme,
        "url.template": path,
    }


def _answer_of(attempt: Attempt) -> dict[str, Any]:
    status = attempt.status
    if status is None:
        return {"error.type": str(attempt.evidence)}
    return {_STATUS: status, **({"error.type": str(status)} if status >= 400 else {})}


def _event_of(attempt: Attempt, status: str) -> dict[str, Any]:
    facts = {
        "aldeamo.attempt.number": attempt.number,
        "aldeamo.attempt.evidence": str(attempt.evidence),
        "aldeamo.attempt.phase": str(attempt.phase),
        "aldeamo.attempt.reason": attempt.reason,
        "aldeamo.attempt.waited": attempt.waited,
        "aldeamo.attempt.took": attempt.took,
        "aldeamo.attempt.retry_after": attempt.retry_after,
        status: attempt.status,
    }
    return _known(facts)


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: fact for name, fact in facts.items() if fact is not None}


def _fault_of(record: CallRecord, last: Attempt | None) -> str | None:
    """Name what went wrong, in one of a few words."""
    if record.verdict == "ok":
        return None
    if last is not None and last.status is not None and last.status >= 400:
        return str(last.status)
    return record.verdict


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
