"""From an outcome to what the ledger records of it.

Rule 1: what provably did not go out, for a reason that is not the message's own (a limit, the
network, the key), is pending again; a number of attempts bounds that.
Rule 2: unknown stays unknown.
"""

from __future__ import annotations

from typing import Final

from .._errors import AldeamoError, ApiError, AuthError, NetworkError, NotSent, RateLimited
from .._models import Outcome, Rejected, Sent
from ._nouns import Job, Result, State

# Seconds; an outage is rarely over sooner, and a campaign has time.
UNSENT_SECONDS: Final = 30.0


def judge(job: Job, outcome: Outcome, max_attempts: int, refused_seconds: float) -> Result:
    """Say what is recorded of a job; a refusal that names no time counts ``refused_seconds``."""
    attempts = len(outcome.attempts)
    if isinstance(outcome, Sent):
        return Result(job.id, State.SENT, attempts, message_id=outcome.receipt.message_id)
    error = outcome.error
    reason, detail = reason_of(error), str(error)
    if not isinstance(outcome, Rejected):
        # An e-mail has its Message-ID before anybody answers: the server's log can be asked for it.
        name: str | None = getattr(error, "message_id", None)
        return Result(job.id, State.UNKNOWN, attempts, reason, detail, message_id=name)
    if isinstance(error, AuthError):
        return Result(job.id, State.PENDING, attempts, reason, detail)
    if isinstance(error, NotSent | RateLimited) and job.attempts + attempts < max_attempts:
        delay = _delay(error, refused_seconds)
        return Result(job.id, State.PENDING, attempts, reason, detail, delay=delay)
    return Result(job.id, State.REJECTED, attempts, reason, detail)


def _delay(error: NotSent | RateLimited, refused_seconds: float) -> float:
    if isinstance(error, NotSent):
        return UNSENT_SECONDS
    return refused_seconds if error.retry_after is None else error.retry_after


def reason_of(error: AldeamoError) -> str:
    """Return an error in a few words that are the same for all of its kind."""
    name = type(error).__name__
    if isinstance(error, ApiError):
        if error.code is None:
            return f"{name} HTTP {error.http_status}"
        # A mail server's reply code, which came without HTTP, or one in the API's envelope.
        return f"{name} {'codigo' if error.http_status else 'SMTP'} {error.code}"
    if isinstance(error, NetworkError):
        return f"{name} {error.phase}"
    return name
