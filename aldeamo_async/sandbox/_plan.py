"""What will happen to one request, as a value that either door can play.

Law: a plan is complete. A door decides nothing but how to wait, write and hang up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from ._answers import Answer
from ._faults import Fault, Moment

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen(repr=False)
class Sending:
    """The message that a send delivers when its plan is committed."""

    channel: str
    client_id: str
    text: str
    message_id: int


@frozen
class Plan:
    """The answer, the effect (`None` when nothing is delivered) and the fault to play."""

    answer: Answer
    sending: Sending | None
    fault: Fault

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it is sent: whole, in drips, or the first half before a drop."""
        body = self.answer.body
        if self.fault.drop is Moment.ANSWER:
            body = body[: len(body) // 2]
        step = self.fault.drip or len(body) or 1
        for start in range(0, len(body), step):
            yield body[start : start + step]
