"""Spans and metrics as an SDK of OpenTelemetry gets them."""

from __future__ import annotations

import gc
import math
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from aldeamo_async import AldeamoError, AsyncBotsClient, Dialect, TokenBucket, UsageError
from aldeamo_async.telemetry import OpenTelemetry
from support.clients import (
    KEY,
    MAYBE,
    PHONE,
    TEXT,
    UNSENT,
    Carrier,
    answer,
    drain,
    later,
    messages,
    no,
    opened,
    scripted,
    taking,
    yes,
)
from support.watching import CHANNEL, api, listing, message, take, user

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from aldeamo_async.transports import Exchange


class Collected:
    """An SDK whose exporters keep everything in memory."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])
        self.observer = OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._spans.get_finished_spans())

    def points(self, name: str) -> dict[str, Any]:
        """The points of a metric by the values of their attributes."""
        data = self._reader.get_metrics_data()
        assert data is not None
        found: dict[str, Any] = {}
        for scope in (scope for one in data.resource_metrics for scope in one.scope_metrics):
            for metric in (metric for metric in scope.metrics if metric.name == name):
                for point in metric.data.data_points:
                    words = " ".join(str(value) for _, value in sorted(point.attributes.items()))
                    found[words] = point
        return found

    def values(self, name: str) -> dict[str, float]:
        return {words: point.value for words, point in self.points(name).items()}

    def everything(self) -> str:
        """All that an exporter could see, as text."""
        data = self._reader.get_metrics_data()
        assert data is not None
        return "".join(span.to_json() for span in self.spans) + data.to_json()


@pytest.fixture
def sdk() -> Any:
    collected = Collected()
    yield collected
    collected.meters.shutdown()
    collected.tracers.shutdown()


async def test_one_span_covers_all_attempts(sdk: Collected) -> None:
    """A send that was refused and then taken is one client span with two events."""
    carrier = scripted(later("2"), UNSENT, yes())
    async with opened(
        carrier, observer=sdk.observer, base_url="https://api.invalid:8443/x"
    ) as client:
        with sdk.tracers.get_tracer("app").start_as_current_span("order") as order:
            began = anyio.current_time()
            await client.send("sms", PHONE, TEXT)
            took = anyio.current_time() - began
    span = sdk.spans[0]
    assert span.parent == order.get_span_context()
    assert (span.name, span.kind) == ("POST /messages", SpanKind.CLIENT)
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST",
        "server.address": "api.invalid",
        "server.port": 8443,
        "url.scheme": "https",
        "url.template": "/messages",
        "http.response.status_code": 200,
        "http.request.resend_count": 2,
        "aldeamo.channel": "sms",
        "aldeamo.outcome": "sent",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time - span.start_time == pytest.approx(took * 1e9)
    events = [dict(event.attributes or {}) for event in span.events]
    assert [event["aldeamo.attempt.evidence"] for event in events] == [
        "answered",
        "unsent",
        "answered",
    ]
    assert events[0]["aldeamo.attempt.retry_after"] == 2
    assert events[0]["http.response.status_code"] == 429
    assert "http.response.status_code" not in events[1]
    times = [event.timestamp for event in span.events]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(span.end_time, abs=1000)


@pytest.mark.parametrize(
    ("exchange", "outcome", "fault"),
    [
        (no(), "rejected", "rejected"),
        (answer(400, {"status": False, "error": "no"}), "rejected", "400"),
        (later("999"), "rejected", "429"),
        (UNSENT, "rejected", "unsent"),
        (MAYBE, "unknown", "unknown"),
        (answer(502, b"<html>"), "unknown", "502"),
    ],
)
async def test_what_went_wrong_is_named(
    sdk: Collected, exchange: Exchange, outcome: str, fault: str
) -> None:
    """A call that failed has its outcome, one word for the kind of error, and an error status."""
    for read in (False, True):  # each on a limiter that knows of no earlier refusal
        async with opened(Carrier(lambda *_: exchange), observer=sdk.observer) as client:
            with pytest.raises(AldeamoError):
                await (client.users("web") if read else client.send("sms", PHONE, TEXT))
    sent, read = sdk.spans
    assert sent.attributes is not None
    assert read.attributes is not None
    assert (sent.attributes["aldeamo.outcome"], sent.attributes["error.type"]) == (outcome, fault)
    assert (read.attributes["aldeamo.outcome"], read.attributes["error.type"]) == ("failed", fault)
    assert sent.status.status_code is read.status.status_code is StatusCode.ERROR
    assert (sent.name, read.name) == ("POST /messages", "GET /users")


async def test_a_call_that_is_cut_off_is_told(sdk: Collected) -> None:
    """A cancelled send ends its span, without an attempt, as cancelled."""
    async with (
        opened(taking(60), observer=sdk.observer) as client,
        anyio.create_task_group() as group,
    ):
        group.start_soon(client.send, "sms", PHONE, TEXT)
        group.start_soon(client.users, "web")
        await anyio.sleep(1)
        assert sdk.values("aldeamo.calls") == {"": 2}
        group.cancel_scope.cancel()
    outcomes = [(span.attributes or {})["aldeamo.outcome"] for span in sdk.spans]
    assert outcomes == ["cancelled", "cancelled"]
    assert sdk.spans[0].events == ()


async def test_metrics(sdk: Collected) -> None:
    """Outcomes, durations, waits for the limiter, its freeze and rate are counted."""
    script = [later("5"), yes(), no(), MAYBE]
    limiter = TokenBucket(10, burst=1)
    async with opened(scripted(*script), observer=sdk.observer, limiter=limiter) as client:
        async with client.send_many(messages(20), concurrency=1) as outcomes:
            async for _ in outcomes:
                break
            assert sdk.values("aldeamo.limiter.rate")[""] < 10
            await drain(outcomes)
        limiter.freeze(30)
        assert sdk.values("aldeamo.limiter.frozen")[""] == pytest.approx(30)
        assert sdk.values("aldeamo.limiter.waiting")[""] == 0
    assert sdk.values("aldeamo.outcomes") == {"sms sent": 18, "sms rejected": 1, "sms unknown": 1}
    wait = sdk.points("aldeamo.limiter.wait")[""]
    assert wait.count == 21
    assert wait.sum > 1
    durations = sdk.points("http.client.request.duration")
    assert {words.split(" ")[0]: point.count for words, point in durations.items()} == {
        "429": 1,
        "POST": 19,
        "maybe_sent": 1,
    }
    assert max(next(iter(durations.values())).explicit_bounds) == 10


async def test_attempts_that_never_left_have_no_duration(sdk: Collected) -> None:
    """Waiting for the limiter until the deadline is no request."""
    async with opened(
        scripted(), observer=sdk.observer, limiter=TokenBucket(0, initial=0)
    ) as client:
        with pytest.raises(AldeamoError):
            await client.send("sms", PHONE, TEXT)
    assert sdk.points("http.client.request.duration") == {}
    assert sdk.values("aldeamo.outcomes") == {"sms rejected": 1}


async def test_a_watch_is_observed_too(sdk: Collected) -> None:
    """The reads of a watch are calls like others."""
    carrier = api(
        lambda: listing(user(PHONE, "2030-01-01 10:00:00")), lambda _: listing(message(1))
    )
    async with opened(carrier, observer=sdk.observer) as client, client.watch(CHANNEL) as watch:
        await take(watch, 7)
    assert sdk.values("aldeamo.outcomes") == {"whatsapp read": len(carrier.requests)}


def test_lanes(sdk: Collected) -> None:
    """The default transport's connections are shown; an unlimited rate is no number."""
    client = AsyncBotsClient(KEY, observer=sdk.observer)
    other = AsyncBotsClient(KEY, observer=sdk.observer, transport=scripted())
    assert sdk.values("aldeamo.lanes") == {"idle": 0, "busy": 0, "awaited": 0}
    assert sdk.values("aldeamo.limiter.rate") == {}
    assert client.stats().limiter.rate == other.stats().limiter.rate == math.inf


