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

# Seconds; an outage or a limit without a number is rarely over sooner, and a campaign has time.
PUT_OFF_SECONDS: Final = 30.0


def judge(job: Job, outcome: Outcome, max_attempts: int) -> Result:
    """Say what is recorded of a job."""
    attempts = len(outcome.attempts)
    if isinstance(outcome, Sent):
        return Result(job.id, State.SENT, attempts, message_id=outcome.receipt.message_id)
    error = outcome.error
    reason, detail = reason_of(error), str(error)
    if not isinstance(outcome, Rejected):
        return Result(job.id, State.UNKNOWN, attempts, reason, detail)
    if isinstance(error, AuthError):
        return Result(job.id, State.PENDING, attempts, reason, detail)
    if isinstance(error, NotSent | RateLimited) and job.attempts + attempts < max_attempts:
        delay = getattr(error, "retry_after", None)
        delay = PUT_OFF_SECONDS if delay is None else delay
        return Result(job.id, State.PENDING, attempts, reason, detail, delay=delay)
    return Result(job.id, State.REJECTED, attempts, reason, detail)


def reason_of(error: AldeamoError) -> str:
    """Return an error in a few words that are the same for all of its kind."""
    name = type(error).__name__
    if isinstance(error, ApiError):
        code = f"HTTP {error.http_status}" if error.code is None else f"codigo {error.code}"
        return f"{name} {code}"
    if isinstance(error, NetworkError):
        return f"{name} {error.phase}"
    return name
