"""What one answer of the mail server, or its absence, says of an e-mail.

Rule 1: a complete answer decides by its first digit, before and after the end of the message alike
(RFC 5321, 4.2.1): 2 took it, 4 not now, 5 no; a no means that the server did nothing.
Rule 2: no answer after the end of the message proves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from .._errors import AldeamoError
from .._evidence import Evidence, Phase
from .._redact import PRIVATE_MARK, PRIVATE_RUN_CHARS, snippet_of
from .._retry import Verdict
from .._wire import MaybeSent, Unsent
from ._errors import CALL, EmailAuthError, EmailNotSent, EmailRefused, EmailRejected
from ._line import (
    AUTH,
    END_OF_DATA,
    NAMES_RECIPIENT,
    SHUTTING_DOWN,
    Answer,
    Insecure,
    Reply,
)

if TYPE_CHECKING:
    from ._letter import Letter
    from ._server import Server


@frozen
class Finding:
    """What one attempt came to; ``crowded`` says that the refusal concerns every e-mail."""

    verdict: Verdict
    evidence: Evidence
    phase: Phase
    reason: str
    status: int | None = None
    text: str = ""
    timed_out: bool = False
    crowded: bool = False
    error: AldeamoError | None = None
    retry_after: float | None = None


def judge(answer: Answer, letter: Letter, server: Server) -> Finding:
    """Judge what came of one attempt."""
    if isinstance(answer, Unsent):
        return unsent(answer.phase, answer.reason, timed_out=answer.timed_out)
    if isinstance(answer, MaybeSent):
        return _unknown(answer.phase, answer.reason, timed_out=answer.timed_out)
    if isinstance(answer, Insecure):
        error = EmailNotSent(CALL, Phase.CONNECT, answer.reason)
        return Finding(Verdict.REJECTED, Evidence.UNSENT, Phase.CONNECT, answer.reason, error=error)
    return _of_reply(answer, _shown(answer.text, letter, server))


def unsent(phase: Phase, reason: str, *, timed_out: bool) -> Finding:
    """Make the finding of an attempt in which nothing went out."""
    return Finding(Verdict.UNSENT, Evidence.UNSENT, phase, reason, timed_out=timed_out)


def _unknown(phase: Phase, reason: str, *, timed_out: bool) -> Finding:
    return Finding(Verdict.UNKNOWN, Evidence.MAYBE_SENT, phase, reason, timed_out=timed_out)


def _shown(words: str, letter: Letter, server: Server) -> str:
    """Return what a server said as it may be shown; words that quote the message are not."""
    words = " ".join(words.split())
    pieces = (
        words[at : at + PRIVATE_RUN_CHARS] for at in range(len(words) - PRIVATE_RUN_CHARS + 1)
    )
    if any(piece in letter.text for piece in pieces):
        return PRIVATE_MARK
    private = (*letter.private, server.username)
    return snippet_of(words, key=server.password.reveal(), private=private)


def _of_reply(reply: Reply, text: str) -> Finding:
    step, code = reply.step, reply.code
    if step == END_OF_DATA and 200 <= code < 300:
        return _answered(Verdict.OK, code, "ok", text=text)
    if not 400 <= code < 600:
        reason = f"{code} is no answer to {step}"
        if step == END_OF_DATA:
            return _unknown(Phase.DONE, reason, timed_out=False)
        return unsent(Phase.WRITE, reason, timed_out=False)
    reason = f"{code} to {step}"
    if code < 500:
        # A mailbox that is busy, or puts strangers off, is no reason to slow all others down.
        crowded = code == SHUTTING_DOWN or step not in NAMES_RECIPIENT
        error: EmailRejected = EmailRefused(CALL, text, 0, code, step=step)
        return _answered(Verdict.REFUSED, code, reason, error=error, crowded=crowded)
    kind = EmailAuthError if step == AUTH or code == 530 else EmailRejected  # 530: log in first
    return _answered(Verdict.REJECTED, code, reason, error=kind(CALL, text, 0, code, step=step))


def _answered(
    verdict: Verdict,
    code: int,
    reason: str,
    *,
    text: str = "",
    error: EmailRejected | None = None,
    crowded: bool = False,
) -> Finding:
    return Finding(
        verdict,
        Evidence.ANSWERED,
        Phase.DONE,
        reason,
        status=code,
        text=text,
        error=error,
        crowded=crowded,
    )
