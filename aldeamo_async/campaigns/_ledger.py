"""The port of every ledger: what a campaign may rely on, in words.

Rule 1: durable means: on return it survives a kill of this process; a ledger on disk or on a
server outlives a power cut.
Rule 2: a token names one run. Only it may change what it marked, and a takeover needs no word from
it.
Rule 3: a ledger reads its own clock, for only one clock counts where many machines share it;
callers give durations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._nouns import Added, Counts, Entry, Fleet, Job, Line, Resolution, Result


@runtime_checkable
class Ledger(Protocol):
    """The durable state of one campaign: pending -> attempting -> sent | rejected | unknown.

    Guarantees that every implementation gives:

    - a message is added once for each ``client_ref``, however often and by whomever it is added;
    - two claims never hold the same message, and a message is marked by at most one token at a
      time;
    - a failed write has changed nothing, and everyone who waits for it is told;
    - calls may be made by many tasks at once, and none is torn apart by a cancellation.

    Every method raises ``CampaignError`` where the ledger cannot be read or written.
    """

    @property
    def lease(self) -> float:
        """Seconds that a claim holds without ``renew``; infinite where it ends with its process."""
        ...

    async def open(self) -> None:
        """Make the ledger ready; raise ``CampaignError`` if another process holds it or it is none
        of ours."""
        ...

    async def aclose(self) -> None:
        """Let go of the ledger; calling it again does nothing."""
        ...

    async def add(self, source: str, entries: Sequence[Entry]) -> Added:
        """Add a batch of input rows in their order, all or none; durable.

        The same row (source, line and content) added again changes nothing and is counted as a
        duplicate.
        """
        ...

    async def claim(self, token: str, limit: int, chunk: int | None = None) -> Sequence[Job]:
        """Lease up to ``limit`` pending messages that are due, in the order of the input; none is
        an empty list.

        With ``chunk`` they are messages of that chunk (see ``span_of``). The lease holds ``lease``
        seconds, and longer with ``renew``.
        """
        ...

    async def chunks(self, after: int, limit: int) -> Sequence[int]:
        """Return the next chunks with a number above ``after`` that have a pending message which
        nobody holds."""
        ...

    async def renew(self, token: str) -> bool:
        """Extend the leases of a token that has claimed; ``False``: they were lost, so start
        nothing more that was claimed before."""
        ...

    async def mark(self, token: str, message: int) -> bool:
        """Turn a pending message to attempting, durably; ``False``: it is no longer this token's
        to send."""
        ...

    async def record(self, token: str, result: Result) -> None:
        """Write down the result of a message that this token marked, durably.

        A message that was taken over as unknown still accepts it; one that was resolved since does
        not.
        """
        ...

    async def put_off(self, token: str, messages: Sequence[int], seconds: float) -> None:
        """Give claimed messages back unsent, to come up again in ``seconds`` at the earliest."""
        ...

    async def release(self, token: str) -> None:
        """Give back everything that was claimed and not marked."""
        ...

    async def take_over(self, token: str) -> int:
        """Turn what others marked, and can no longer finish, to unknown; return how many there
        were."""
        ...

    async def next_due(self, chunk: int | None = None) -> float | None:
        """Return the seconds until something pending (of that chunk) can be claimed, or ``None``
        when nothing is pending."""
        ...

    async def counts(self) -> Counts:
        """Count messages and rows kept aside."""
        ...

    async def lines(self, after: int, limit: int) -> Sequence[Line]:
        """Return the next input rows with an id above ``after``, in the order of the input."""
        ...

    async def unknowns(self, after: int, limit: int) -> Sequence[Line]:
        """Return the next messages in the state unknown with an id above ``after``."""
        ...

    async def resolve(self, resolution: Resolution, messages: Sequence[int] | None = None) -> int:
        """Settle unknown messages, all of them by default, and return how many; durable.

        ``HOLD`` changes nothing and counts them.
        """
        ...

    async def beat(self, worker: str, recorded: int) -> None:
        """Note that a worker lives, and how many messages it has recorded since it began."""
        ...

    async def leave(self, worker: str) -> None:
        """Strike a worker off: it has ended in order."""
        ...

    async def fleet(self) -> Fleet:
        """Return the workers by name, and the leases that hold now."""
        ...
