"""What is tried again, how often, how patiently, out of which budget: exact on virtual clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from aldeamo_async import (
    ApiError,
    Attempt,
    AuthError,
    DeadlineExceeded,
    DeliveryUnknown,
    Evidence,
    NoAnswer,
    NotSent,
    Phase,
    RateLimited,
    RetryPolicy,
    TokenBucket,
    UnexpectedResponse,
    UsageError,
)
from aldeamo_async._retry import RetryBudget, Verdict, judge_status, may_repeat, parse_retry_after
from aldeamo_async._wire import unsent
from aldeamo_async.transports import Exchange, ScriptedTransport
from support.clients import (
    MAYBE,
    PHONE,
    TEXT,
    UNSENT,
    Carrier,
    answer,
    later,
    make,
    no,
    opened,
    scripted,
    taking,
    unbraked,
    yes,
)
from support.clocks import virtual_backend

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
STEADY = tenacity.wait_fixed(1)


def steady(**options: Any) -> RetryPolicy:
    return RetryPolicy(**{"wait": STEADY} | options)


# ── the verdict of one status ──


@pytest.mark.parametrize(
    ("status", "retry_after", "verdict"),
    [
        (200, None, None),
        (201, 5.0, None),
        (302, None, Verdict.UNKNOWN),
        (400, None, Verdict.REJECTED),
        (404, 5.0, Verdict.REJECTED),
        (429, None, Verdict.REFUSED),
        (429, 5.0, Verdict.REFUSED),
        (500, None, Verdict.UNKNOWN),
        (502, 5.0, Verdict.UNKNOWN),
        (503, None, Verdict.UNKNOWN),
        (503, 0.0, Verdict.REFUSED),
        (504, None, Verdict.UNKNOWN),
    ],
)
def test_a_status_is_judged(
    status: int, retry_after: float | None, verdict: Verdict | None
) -> None:
    """Only 429, and 503 with a time, refuse for now; 2xx is left to the body."""
    assert judge_status(status, retry_after=retry_after) is verdict


# ── Retry-After ──


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("0.5", 0.5),
        ("2.", 2.0),
        (".25", 0.25),
        ("4233600", 4233600.0),
        ("Tue, 01 Jan 2030 12:00:30 GMT", 30.0),
        ("Tue, 01 Jan 2030 12:00:30 -0000", 30.0),
        ("Tue, 01 Jan 2030 13:00:00 +0100", 0.0),
        ("Tue, 01 Jan 2030 11:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("٣", None),
        ("Tue, 99 Jan 2030 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_read(text: str | None, seconds: float | None) -> None:
    """Whole seconds, decimals and HTTP dates are read; the past is 0, nonsense is nothing."""
    assert parse_retry_after(text, date=None, now=NOW) == seconds


def test_a_date_is_measured_against_the_server_s_own_clock() -> None:
    """Where the answer carries a Date, a wrong clock on this machine changes nothing."""
    found = parse_retry_after(
        "Fri, 01 Jan 2027 00:01:00 GMT", date="Fri, 01 Jan 2027 00:00:00 GMT", now=NOW
    )
    assert found == 60.0


@given(st.text(), st.one_of(st.none(), st.text()))
def test_no_retry_after_makes_a_crash(value: str, date: str | None) -> None:
    """Whatever stands in the header, it is a number of at least 0, or nothing."""
    found = parse_retry_after(value, date=date, now=NOW)
    assert found is None or found >= 0


@pytest.mark.parametrize("retry_after", ["3", "3.0"])
async def test_a_refusal_is_waited_for_as_the_server_says(retry_after: str) -> None:
    """A 429 with its own time is tried again when that time has passed, not sooner."""
    carrier = scripted(later(retry_after))
    async with opened(carrier, retry=steady(), limiter=unbraked()) as client:
        receipt = await client.send("sms", PHONE, TEXT)
    assert carrier.times == [0.0, 3.0]
    assert [(a.number, a.status, a.retry_after) for a in receipt.attempts] == [
        (1, 429, 3.0),
        (2, 200, None),
    ]


async def test_a_refusal_until_a_date_is_waited_for() -> None:
    """A 503 with an HTTP date is tried again after it, on the server's clock."""
    now = datetime.now(UTC).replace(microsecond=0)
    refusal = answer(
        503,
        b"<html>busy</html>",
        ("Retry-After", format_datetime(now + timedelta(seconds=20), usegmt=True)),
        ("Date", format_datetime(now, usegmt=True)),
    )
    carrier = scripted(refusal)
    async with opened(carrier, retry=steady(), limiter=unbraked()) as client:
        await client.send("sms", PHONE, TEXT)
    assert carrier.times == [0.0, 20.0]


