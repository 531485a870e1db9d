"""What a run has come to so far, and what it means for the exit code.

Rule: every row is counted once, under exactly one verdict, so the report adds up or is wrong.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import define, field

from .._errors import AldeamoError, AuthError, NotSent
from .._files import BadRow, Row
from .._models import Outcome, Rejected, Sent
from ._exit import Exit

CUT_SHORT = (
    "The run was cancelled while this message was under way. It MAY have been delivered; "
    "look at the recipient's conversation before you resend it."
)


@define
class Tally:
    """The counts of one run. ``problems`` counts what stood in the way, by kind."""

    sent: int = 0
    rejected: int = 0
    unknown: int = 0
    bad: int = 0
    not_started: int = 0
    retries: int = 0
    auth_in_a_row: int = 0
    unsent: int = 0
    refused_keys: int = 0
    problems: Counter[str] = field(factory=Counter[str])

    @property
    def rows(self) -> int:
        """How many rows have their verdict."""
        return self.sent + self.rejected + self.unknown + self.bad + self.not_started

    def outcome(self, row: Row, outcome: Outcome) -> dict[str, Any]:
        """Count an outcome and return its line of the results."""
        attempts = len(outcome.attempts)
        self.retries += max(0, attempts - 1)
        if isinstance(outcome, Sent):
            self.sent += 1
            self.auth_in_a_row = 0
            return _line(row, "sent", message_id=outcome.receipt.message_id, attempts=attempts)
        verdict = "rejected" if isinstance(outcome, Rejected) else "unknown"
        if verdict == "rejected":
            self._rejected(outcome.error)
        else:
            self.unknown += 1
        self.problems[type(outcome.error).__name__] += 1
        return _line(
            row,
            verdict,
            error=type(outcome.error).__name__,
            help=str(outcome.error),
            attempts=attempts,
        )

    def _rejected(self, error: AldeamoError) -> None:
        self.rejected += 1
        self.unsent += isinstance(error, NotSent)
        refused = isinstance(error, AuthError)
        self.refused_keys += refused
        self.auth_in_a_row = self.auth_in_a_row + 1 if refused else 0

    def bad_row(self, row: BadRow) -> dict[str, Any]:
        """Count a row that is never sent and return its line."""
        self.bad += 1
        return _line(row, "bad", error="BadRow", help=row.problem)

    def cut_short(self, row: Row) -> dict[str, Any]:
        """Count a row whose outcome nobody waited for and return its line."""
        self.unknown += 1
        self.problems["Interrupted"] += 1
        return _line(row, "unknown", error="Interrupted", help=CUT_SHORT)

    def never_started(self, row: Row) -> dict[str, Any]:
        """Count a row that the run did not come to and return its line."""
        self.not_started += 1
        return _line(row, "not_started", help="The run ended before this row; it was not sent.")

    def exit_code(self) -> Exit:
        """Return the exit code: the most serious thing that happened."""
        if self.unknown:
            return Exit.UNKNOWN
        if self.refused_keys:
            return Exit.AUTH
        if self.rejected and self.rejected == self.unsent and not self.bad:
            return Exit.NETWORK
        return Exit.REJECTED if self.rejected or self.bad else Exit.OK


def _line(
    row: Row | BadRow,
    verdict: str,
    *,
    message_id: str | None = None,
    error: str | None = None,
    help: str | None = None,
    attempts: int = 0,
) -> dict[str, Any]:
    return {
        **head(row),
        "verdict": verdict,
        "message_id": message_id,
        "error": error,
        "help": help,
        "attempts": attempts,
    }


def head(row: Row | BadRow) -> dict[str, Any]:
    """Return what identifies a row in the results."""
    where = row.outgoing if isinstance(row, Row) else row
    reference = {} if row.client_ref is None else {"client_ref": row.client_ref}
    return {
        "row": row.number,
        "line": row.line,
        "channel": str(where.channel),
        "client_id": str(where.client_id),
        **reference,
    }
