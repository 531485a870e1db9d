"""From a call's last finding to what the caller gets: a noun, an outcome, or a typed error.

Rule 1: a send ends in one of three outcomes, whatever the input, the network or the API did.
Rule 2: an error is made from values, never chained to a library's own: theirs hold the request, and
so the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._call import Call, Engine, Terms
from ._codec import Envelope, Malformed
from ._errors import (
    AldeamoError,
    DeadlineExceeded,
    DeliveryUnknown,
    NoAnswer,
    NotSent,
    UnexpectedResponse,
    UsageError,
)
from ._evidence import Phase
from ._models import Outcome, Outgoing, Receipt, Rejected, Sent, Unknown
from ._retry import Verdict
from ._wire import Finding, WireRequest, send_request

if TYPE_CHECKING:
    from .limits import Permit


async def send(
    engine: Engine, terms: Terms, outgoing: Outgoing, permit: Permit | None = None
) -> Outcome:
    """Send one message and say what became of it.

    A ``permit`` already taken serves the first attempt.
    """
    outcome: Outcome
    call: Call | None = None
    try:
        call = Call(engine, terms, _checked(outgoing, terms), is_send=True)
        outcome = _outcome(outgoing, terms, call, await call.run(permit))
    except UsageError as error:  # of the input, or of a transport: a URL too long, or closed
        if call is not None:
            error.attempts = call.attempts
        elif permit is not None:
            permit.release()
        outcome = Rejected(outgoing, _bare(error))
    engine.tally.count(outcome)
    return outcome


def _outcome(outgoing: Outgoing, terms: Terms, call: Call, finding: Finding) -> Outcome:
    """Make the outcome of a call that came to a finding."""
    if finding.verdict is Verdict.OK:
        return _sent(outgoing, terms, call, finding)
    if finding.verdict is Verdict.UNKNOWN:
        return Unknown(outgoing, _unknown(call, finding))
    return Rejected(outgoing, failure(call, finding))


def _bare(error: UsageError) -> UsageError:
    """Strip an error of the frames behind it, so that a million bad rows stay small."""
    error.__context__ = None
    return error.with_traceback(None)


def _checked(outgoing: object, terms: Terms) -> WireRequest:
    """Turn an outgoing message into a request, or raise ``UsageError``."""
    if not isinstance(outgoing, Outgoing):
        kind = type(outgoing).__name__
        raise UsageError(f"A message to send is an Outgoing(channel, client_id, text), not {kind}.")
    return send_request(outgoing, terms.settings.dialect, terms.settings.api_key)


def _sent(outgoing: Outgoing, terms: Terms, call: Call, finding: Finding) -> Sent | Unknown:
    """Read the receipt of a success; one that ``strict_data`` refuses leaves the fate open."""
    envelope = envelope_of(finding)
    try:
        message_id = terms.codec.message_id(envelope.data, call.name)
    except Malformed as fault:
        return Unknown(outgoing, _unknown(call, finding, misshapen(call, finding, fault)))
    return Sent(outgoing, Receipt(message_id, envelope.text, call.attempts))


def envelope_of(finding: Finding) -> Envelope:
    """Return the envelope of a success, which always has one."""
    assert finding.envelope is not None  # noqa: S101 - decipher() gives every OK its envelope
    return finding.envelope


def failure(call: Call, finding: Finding) -> AldeamoError:
    """Make the error of a call that brought nothing and delivered nothing."""
    error: AldeamoError
    if finding.error is not None:
        error = finding.error
    elif call.out_of_time is Phase.BACKOFF:
        reason = f"{finding.reason}, and the wait before another attempt does not fit"
        error = DeadlineExceeded(call.name, Phase.BACKOFF, reason)
    elif call.out_of_time is not None:
        error = DeadlineExceeded(call.name, call.out_of_time, finding.reason)
    elif finding.verdict is Verdict.UNSENT:
        error = NotSent(call.name, finding.phase, finding.reason)
    else:
        error = NoAnswer(call.name, finding.phase, finding.reason)
    error.attempts = call.attempts
    return error


def _unknown(
    call: Call, finding: Finding, answer: UnexpectedResponse | None = None
) -> DeliveryUnknown:
    """Make the error of a send whose fate nobody here can know."""
    return DeliveryUnknown(
        call.name,
        finding.phase,
        finding.reason,
        http_status=finding.status,
        answer=answer or finding.error,
        attempts=call.attempts,
    )


def misshapen(call: Call, finding: Finding, fault: Malformed) -> UnexpectedResponse:
    """Make the error of a success whose ``data`` has the wrong shape."""
    return UnexpectedResponse(
        call.name, finding.status or 0, fault.problems, attempts=call.attempts
    )
