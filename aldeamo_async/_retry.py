"""The policy: what a verdict is, what may be tried again, how long to wait, and when to stop.

Rule 1: a send is repeated only when the machine it left is provably this one still, or when the API
refused it for now; a read may be repeated whenever it brought nothing.
Rule 2: tenacity holds the policy and sees only failures: the first attempt is made outside it,
every call gets a fresh copy, and its predicates are synchronous and name what they retry.
Rule 3: time comes in, waits go out; nothing here sleeps by itself.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import partial
from itertools import chain, repeat
from typing import Any, Protocol, TypeAlias, TypeVar

import anyio
import tenacity
from attrs import field, frozen
from tenacity.wait import wait_base, wait_exponential, wait_random

from ._errors import UsageError

_DECIMAL = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")

WaitPolicy: TypeAlias = wait_base | Callable[[tenacity.RetryCallState], float]


class Verdict(StrEnum):
    """What became of one attempt."""

    OK = "ok"  # a complete answer that says yes
    REJECTED = "rejected"  # a complete answer that says no, for good
    REFUSED = "refused"  # a complete answer that says not now: 429, or 503 with Retry-After
    UNSENT = "unsent"  # provably never left this machine
    UNKNOWN = "unknown"  # anything else


_REPEATABLE_SEND = frozenset({Verdict.UNSENT, Verdict.REFUSED})
_REPEATABLE_READ = frozenset({Verdict.UNSENT, Verdict.REFUSED, Verdict.UNKNOWN})


def repeatable(*, is_send: bool) -> frozenset[Verdict]:
    """Return the verdicts after which a call may be tried again."""
    return _REPEATABLE_SEND if is_send else _REPEATABLE_READ


def judge_status(status: int, *, retry_after: float | None) -> Verdict | None:
    """Judge an answer by its HTTP status alone; ``None`` leaves it to the body (2xx).

    A refusal counts as one only where the server says so: 429, and 503 that names a time. A bare
    503 comes from gateways that have passed the request on, so it proves nothing.
    """
    if 200 <= status < 300:
        return None
    if status == 429 or (status == 503 and retry_after is not None):
        return Verdict.REFUSED
    return Verdict.REJECTED if 400 <= status < 500 else Verdict.UNKNOWN


def parse_retry_after(value: str | None, *, date: str | None, now: datetime) -> float | None:
    """Read ``Retry-After`` as seconds from now: whole, decimal, or an HTTP date.

    A date is measured against the answer's own ``Date`` header where there is one, so that the two
    clocks need not agree; else against ``now`` (aware). What cannot be read is ``None``; what has
    passed is 0.
    """
    text = (value or "").strip()
    if _DECIMAL.fullmatch(text):
        return float(text)
    until = _http_date(text)
    if until is None:
        return None
    return max(0.0, (until - (_http_date(date or "") or now)).total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _whole(_: Any, attribute: Any, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(
            f"RetryPolicy.{attribute.name} must be a whole number above 0, not {value!r}."
        )


def _not_negative(_: Any, attribute: Any, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise UsageError(
            f"RetryPolicy.{attribute.name} must be a number of at least 0, not {value!r}."
        )


def _synchronous(_: Any, attribute: Any, value: object) -> None:
    methods = (value, getattr(value, "__call__", None))  # noqa: B004 - the method, not its presence
    if not callable(value) or any(map(inspect.iscoroutinefunction, methods)):
        raise UsageError(
            f"RetryPolicy.{attribute.name} must be a tenacity wait or a plain function of the "
            f"retry state, not {value!r}."
        )


@frozen
class RetryPolicy:
    """How often and how patiently a call is tried again; frozen, shared freely.

    ``attempts`` counts the first one. ``wait`` is any synchronous tenacity wait, in seconds.
    ``retry_after_max`` is the longest wait in seconds that a server may ask for; above it the call
    fails at once with the server's number. The budget bounds retries over all calls of a client:
    each retry costs ``budget_cost`` of ``budget`` tokens, each success gives ``budget_refund``
    back; a refusal costs nothing, for the rate limiter slows those down.
    """

    attempts: int = field(default=4, validator=_whole)
    wait: WaitPolicy = field(
        factory=lambda: wait_exponential(multiplier=0.2, max=20) + wait_random(0, 1),
        validator=_synchronous,
    )
    # OpenAI's client draws the line at two minutes as well; a longer wait is its user's to decide.
    retry_after_max: float = field(default=120.0, validator=_not_negative)
    # botocore's figures: enough for 35 retries in a row, and then one in fourteen calls.
    budget: float = field(default=500.0, validator=_not_negative)
    budget_cost: float = field(default=14.0, validator=_not_negative)
    budget_refund: float = field(default=1.0, validator=_not_negative)


class RetryBudget:
    """The retries that a client has left, over all its calls.

    A storm of failures must not become a storm of retries.
    """

    __slots__ = ("_policy", "left")

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.left: float = policy.budget

    def spend(self, verdict: Verdict) -> bool:
        """Pay for one retry; ``False`` where the budget does not reach."""
        cost = 0.0 if verdict is Verdict.REFUSED else self._policy.budget_cost
        if cost > self.left:
            return False
        self.left -= cost
        return True

    def refund(self) -> None:
        """Give back a little after a success."""
        self.left = min(self._policy.budget, self.left + self._policy.budget_refund)


class Finding(Protocol):
    """What the policy reads of an attempt."""

    @property
    def verdict(self) -> Verdict:
        """What became of the attempt."""
        ...

    @property
    def retry_after(self) -> float | None:
        """The server's own wait in seconds, when it named one."""
        ...

    @property
    def timed_out(self) -> bool:
        """Whether the call's own time ran out, or could not hold the wait at hand."""
        ...


