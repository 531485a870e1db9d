"""One e-mail: a deadline, a permit, an attempt, a verdict, perhaps another attempt, an outcome.

Rule 1: one deadline bounds limiter, connection, attempts and back-off, as for a call of the API.
Rule 2: only the last finding decides; what may have gone out is never submitted again.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
from attrs import field, frozen

from .._call import Tally
from .._errors import AldeamoError, DeadlineExceeded, UsageError
from .._evidence import Attempt, Phase
from .._models import Outcome, Outgoing, Receipt, Rejected, Sent, Unknown
from .._observer import CallRecord, Observer, tell
from .._retry import RetryBudget, RetryPolicy, Verdict, may_repeat, retry_from
from .._settings import Timeouts
from ..limits import RateLimiter
from ..limits._take import take
from ._errors import CALL, EmailNotSent, EmailUnknown
from ._judge import Finding, judge, unsent
from ._letter import CHANNEL, Letter, Mailbox, letter_of
from ._lines import Lines

if TYPE_CHECKING:
    from ..limits import Permit

log = logging.getLogger("aldeamo_async")


@frozen
class Post:
    """What every e-mail of a client shares."""

    lines: Lines
    sender: Mailbox
    limiter: RateLimiter
    policy: RetryPolicy
    budget: RetryBudget
    timeouts: Timeouts
    deadline: float
    observer: Observer | None = None
    tally: Tally = field(factory=Tally)


async def send(post: Post, outgoing: Outgoing, permit: Permit | None = None) -> Outcome:
    """Send one e-mail and say what became of it; a ``permit`` serves the first attempt."""
    outcome = await _send(post, outgoing, permit)
    post.tally.count(outcome)
    return outcome


async def _send(post: Post, outgoing: Outgoing, permit: Permit | None) -> Outcome:
    try:
        letter = letter_of(outgoing, post.sender, datetime.now(UTC))
    except UsageError as mistake:
        if permit is not None:
            permit.release()
        mistake.__context__ = None
        return Rejected(outgoing, mistake.with_traceback(None))
    submission = Submission(post, letter)
    finding = await submission.run(permit)
    attempts = tuple(submission.attempts)
    if finding.verdict is Verdict.OK:
        return Sent(outgoing, Receipt(letter.message_id, finding.text, attempts))
    if finding.verdict is Verdict.UNKNOWN:
        unknown = EmailUnknown(
            CALL,
            finding.phase,
            finding.reason,
            message_id=letter.message_id,
            attempts=attempts,
        )
        return Unknown(outgoing, unknown)
    error = submission.failure(finding)
    error.attempts = attempts
    return Rejected(outgoing, error)


class Submission:
    """One e-mail in flight: the letter, its deadline and its history."""

    def __init__(self, post: Post, letter: Letter) -> None:
        self._post = post
        self._letter = letter
        self._ended = anyio.current_time()
        self._deadline = self._ended + post.deadline
        self._out_of_time: Phase | None = None
        self.attempts: list[Attempt] = []

    async def run(self, permit: Permit | None) -> Finding:
        """Submit, again where the evidence allows it, and return the last finding."""
        tally = self._post.tally
        tally.in_flight += 1
        try:
            finding = await self._attempt(permit)
            if may_repeat(finding, is_send=True):
                finding = await self._again(finding)
        except BaseException:
            tally.cancelled += 1
            self._tell("cancelled")
            raise
        finally:
            tally.in_flight -= 1
        if finding.verdict is Verdict.OK:
            self._post.budget.refund()
        elif finding.timed_out:
            self._out_of_time = finding.phase
        self._tell(finding.verdict)
        return finding

    def _tell(self, verdict: str) -> None:
        """Tell an observer, if there is one, how the e-mail ended; nothing private goes with it."""
        post = self._post
        if post.observer is None:
            return
        record = CallRecord(
            call=CALL,
            channel=CHANNEL,
            base_url=post.lines.server.url,
            verdict=str(verdict),
            seconds=anyio.current_time() - self._deadline + post.deadline,
            attempts=tuple(self.attempts),
        )
        tell(post.observer.ended, record)

    async def _again(self, first: Finding) -> Finding:
        finding, short_of_time = await retry_from(
            first,
            self._attempt,
            policy=self._post.policy,
            budget=self._post.budget,
            is_send=True,
            left=lambda: self._deadline - anyio.current_time(),
        )
        if short_of_time:
            self._out_of_time = Phase.BACKOFF
        return finding

    async def _attempt(self, permit: Permit | None = None) -> Finding:
        """Make one attempt: permit, exchange, finding."""
        post = self._post
        if permit is None:
            try:
                permit = await take(post.limiter, self._deadline)
            except DeadlineExceeded as error:
                finding = unsent(Phase.LIMITER, error.reason, timed_out=True)
                return self._note(finding, anyio.current_time())
        began = anyio.current_time()
        timeouts = post.timeouts.within(self._deadline - began)
        answer = await post.lines.exchange(self._letter, timeouts, self._deadline)
        finding = judge(answer, self._letter, post.lines.server)
        if finding.verdict is Verdict.UNSENT:
            permit.release()
        if finding.crowded:
            post.limiter.throttled(None)
        return self._note(finding, began)

    def _note(self, finding: Finding, began: float) -> Finding:
        """Enter an attempt into the history."""
        waited, self._ended = began - self._ended, anyio.current_time()
        number = len(self.attempts) + 1
        self.attempts.append(
            Attempt(
                number=number,
                evidence=finding.evidence,
                phase=finding.phase,
                reason=finding.reason,
                status=finding.status,
                waited=waited,
                took=self._ended - began,
            )
        )
        self._post.tally.retries += number > 1
        if finding.verdict is not Verdict.OK:
            said = (CALL, number, finding.verdict, finding.reason)
            log.info("%s: attempt %d is %s (%s)", *said)
        return finding

    def failure(self, finding: Finding) -> AldeamoError:
        """Make the error of an e-mail that provably did not go out."""
        if finding.error is not None:
            return finding.error
        if self._out_of_time is Phase.BACKOFF:
            reason = f"{finding.reason}, and the wait before another attempt does not fit"
            return DeadlineExceeded(CALL, Phase.BACKOFF, reason)
        if self._out_of_time is not None:
            return DeadlineExceeded(CALL, self._out_of_time, finding.reason)
        return EmailNotSent(CALL, finding.phase, finding.reason)