async def test_a_wait_above_the_cap_fails_at_once_with_the_number() -> None:
    """A server that asks for 49 days gets neither a parked task nor a second request."""
    carrier = scripted(later("4233600"))
    async with opened(carrier) as client:
        with pytest.raises(RateLimited, match=r"4\.2336e\+06 s") as caught:
            await client.send("sms", PHONE, TEXT)
        assert anyio.current_time() == 0.0
    assert caught.value.retry_after == 4233600.0
    assert len(carrier.requests) == 1


async def test_a_wait_at_the_cap_is_waited_for() -> None:
    """The cap itself is still a wait."""
    carrier = scripted(later("9"))
    async with opened(carrier, retry=steady(retry_after_max=9), limiter=unbraked()) as client:
        await client.send("sms", PHONE, TEXT)
    assert carrier.times == [0.0, 9.0]


# ── what is tried again ──


async def test_what_never_left_is_sent_again_and_what_may_have_left_is_not() -> None:
    """Unsent attempts are repeated until one may have left; that one is the last."""
    carrier = scripted(UNSENT, UNSENT, MAYBE)
    async with opened(carrier, retry=steady()) as client:
        with pytest.raises(DeliveryUnknown, match="MAY have been delivered") as caught:
            await client.send("sms", PHONE, TEXT)
        assert client.stats().unknown == 1
        assert client.stats().retries == 2
    assert [a.evidence for a in caught.value.attempts] == [
        Evidence.UNSENT,
        Evidence.UNSENT,
        Evidence.MAYBE_SENT,
    ]
    assert caught.value.phase is Phase.READ


@pytest.mark.parametrize(
    ("answered", "error"),
    [
        (no(), ApiError),
        (answer(400, b"<p>Bad</p>"), ApiError),
        (answer(403, {"status": False, "error": "Invalid API key"}), AuthError),
    ],
)
async def test_a_no_is_final(answered: Exchange, error: type[Exception]) -> None:
    """The API's own no is asked for once."""
    carrier = scripted(answered)
    async with opened(carrier) as client:
        with pytest.raises(error):
            await client.send("sms", PHONE, TEXT)
    assert len(carrier.requests) == 1


@pytest.mark.parametrize(
    "answered",
    [
        answer(500, b"<h1>Error</h1>"),
        answer(502),
        answer(503),
        answer(504),
        answer(302),
        answer(200, b"<html>"),
        answer(200, b""),
        answer(200, b'{"status": tr'),
        answer(200, [1]),
        answer(200, {"message": "ok"}),
    ],
)
async def test_an_answer_that_proves_nothing_leaves_a_send_unknown(answered: Exchange) -> None:
    """5xx pages and broken bodies neither say yes nor no; a send is not repeated on them."""
    carrier = scripted(answered)
    async with opened(carrier) as client:
        with pytest.raises(DeliveryUnknown) as caught:
            await client.send("sms", PHONE, TEXT)
    assert isinstance(caught.value.answer, UnexpectedResponse)
    assert caught.value.http_status == caught.value.attempts[-1].status
    assert len(carrier.requests) == 1


async def test_a_contradiction_after_a_502_is_kept_as_the_answer() -> None:
    """A 502 whose body says no in the API's own words is unknown all the same, and shows them."""
    carrier = scripted(answer(502, {"status": False, "codigo": 7, "message": "Not sent"}))
    async with opened(carrier) as client:
        with pytest.raises(DeliveryUnknown) as caught:
            await client.send("sms", PHONE, TEXT)
    assert isinstance(caught.value.answer, ApiError)


async def test_reads_are_repeated_whatever_became_of_them() -> None:
    """A read delivers nothing: lost answers, 5xx and broken bodies are asked for again."""
    rows = {"status": True, "codigo": 0, "message": "Users", "data": []}
    carrier = scripted(MAYBE, answer(502), answer(200, b"<html>"), answer(200, rows))
    async with opened(carrier, retry=steady()) as client:
        assert await client.users("whatsapp") == []
        assert client.stats().reads == 1
    assert carrier.times == [0.0, 1.0, 2.0, 3.0]