def may_repeat(finding: Finding, *, is_send: bool) -> bool:
    """Tell whether the evidence and the clock let a call be tried again after this attempt."""
    return finding.verdict in repeatable(is_send=is_send) and not finding.timed_out


FindingT = TypeVar("FindingT", bound=Finding)


async def retry_from(
    first: FindingT,
    again: Callable[[], Awaitable[FindingT]],
    *,
    policy: RetryPolicy,
    budget: RetryBudget,
    is_send: bool,
    left: Callable[[], float],
) -> tuple[FindingT, bool]:
    """Try a call again after its first attempt, as far as the policy goes.

    ``again()`` makes one more attempt; ``left()`` says how many seconds the call has. Return the
    last finding, and whether it was the last for want of time: a wait that does not fit is not
    begun.
    """
    short_of_time = False

    async def replay() -> FindingT:
        return first

    # Tenacity is handed the first finding as its own first attempt, so that its counts and waits
    # stay true.
    makers = chain([replay], repeat(again))

    async def attempt() -> FindingT:
        return await next(makers)()

    def wait(state: tenacity.RetryCallState) -> float:
        return max(0.0, policy.wait(state), _finding(state).retry_after or 0.0)

    def stop(state: tenacity.RetryCallState) -> bool:
        nonlocal short_of_time
        finding = _finding(state)
        if (
            state.attempt_number >= policy.attempts
            or (finding.retry_after or 0.0) > policy.retry_after_max
        ):
            return True
        short_of_time = state.upcoming_sleep >= left()
        return short_of_time or not budget.spend(finding.verdict)

    retrying = _TEMPLATE.copy(
        retry=tenacity.retry_if_result(partial(may_repeat, is_send=is_send)), wait=wait, stop=stop
    )
    return await retrying(attempt), short_of_time


def _finding(state: tenacity.RetryCallState) -> Any:
    """Return the finding of the attempt that tenacity asks about."""
    assert state.outcome is not None  # noqa: S101 - tenacity asks only after an attempt
    return state.outcome.result()


# Copied for each call: a shared instance mixes up the counts of concurrent calls. `anyio.sleep`
# serves both backends.
_TEMPLATE = tenacity.AsyncRetrying(sleep=anyio.sleep, retry_error_callback=_finding)
