"""The port of every client that a campaign can send with: what a run needs of it, in words.

Rule 1: a ledger keeps rows of one kind: whoever sends e-mails touches no message of the BOTS API,
and the reverse.
Rule 2: the look at a ledger before a run is for an early word; that no row of the other kind is
sent is seen to at each claim.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from ._nouns import Aside

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from .._files import Record
    from .._models import Outcome
    from ..limits import Permit, RateLimiter
    from ._ledger import Ledger
    from ._nouns import Entry, Job

_LINES_AT_ONCE: Final = 500


class Maker(Protocol):
    """Turns input rows into entries, by the checks of the client that will send them."""

    def from_record(self, record: Record) -> Entry:
        """Check one row of a file."""
        ...

    def from_row(self, number: int, row: object) -> Entry:
        """Check one row of another source; ``number`` is its place, from 1."""
        ...


class Sender(Protocol):
    """A client as a campaign sees it, for the time of one call of the campaign."""

    @property
    def limiter(self) -> RateLimiter:
        """What paces the messages."""
        ...

    @property
    def at_once(self) -> int | None:
        """The most messages that can be on the wire at one time; ``None``: as many as you like.

        Marking more than these would gain nothing, and make more unknowns of a kill.
        """
        ...

    @property
    def refused_seconds(self) -> float:
        """Seconds until a message comes up again whose refusal named no time."""
        ...

    @property
    def refused_key(self) -> str:
        """What to say when the other side no longer lets this client in."""
        ...

    def once(self) -> Sender:
        """Return the same with one attempt for each message."""
        ...

    def is_gone(self) -> bool:
        """Tell whether the client was closed, or belongs to another event loop or process."""
        ...

    def send(self, outgoing: Any, permit: Permit) -> Awaitable[Outcome]:
        """Send one message, taking over its permit, and say what became of it."""
        ...

    def maker(self, channel: str | None, template: str | None) -> Maker:
        """Return what checks rows; raise ``UsageError`` for options that it has no use for."""
        ...

    def check(self, channel: str) -> None:
        """Raise ``CampaignError`` if a row of that channel is none of this client's."""
        ...

    def jobs(self, claimed: Sequence[Job]) -> Sequence[Job]:
        """Return claimed messages as this client sends them; raise ``CampaignError`` if it cannot
        send one of them."""
        ...


async def check_ledger(ledger: Ledger, sender: Sender) -> bool:
    """Look at the first message of a ledger; ``False`` where there is none yet.

    Raises:
        CampaignError: it is none of this client's.
    """
    after, limit = 0, 1  # rows kept aside rarely come first
    while lines := await ledger.lines(after, limit):
        for line in lines:
            if not isinstance(line.state, Aside):
                sender.check(line.channel)
                return True
        after, limit = lines[-1].id, _LINES_AT_ONCE
    return False