def test_a_client_that_is_gone_is_forgotten(sdk: Collected) -> None:
    """An observer keeps no client alive."""
    client = AsyncBotsClient(KEY, observer=sdk.observer, limiter=TokenBucket(5))
    assert sdk.values("aldeamo.limiter.rate") == {"": 5}
    del client
    gc.collect()
    assert sdk.values("aldeamo.limiter.rate") == {}
    assert sdk.observer._looks == []


def test_a_look_that_meets_a_change_is_passed_over(sdk: Collected) -> None:
    """Metrics are read in another thread; a number that moves at that moment is left out once."""

    def look() -> None:
        raise RuntimeError("OrderedDict mutated during iteration")

    sdk.observer.joined(look)
    assert sdk.values("aldeamo.calls") == {"": 0}
    assert len(sdk.observer._looks) == 1


async def test_nothing_private_is_exported(sdk: Collected) -> None:
    """Key, phone and text are in no span and no metric, wherever the key is placed."""
    echo = answer(400, {"status": False, "error": f"bad {KEY} {PHONE} {TEXT}"})
    for place in ("query", "header"):
        carrier = Carrier(lambda *_: echo)
        dialect = Dialect(auth_in=place)  # type: ignore[arg-type]
        async with opened(carrier, observer=sdk.observer, dialect=dialect) as client:
            for call in (client.send("sms", PHONE, TEXT), client.messages("web", PHONE)):
                with pytest.raises(AldeamoError):
                    await call
    exported = sdk.everything()
    assert "aldeamo.outcome" in exported
    for private in (KEY, PHONE, TEXT, "?", "client_id"):
        assert private not in exported


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where opentelemetry-api is not installed, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(UsageError, match=r"pip install 'aldeamo-async\[otel\]'"):
        OpenTelemetry()