async def test_a_read_without_an_answer_says_that_reading_again_is_safe() -> None:
    """After the last attempt the error names the phase and the history."""
    carrier = scripted(*[MAYBE] * 4)
    async with opened(carrier, retry=steady()) as client:
        with pytest.raises(NoAnswer, match="safe to read again") as caught:
            await client.users("whatsapp")
    assert len(caught.value.attempts) == 4


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_the_number_of_attempts_is_the_policy_s(attempts: int) -> None:
    """`attempts` counts the first one."""
    carrier = scripted(*[UNSENT] * 9)
    async with opened(carrier, retry=steady(attempts=attempts)) as client:
        with pytest.raises(NotSent) as caught:
            await client.send("sms", PHONE, TEXT)
    assert len(carrier.requests) == len(caught.value.attempts) == attempts


async def test_a_programming_error_propagates_as_it_is() -> None:
    """A TypeError of a transport is no network failure: it is not retried, and not renamed."""

    class Broken(ScriptedTransport):
        async def exchange(self, request: Any, timeouts: Any) -> Any:
            self.requests.append(request)
            raise TypeError("a bug")

    carrier = Broken()
    async with opened(carrier) as client:
        with pytest.raises(TypeError, match="a bug"):
            await client.send("sms", PHONE, TEXT)
        assert client.stats().in_flight == 0
    assert len(carrier.requests) == 1


# ── how long ──


async def test_the_history_is_exact() -> None:
    """Each attempt knows its number, what it waited before it began, and what it took."""
    carrier = taking(2, UNSENT, later("5"))
    async with opened(carrier, retry=steady(), limiter=unbraked()) as client:
        receipt = await client.send("sms", PHONE, TEXT)
    assert receipt.attempts == (
        Attempt(1, Evidence.UNSENT, Phase.CONNECT, UNSENT.reason, None, 0.0, 2.0, None),
        Attempt(2, Evidence.ANSWERED, Phase.DONE, "HTTP 429", 429, 1.0, 2.0, 5.0),
        Attempt(3, Evidence.ANSWERED, Phase.DONE, "ok", 200, 5.0, 2.0, None),
    )


async def test_the_wait_for_a_permit_stands_in_the_history() -> None:
    """What the limiter holds back counts as waited, not as time on the wire."""
    async with opened(taking(1), limiter=TokenBucket(0.5, 1)) as client:
        await client.send("sms", PHONE, TEXT)
        receipt = await client.send("sms", PHONE, TEXT)
    (attempt,) = receipt.attempts
    assert (attempt.waited, attempt.took) == (pytest.approx(1.0), pytest.approx(1.0))


async def test_any_tenacity_wait_and_any_plain_function_serve() -> None:
    """Chains of tenacity's waits work, and so does a function of the retry state."""
    chain = tenacity.wait_chain(tenacity.wait_fixed(2), tenacity.wait_fixed(5))
    carrier = scripted(UNSENT, UNSENT)
    async with opened(carrier, retry=RetryPolicy(wait=chain)) as client:
        await client.send("sms", PHONE, TEXT)
    assert carrier.times == [0.0, 2.0, 7.0]

    carrier = scripted(UNSENT, UNSENT)
    by_number = RetryPolicy(wait=lambda state: 10.0 * state.attempt_number)
    async with opened(carrier, retry=by_number) as client:
        await client.send("sms", PHONE, TEXT)
    assert [t - carrier.times[0] for t in carrier.times] == [0.0, 10.0, 30.0]


async def test_a_wait_that_is_no_time_counts_as_none() -> None:
    """NaN and negative waits of a user's function are 0."""
    waits = iter([float("nan"), -5.0])
    carrier = scripted(UNSENT, UNSENT)
    async with opened(carrier, retry=RetryPolicy(wait=lambda _: next(waits))) as client:
        await client.send("sms", PHONE, TEXT)
    assert carrier.times == [0.0, 0.0, 0.0]


async def _async_wait(_: tenacity.RetryCallState) -> float:
    return 1.0


