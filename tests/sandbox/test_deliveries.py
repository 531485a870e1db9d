"""The judge: counts, the double-send detector, and the memory they take."""

from __future__ import annotations

import tracemalloc
from threading import Thread

import pytest

from aldeamo_async.sandbox import Sandbox
from aldeamo_async.sandbox._contract import Call, Request
from aldeamo_async.sandbox._deliveries import DeliveryLog, Fingerprints
from aldeamo_async.sandbox._rate import RateLimit

FORM = b"auth=test-key&channel=sms&client_id=573000000001&msg="


def deliver(sandbox: Sandbox, text: str) -> None:
    request = Request("POST", b"/bots/messages", [], FORM + text.encode())
    sandbox.commit(sandbox.plan(Call.SEND, request))


def test_fingerprints_find_every_repeat() -> None:
    """Among thousands of messages exactly the repeats are found, across every growth."""
    seen = Fingerprints()
    assert not any(seen.add("sms", str(number), "Hola") for number in range(5_000))
    assert all(seen.add("sms", str(number), "Hola") for number in range(5_000))


def test_parts_are_kept_apart() -> None:
    """The same characters split otherwise are another message."""
    seen = Fingerprints()
    assert not seen.add("sms", "12", "3")
    assert not seen.add("sms", "1", "23")


def test_a_repeat_is_the_same_channel_person_and_text() -> None:
    """Another channel, person or text is no duplicate."""
    log = DeliveryLog()
    for message in [("sms", "1", "a"), ("web", "1", "a"), ("sms", "2", "a"), ("sms", "1", "b")]:
        log.add(*message, message_id=1, at=0.0)
    assert log.duplicates == 0
    log.add("sms", "1", "a", message_id=2, at=0.0)
    assert (log.count, log.duplicates) == (5, 1)


@pytest.mark.parametrize(("keep", "kept"), [(True, "abca"), (2, "ca"), (False, "")])
def test_what_is_kept(keep: bool | int, kept: str) -> None:
    """All deliveries are kept, the last so many, or none; the counts are right in each case."""
    sandbox = Sandbox(keep_deliveries=keep, clock=lambda: 0.0)
    for text in "abca":
        deliver(sandbox, text)
    assert "".join(delivery.text for delivery in sandbox.deliveries) == kept
    assert (sandbox.delivered, sandbox.duplicates) == (4, 1)


def test_detector_off() -> None:
    """The detector can be left out."""
    sandbox = Sandbox(detect_duplicates=False, clock=lambda: 0.0)
    deliver(sandbox, "a")
    deliver(sandbox, "a")
    assert (sandbox.delivered, sandbox.duplicates) == (2, 0)


@pytest.mark.slow
def test_memory() -> None:
    """Without kept deliveries, a message takes less than 32 bytes at the worst."""
    log = DeliveryLog(keep=False)
    tracemalloc.start()
    try:
        for number in range(30_000):
            log.add("sms", str(number), "Hola", number, 0.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * 30_000


def test_delivery_repr() -> None:
    """A delivery shows neither the phone number nor the text."""
    sandbox = Sandbox(clock=lambda: 1.5)
    deliver(sandbox, "Hola")
    assert repr(sandbox.deliveries) == "(<Delivery 1 sms ***01 4 characters at=1.500>,)"


def test_threads() -> None:
    """Deliveries from several threads are all counted, each with an id of its own."""
    sandbox = Sandbox(clock=lambda: 0.0)

    def work() -> None:
        for number in range(500):
            deliver(sandbox, str(number))

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sandbox.delivered, sandbox.duplicates) == (2000, 1500)
    assert len({delivery.message_id for delivery in sandbox.deliveries}) == 2000


def test_rate_limit() -> None:
    """A burst passes at once; then the bucket says how long until the next token."""
    limit = RateLimit(rate=2, burst=3)
    assert [limit.take(10.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert limit.take(10.25) == 0.25
    assert limit.take(10.5) == 0
    assert limit.take(9.0) == 0.5  # a clock that goes back gives nothing, and takes nothing
    assert [limit.take(99.0) for _ in range(4)] == [0, 0, 0, 0.5]


def test_default_burst() -> None:
    """The default burst is one second's worth, and at least one request."""
    assert [RateLimit(5).take(0.0) for _ in range(1)] == [0]
    slow, fast = RateLimit(0.5), RateLimit(5)
    assert [slow.take(0.0), slow.take(0.0)] == [0, 2]
    assert [fast.take(0.0) for _ in range(6)] == [0, 0, 0, 0, 0, 0.2]


@pytest.mark.parametrize(("rate", "burst"), [(0, None), (-1, None), (1, 0), (float("nan"), 1)])
def test_impossible_rates(rate: float, burst: float | None) -> None:
    """A rate that lets nothing through is refused."""
    with pytest.raises(ValueError, match="rate"):
        RateLimit(rate, burst)


def test_no_repr_tells_a_secret() -> None:
    """Whatever the sandbox holds, its parts show no key, phone number or text."""
    request = Request("POST", b"/bots/messages?auth=test-key", [], FORM + b"secreto")
    sandbox = Sandbox(clock=lambda: 0.0)
    plan = sandbox.plan(Call.SEND, request)
    shown = repr((request, sandbox, plan, vars(sandbox)))
    assert not any(secret in shown for secret in ("test-key", "573000000001", "secreto"))
