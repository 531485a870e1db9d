"""Every fault over real sockets: what the client says became of a message, against what arrived.

The servers' own counts are the judge: no message arrives twice, Sent means one, Rejected none.
"""

from __future__ import annotations

import logging
import pickle
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from aldeamo_async import (
    AsyncBotsClient,
    Dialect,
    Evidence,
    Outcome,
    Outgoing,
    Rejected,
    RetryPolicy,
    Sent,
    Timeouts,
    Unknown,
)
from aldeamo_async.sandbox import Fault, Sandbox, Weather, serve
from aldeamo_async.transports import HttptoolsTransport, PyreqwestTransport
from support import socket_faults
from support.backends import FAST, RUST, everywhere
from support.clients import KEY, PHONE, unbraked
from support.matrix import VERDICTS
from support.wire import until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

pytestmark = pytest.mark.real_clock

TEXT = "Hola Ana, tu cita es hoy"
PRIVATE = (KEY, PHONE, PHONE[2:-2], TEXT, "Hola", "tu+cita", "tu%20cita")
ATTEMPTS = 2  # the policy's, so that a fault that lasts is seen to be tried again, and no more
# Seconds of silence after which the client gives up: hangs are longer, healthy answers quicker.
READ_TIMEOUT = 0.75


@pytest.fixture(autouse=True)
def _all_logs_are_clean(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """Every logger at DEBUG during every cell, and nothing private in any record."""
    caplog.set_level(logging.DEBUG)
    yield
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    for record in records:
        shown = f"{record.getMessage()} {record.args!r} {record.msg!r} {record.exc_info!r}"
        assert not [piece for piece in PRIVATE if piece in shown], record.name


def over_lanes(proxy: str | None = None) -> dict[str, Any]:
    return {"verify": socket_faults.client_context(), "proxy": proxy}


def over_httptools(proxy: str | None = None) -> dict[str, Any]:
    return {"transport": HttptoolsTransport(verify=socket_faults.client_context(), proxy=proxy)}


def over_rust(proxy: str | None = None) -> dict[str, Any]:
    return {"transport": PyreqwestTransport(verify=socket_faults.authority_file(), proxy=proxy)}


CARRIERS: dict[str, Callable[..., dict[str, Any]]] = {
    "lanes": over_lanes,
    FAST: over_httptools,
    RUST: over_rust,
}


@pytest.fixture(params=everywhere(CARRIERS))
def carrier(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def deliver(
    base_url: str,
    deadline: float = 20.0,
    warm: str = "",
    closed: Callable[[], bool] = lambda: True,
    **options: Any,
) -> Outcome:
    """Send one message; its outcome.

    With `warm`, another one goes first, and the server has `closed` what it closes after it.
    """
    client = AsyncBotsClient(
        KEY,
        dialect=Dialect(base_url=base_url, max_response_bytes=socket_faults.CAP),
        deadline=deadline,
        timeout=Timeouts(connect=5, read=READ_TIMEOUT, write=5),
        retry=RetryPolicy(attempts=ATTEMPTS, wait=lambda _: 0.0),
        limiter=unbraked(),
        **options,
    )
    async with client:
        if warm:
            await client.send("sms", PHONE, warm)
            await until(closed)
        source = [Outgoing("sms", PHONE, TEXT)]
        async with client.send_many(source) as outcomes:
            found = [outcome async for outcome in outcomes]
        stats = client.stats()
        assert stats.in_flight == 0
        assert stats.lanes is not None
        assert (stats.lanes.busy, stats.lanes.waiting) == (0, 0)
        carried = [a for a in found[0].attempts if a.evidence is not Evidence.UNSENT]
        assert stats.limiter.granted - stats.limiter.refunded == len(carried) + bool(warm)
    (outcome,) = found
    assert_clean(outcome)
    return outcome


def assert_clean(outcome: Outcome) -> None:
    """No error, receipt or outcome shows anything private, before or after pickling."""
    for thing in (outcome, pickle.loads(pickle.dumps(outcome))):  # noqa: S301 - our own
        shown = [repr(thing), *map(repr, thing.attempts)]
        if isinstance(thing, Sent):
            shown.append(repr(thing.receipt))
        else:
            shown += [str(thing.error), repr(thing.error), repr(thing.error.__cause__)]
        for piece in PRIVATE:
            assert not [text for text in shown if piece in text]


def judge(name: str, column: str, outcome: Outcome, delivered: int) -> str:
    """Hold an outcome against the count; enter both into the matrix."""
    verdict = type(outcome).__name__
    tries = len(outcome.attempts)
    VERDICTS.put(name, column, f"{verdict:8} {tries} tried {delivered} delivered")
    allowed = {Sent: (1,), Rejected: (0,), Unknown: (0, 1)}[type(outcome)]
    assert delivered in allowed, f"{outcome!r} against {delivered} deliveries"
    return verdict


# ── raw servers ──


def expected(fault: socket_faults.Fault) -> set[type[Outcome]]:
    """What the client may say of a fault: by the evidence, and by the answer."""
    if fault.status == 200 and fault.name not in socket_faults.OVERSIZED:
        return {Sent}
    by_evidence: dict[Evidence, type[Outcome]] = {
        Evidence.UNSENT: Rejected,
        Evidence.MAYBE_SENT: Unknown,
        Evidence.ANSWERED: Unknown,
    }
    return {by_evidence[evidence] for evidence in fault.expected}


@pytest.mark.parametrize("fault", socket_faults.FAULTS, ids=str)
async def test_each_fault_of_a_raw_server(
    fault: socket_faults.Fault,
    carrier: str,
    anyio_backend_name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The outcome follows from the evidence, after as many attempts as it allows."""
    with fault.open() as target:
        outcome = await deliver(
            target.base_url,
            deadline=fault.total,
            warm="calentar" if fault.warm_up else "",
            closed=lambda: target.ended() >= fault.ended,
            **CARRIERS[carrier](target.proxy),
        )
        target.stop()
        delivered = target.deliveries("tu+cita")
    judge(fault.name, f"{carrier}/{anyio_backend_name}", outcome, delivered)
    assert caplog.records  # what is held clean above is not nothing
    assert type(outcome) in expected(fault)
    assert delivered in fault.deliveries
    tried_again = Evidence.UNSENT in {a.evidence for a in outcome.attempts}
    assert len(outcome.attempts) == (ATTEMPTS if tried_again else 1)


# ── the sandbox ──


@frozen
class Cell:
    """What one fault of the sandbox, once, must come to."""

    outcome: type[Outcome]
    attempts: int
    delivered: int


SENT, RETRIED = Cell(Sent, 1, 1), Cell(Sent, 2, 1)
REJECTED = Cell(Rejected, 1, 0)
LOST, ARRIVED = Cell(Unknown, 1, 0), Cell(Unknown, 1, 1)

CELLS: dict[str, tuple[Cell, ...]] = {
    "RATE_LIMITED": (RETRIED,),
    "RATE_LIMITED_DECIMAL": (RETRIED,),
    "RATE_LIMITED_DATE": (RETRIED,),
    "RATE_LIMITED_BARE": (RETRIED,),
    "UNAVAILABLE": (RETRIED,),
    "UNAVAILABLE_BARE": (LOST,),
    "SERVER_ERROR": (LOST,),
    "BAD_GATEWAY": (LOST,),
    "BAD_GATEWAY_DELIVERED": (ARRIVED,),
    "STATUS_FALSE": (REJECTED,),
    "CODIGO_ERROR": (REJECTED,),
    "TRUNCATED_JSON": (ARRIVED,),
    "NOT_JSON": (ARRIVED,),
    "EMPTY_BODY": (ARRIVED,),
    "BOM": (SENT,),
    "PHP_NOTICE": (ARRIVED,),
    "DATA_TEXT": (SENT,),
    "DATA_OBJECT": (SENT,),
    "DATA_NULL": (SENT,),
    "DATA_FALSE": (SENT,),
    "DATA_JSON_TEXT": (SENT,),
    "IDS_INT": (SENT,),
    "HANG_CONNECT": (LOST,),
    "HANG_BEFORE_EFFECT": (LOST,),
    "HANG_AFTER_EFFECT": (ARRIVED,),
    # On a socket the sandbox has accepted before it can refuse: the request may have been written.
    "CONNECTION_REFUSED": (LOST,),
    # The reset may arrive before the request is written: provably unsent, and so sent again.
    "DROP_AT_ACCEPT": (LOST, RETRIED),
    "DROP_BEFORE_BODY": (LOST,),
    "DROP_AFTER_BODY": (LOST,),
    "DROP_AFTER_EFFECT": (ARRIVED,),
    "DROP_MID_ANSWER": (ARRIVED,),
    "CLOSE_AFTER_ANSWER": (SENT,),
    "DRIP": (SENT,),
}
GENTLE = {"RATE_LIMITED": {"retry_after": 0.2}, "DRIP": {"seconds": 0.01}}


def test_every_fault_of_the_sandbox_has_its_cell() -> None:
    """A fault that the sandbox learns needs its row here."""
    assert set(CELLS) == {fault.name for fault in Fault.every()}


@contextmanager
def noted(column: str, fault: Fault, sandbox: Sandbox, found: list[Outcome]) -> Generator[None]:
    """Enter the cell when the server has ended and its count is final."""
    yield
    judge(fault.name, column, found[0], sandbox.delivered)


@pytest.mark.parametrize("fault", Fault.every(), ids=lambda fault: fault.name)
async def test_each_fault_of_the_sandbox(
    fault: Fault, carrier: str, anyio_backend_name: str
) -> None:
    """Outcome, number of attempts and deliveries are those of the table."""
    gentle: Any = GENTLE.get(fault.name, {})
    sandbox = Sandbox(weather=Weather.sequence([fault.with_(**gentle)]))
    found: list[Outcome] = []
    with noted(f"{carrier}/{anyio_backend_name}", fault, sandbox, found):
        async with serve(sandbox) as url:
            found.append(await deliver(url, **CARRIERS[carrier]()))
    cell = Cell(type(found[0]), len(found[0].attempts), sandbox.delivered)
    assert cell in CELLS[fault.name]
    assert sandbox.duplicates == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_rough_weather_over_many_messages(seed: int) -> None:
    """Two hundred messages in bad weather: three counts that match the log, and no duplicate."""
    sandbox = Sandbox(weather=Weather.rough(seed))
    source = [Outgoing("sms", PHONE, f"{TEXT} {number}") for number in range(200)]
    found: list[Outcome] = []
    async with (
        serve(sandbox) as url,
        AsyncBotsClient(
            KEY, base_url=url, timeout=1.0, retry=RetryPolicy(wait=lambda _: 0.05)
        ) as client,
        client.send_many(source, concurrency=50) as outcomes,
    ):
        async for outcome in outcomes:
            found.append(outcome)
            assert_clean(outcome)
    arrived = {delivery.text for delivery in sandbox.deliveries}
    for outcome in found:
        if not isinstance(outcome, Unknown):
            assert (outcome.outgoing.text in arrived) is isinstance(outcome, Sent)
    assert sandbox.duplicates == 0
    assert len(found) == 200