class _AsyncWait:
    async def __call__(self, _: tenacity.RetryCallState) -> float:
        return 1.0


@pytest.mark.parametrize("wait", [_async_wait, _AsyncWait(), 5, None])
def test_an_async_wait_is_refused(wait: Any) -> None:
    """tenacity would take its coroutine for a number; it is refused when the policy is made."""
    with pytest.raises(UsageError, match="plain function"):
        RetryPolicy(wait=wait)


@pytest.mark.parametrize("attempts", [0, -1, 1.5, True, "3"])
def test_a_number_of_attempts_that_is_none_is_refused(attempts: Any) -> None:
    """`attempts` is a whole number above 0."""
    with pytest.raises(UsageError, match=r"RetryPolicy\.attempts"):
        RetryPolicy(attempts=attempts)


@pytest.mark.parametrize("name", ["retry_after_max", "budget", "budget_cost", "budget_refund"])
@pytest.mark.parametrize("value", [-1, float("nan"), "1", True])
def test_a_figure_that_is_no_amount_is_refused(name: str, value: Any) -> None:
    """The figures of a policy are numbers of at least 0."""
    with pytest.raises(UsageError, match=name):
        RetryPolicy(**{name: value})


async def test_fifty_concurrent_calls_that_fail_twice_all_come_right() -> None:
    """Every call has a tenacity of its own: none is mixed up, none returns nothing."""
    seen: dict[str, int] = {}

    def act(_: int, request: Any) -> Exchange:
        text = dict(request.params)["msg"]
        seen[text] = seen.get(text, 0) + 1
        return UNSENT if seen[text] < 3 else yes()

    receipts: list[Any] = []
    policy = RetryPolicy(budget=10_000)
    async with opened(Carrier(act), retry=policy) as client:

        async def one(number: int) -> None:
            receipts.append(await client.send("sms", PHONE, f"Hola {number}"))

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(one, number)
    assert len(receipts) == 50
    assert {len(receipt.attempts) for receipt in receipts} == {3}
    assert set(seen.values()) == {3}


# ── the budget ──


async def test_a_storm_of_failures_uses_the_budget_up() -> None:
    """Once the budget is spent a call fails after its first attempt."""
    carrier = scripted(*[UNSENT] * 99)
    async with opened(carrier, retry=steady(budget=30, budget_cost=10)) as client:
        counts = []
        for _ in range(3):
            with pytest.raises(NotSent) as caught:
                await client.send("sms", PHONE, TEXT)
            counts.append(len(caught.value.attempts))
        assert client.stats().budget_left == 0.0
    assert counts == [4, 1, 1]


async def test_a_success_refunds_the_budget_up_to_its_size() -> None:
    """Each success gives `budget_refund` back, never above `budget`."""
    async with opened(scripted(UNSENT), retry=steady(budget=20, budget_refund=3)) as client:
        await client.send("sms", PHONE, TEXT)
        assert client.stats().budget_left == 20 - 14 + 3
        for _ in range(9):
            await client.send("sms", PHONE, TEXT)
        assert client.stats().budget_left == 20


async def test_a_refusal_costs_no_budget() -> None:
    """The limiter slows refusals down; they need no budget."""
    async with opened(scripted(later("1"), later("1")), retry=steady(budget=0)) as client:
        receipt = await client.send("sms", PHONE, TEXT)
    assert len(receipt.attempts) == 3


def test_a_budget_never_goes_below_nothing() -> None:
    """A retry that the budget cannot pay in full is not paid at all."""
    budget = RetryBudget(RetryPolicy(budget=20))
    assert budget.spend(Verdict.UNSENT)
    assert not budget.spend(Verdict.UNSENT)
    assert budget.left == 6
    assert budget.spend(Verdict.REFUSED)


# ── the deadline ──


async def test_a_wait_that_does_not_fit_is_not_begun() -> None:
    """A server's wait beyond the call's deadline fails now, with the server's number."""
    carrier = scripted(later("30"))
    async with opened(carrier, deadline=20, retry=steady()) as client:
        with pytest.raises(RateLimited) as caught:
            await client.send("sms", PHONE, TEXT)
        assert anyio.current_time() == 0.0
    assert caught.value.retry_after == 30.0


