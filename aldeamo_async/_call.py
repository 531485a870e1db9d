"""One call: a deadline, a permit, an attempt, a verdict, perhaps another attempt.

Rule 1: one deadline on the clock of ``anyio.current_time()`` bounds limiter, connection, attempts
and back-off.
Rule 2: only the last finding decides; the history of attempts explains it.
Rule 3: nothing is caught here but what the limiter and the transport are documented to say.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from attrs import define, field, frozen

from ._clock import now
from ._codec import Codec
from ._errors import DeadlineExceeded, UsageError
from ._evidence import Attempt, Phase
from ._models import Outcome, Rejected, Sent
from ._observer import CallRecord, Observer, tell
from ._retry import RetryBudget, RetryPolicy, Verdict, may_repeat, retry_from
from ._settings import Settings
from ._wire import Finding, Transport, Unsent, WireRequest, decipher, unsent
from .limits import Permit, RateLimiter
from .limits._take import take

log = logging.getLogger("aldeamo_async")


@define
class Tally:
    """What a client has done so far, over all its views; counts of calls, not of attempts."""

    in_flight: int = 0
    sent: int = 0
    rejected: int = 0
    unknown: int = 0
    reads: int = 0
    retries: int = 0
    cancelled: int = 0

    def count(self, outcome: Outcome) -> None:
        """Count the outcome of a send."""
        if isinstance(outcome, Sent):
            self.sent += 1
        elif isinstance(outcome, Rejected):
            self.rejected += 1
        else:
            self.unknown += 1


@frozen
class Engine:
    """What every call of a client shares, whatever its options."""

    transport: Transport
    limiter: RateLimiter
    budget: RetryBudget
    tally: Tally = field(factory=Tally)
    observer: Observer | None = None


@frozen
class Terms:
    """What one call goes by: settings, policy, and the codec of the settings' dialect."""

    settings: Settings
    policy: RetryPolicy
    codec: Codec


class Call:
    """One call in flight: the request, its deadline and its history."""

    __slots__ = (
        "_deadline",
        "_engine",
        "_ended",
        "_is_send",
        "_on_wire",
        "_request",
        "_terms",
        "attempts",
        "out_of_time",
    )

    def __init__(
        self, engine: Engine, terms: Terms, request: WireRequest, *, is_send: bool
    ) -> None:
        self._engine = engine
        self._terms = terms
        self._request = request
        self._is_send = is_send
        self._ended = now()
        self._deadline = self._ended + terms.settings.deadline
        self._on_wire = False
        self.attempts: tuple[Attempt, ...] = ()
        self.out_of_time: Phase | None = None

    @property
    def name(self) -> str:
        """The call as the document names it."""
        return self._request.endpoint.call

    async def run(self, permit: Permit | None = None) -> Finding:
        """Carry the call out and return its last finding.

        A ``permit`` already taken serves the first attempt.
        """
        tally = self._engine.tally
        tally.in_flight += 1
        try:
            finding = await self._attempt(permit)
            if may_repeat(finding, is_send=self._is_send):
                finding = await self._again(finding)
        except UsageError:
            raise
        except BaseException:
            self._cut_off()
            raise
        finally:
            tally.in_flight -= 1
        if finding.verdict is Verdict.OK:
            self._engine.budget.refund()
        elif finding.timed_out:
            self.out_of_time = finding.phase
        if self._engine.observer is not None:
            self._tell(self._engine.observer, finding.verdict)
        return finding

    async def _again(self, first: Finding) -> Finding:
        """Try again as the policy allows."""
        finding, short_of_time = await retry_from(
            first,
            self._attempt,
            policy=self._terms.policy,
            budget=self._engine.budget,
            is_send=self._is_send,
            left=lambda: self._deadline - now(),
        )
        if short_of_time:
            self.out_of_time = Phase.BACKOFF
        return finding

    async def _attempt(self, permit: Permit | None = None) -> Finding:
        """Make one attempt: permit, exchange, finding."""
        began = self._ended  # with a permit at hand no time has passed
        if permit is None:
            try:
                permit = await take(self._engine.limiter, self._deadline)
            except DeadlineExceeded as error:
                finding = unsent(Phase.LIMITER, error.reason, timed_out=True)
                return self._note(finding, now())
            began = now()
        timeouts = self._terms.settings.timeouts.within(self._deadline - began)
        self._on_wire = True
        try:
            exchange = await self._engine.transport.exchange(self._request, timeouts)
        except UsageError:  # found before any I/O
            permit.release()
            raise
        if isinstance(exchange, Unsent):
            permit.release()
        finding = decipher(self._request, exchange, self._terms.codec, datetime.now(UTC))
        self._on_wire = False
        if finding.verdict is Verdict.REFUSED:
            self._engine.limiter.throttled(finding.retry_after)
        return self._note(finding, began)

    def _note(self, finding: Finding, began: float) -> Finding:
        """Enter an attempt into the history."""
        waited, self._ended = began - self._ended, now()
        attempt = Attempt(
            number=len(self.attempts) + 1,
            evidence=finding.evidence,
            phase=finding.phase,
            reason=finding.reason,
            status=finding.status,
            waited=waited,
            took=self._ended - began,
            retry_after=finding.retry_after,
        )
        self._engine.tally.retries += attempt.number > 1
        self.attempts += (attempt,)
        if finding.verdict is not Verdict.OK:
            log.info(
                "%s: attempt %d is %s (%s)",
                self.name,
                attempt.number,
                finding.verdict,
                finding.reason,
                extra={
                    "call": self.name,
                    "attempt": attempt.number,
                    "evidence": str(attempt.evidence),
                    "phase": str(attempt.phase),
                    "verdict": str(finding.verdict),
                    "status": attempt.status,
                    "waited": attempt.waited,
                    "took": attempt.took,
                    "retry_after": attempt.retry_after,
                },
            )
        return finding

    def _cut_off(self) -> None:
        """Record that the call ended without a finding: cancelled, or by a programming error."""
        self._engine.tally.cancelled += 1
        if self._on_wire and self._is_send:
            log.warning(
                "%s was cut off on the wire: the message may have been delivered",
                self.name,
                extra={
                    "call": self.name,
                    "attempt": len(self.attempts) + 1,
                    "verdict": "cancelled",
                },
            )
        if self._engine.observer is not None:
            self._tell(self._engine.observer, "cancelled")

    def _tell(self, observer: Observer, verdict: str) -> None:
        """Tell an observer how the call ended; nothing private goes with it."""
        settings = self._terms.settings
        record = CallRecord(
            call=self.name,
            channel=dict(self._request.params).get("channel", ""),
            base_url=settings.dialect.base_url,
            verdict=str(verdict),
            seconds=now() - self._deadline + settings.deadline,
            attempts=self.attempts,
        )
        tell(observer.ended, record)
