"""Per-client order: a client's messages go out one after the other, in the order of the input.

Rule 1: pure bookkeeping; it neither waits nor sends.
Rule 2: a message that is put off takes those behind it along, for an order with a gap is none.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import define, field

if TYPE_CHECKING:
    from .._models import Outgoing
    from ._nouns import Job

_Client: TypeAlias = tuple[str, str]

HELD_BACK_MAX: Final = 2000  # messages; enough to get past one talkative client
# Seconds between two looks whether the message in front has come up again.
_STAND_BACK_SECONDS: Final = 1.0
# Seconds; a message in front that does not come up by then was taken by another run, or settled.
_PATIENCE_SECONDS: Final = 60.0


@define
class _Late:
    """The messages of one client that were put off, by number, and when the first is due."""

    until: float
    ids: list[int] = field(factory=list[int])


class ClientLines:
    """Which clients are busy, what waits for them, and who was put off."""

    def __init__(self) -> None:
        self._behind: dict[_Client, deque[Job]] = {}
        self._late: dict[_Client, _Late] = {}
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
        late = self._late.get(key)
        if late is None or job.id <= late.ids[0] or now > late.until + _PATIENCE_SECONDS:
            self._forget(key, job)
            return 0.0
        if job.id not in late.ids:
            insort(late.ids, job.id)
        return max(late.until - now, _STAND_BACK_SECONDS)

    def _forget(self, key: _Client, job: Job) -> None:
        """Take a message out of those that were put off, with those before it that never came."""
        late = self._late.get(key)
        if late is not None:
            late.ids = [number for number in late.ids if number > job.id]
            if not late.ids:
                del self._late[key]

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
        """Free the client and return all that waited behind; they come after ``job``, when it
        comes again."""
        key = _client_of(job.outgoing)
        behind = self._behind.pop(key)
        self._held -= len(behind)
        late = self._late.setdefault(key, _Late(until))
        late.until = until
        for later in (job, *behind):
            insort(late.ids, later.id)
        return list(behind)


def _client_of(outgoing: Outgoing) -> _Client:
    """Return a client as a ledger spells it: one way for each."""
    return str(outgoing.channel), str(outgoing.client_id)