async def test_a_back_off_that_does_not_fit_names_its_phase() -> None:
    """An unsent message whose next attempt would come too late fails now, in the back-off."""
    carrier = taking(3, UNSENT)
    async with opened(carrier, deadline=4, retry=steady()) as client:
        with pytest.raises(DeadlineExceeded, match="does not fit") as caught:
            await client.send("sms", PHONE, TEXT)
        assert anyio.current_time() == 3.0
    assert caught.value.phase is Phase.BACKOFF
    assert len(carrier.requests) == 1


async def test_a_permit_that_cannot_come_in_time_fails_at_once() -> None:
    """The limiter's wait does not fit: one look, no retries, no budget, and the phase."""
    carrier = scripted()
    async with opened(carrier, deadline=5, limiter=TokenBucket(0.1, 1)) as client:
        await client.send("sms", PHONE, TEXT)
        with pytest.raises(DeadlineExceeded, match="needs about 10 s") as caught:
            await client.send("sms", PHONE, TEXT)
        assert anyio.current_time() == 0.0
        assert client.stats().budget_left == 500
    assert caught.value.phase is Phase.LIMITER
    assert len(caught.value.attempts) == 1
    assert len(carrier.requests) == 1


async def test_what_is_left_is_passed_down_to_each_attempt() -> None:
    """The total of an attempt shrinks with every wait and every attempt before it."""
    carrier = taking(2, UNSENT, UNSENT)
    async with opened(carrier, deadline=10, retry=steady()) as client:
        await client.send("sms", PHONE, TEXT)
    assert [timeouts.total for timeouts in carrier.timeouts] == [10.0, 7.0, 4.0]


async def test_a_silence_until_the_deadline_leaves_a_send_unknown() -> None:
    """Out of time on the wire is unknown for a send, and names its phase."""
    carrier = taking(99)
    async with opened(carrier, deadline=7) as client:
        with pytest.raises(DeliveryUnknown) as caught:
            await client.send("sms", PHONE, TEXT)
        assert anyio.current_time() == 7.0
    assert caught.value.phase is Phase.READ
    assert len(carrier.requests) == 1


async def test_a_silence_until_the_deadline_ends_a_read_without_another_attempt() -> None:
    """A read out of time is a `DeadlineExceeded` in its phase; no time, no retry."""
    carrier = taking(99)
    async with opened(carrier, deadline=7) as client:
        with pytest.raises(DeadlineExceeded) as caught:
            await client.messages("whatsapp", PHONE)
        assert anyio.current_time() == 7.0
    assert caught.value.phase is Phase.READ
    assert len(carrier.requests) == 1


@given(
    deadline=st.floats(0.5, 30),
    took=st.floats(0, 10),
    wait=st.floats(0, 10),
    rate=st.floats(0.1, 100),
    script=st.lists(st.sampled_from(["unsent", "later", "maybe", "yes"]), max_size=5),
)
def test_no_call_outlasts_its_deadline(
    deadline: float, took: float, wait: float, rate: float, script: list[str]
) -> None:
    """Whatever the limiter, the wire and the policy do, a call ends by its deadline."""
    kinds = {"unsent": UNSENT, "later": later(f"{wait:.3f}"), "maybe": MAYBE, "yes": yes()}

    async def run() -> None:
        carrier = taking(took, *(kinds[kind] for kind in script))
        policy = RetryPolicy(wait=tenacity.wait_fixed(wait))
        client = make(carrier, deadline=deadline, retry=policy, limiter=TokenBucket(rate, 1))
        async with client:
            for _ in range(2):
                began = anyio.current_time()
                try:
                    await client.send("sms", PHONE, TEXT)
                except (NotSent, DeliveryUnknown, RateLimited) as error:
                    history = sum(a.waited + a.took for a in error.attempts)
                    assert history <= deadline + 1e-6
                assert anyio.current_time() - began <= deadline + 1e-6

    name, options = virtual_backend("asyncio")
    anyio.run(run, backend=name, backend_options=options)


def test_a_lone_finding_out_of_time_is_never_repeated() -> None:
    """`timed_out` is the call's own time; no verdict makes another attempt of it."""
    assert may_repeat(unsent(Phase.LANE, "busy", timed_out=False), is_send=True)
    assert not may_repeat(unsent(Phase.LANE, "busy", timed_out=True), is_send=True)
