"""Per-client order: a client's messages go out one after the other, in the order of the input.

Rule 1: pure bookkeeping; it neither waits nor sends.
Rule 2: a message that is put off takes those behind it along, for an order with a gap is none.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from .._models import Outgoing
    from ._nouns import Job

_Client: TypeAlias = tuple[str, str]

HELD_BACK_MAX: Final = 2000  # messages; enough to get past one talkative client


class ClientLines:
    """Which clients are busy, what waits for them, and who was put off until when."""

    def __init__(self) -> None:
        self._behind: dict[_Client, deque[Job]] = {}
        self._late: dict[_Client, float] = {}
        self._freed: deque[Job] = deque()
        self._held = 0

    @property
    def full(self) -> bool:
        """Whether nothing more may be held back."""
        return self._held >= HELD_BACK_MAX

    def wait(self, job: Job, now: float) -> float:
        """Return the seconds for which a message must stand back, because one before it was put
        off."""
        key = _client_of(job.outgoing)
        until = self._late.get(key, now)
        if until <= now:
            self._late.pop(key, None)
        return until - now

    def start(self, job: Job) -> bool:
        """Mark the client busy and return ``True``, or hold the message back and return
        ``False``."""
        key = _client_of(job.outgoing)
        behind = self._behind.get(key)
        if behind is None:
            self._behind[key] = deque()
            return True
        behind.append(job)
        self._held += 1
        return False

    def freed(self) -> Job | None:
        """Return a message whose client has become free; it counts as started."""
        return self._freed.popleft() if self._freed else None

    def finish(self, job: Job) -> None:
        """Free the client, or let its next message go."""
        key = _client_of(job.outgoing)
        behind = self._behind[key]
        if behind:
            self._held -= 1
            self._freed.append(behind.popleft())
        else:
            del self._behind[key]

    def put_off(self, job: Job, until: float) -> list[Job]:
        """Free the client and return all that waited behind; what comes before ``until`` stands
        back too."""
        key = _client_of(job.outgoing)
        behind = self._behind.pop(key)
        self._held -= len(behind)
        self._late[key] = until
        return list(behind)


def _client_of(outgoing: Outgoing) -> _Client:
    """Return a client as a ledger spells it: one way for each."""
    return str(outgoing.channel), str(outgoing.client_id)
