"""What a campaign is made of: input rows, messages and their states, results, lines of an export.

Rule: values only; what may follow what is decided where a ledger or a run does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from attrs import field, frozen

from .._models import Outgoing
from .._redact import mask_id, mask_text

# Messages of one chunk, and of one claim: some tenths of a second of work, so that a claim costs a
# message next to nothing, and a death leaves little to wait for.
CHUNK: Final = 500


def span_of(chunk: int) -> tuple[int, int]:
    """Return the first and the last number that a message of a chunk can have; chunks are numbered
    from 1.

    What the ledger counted without adding it (rows kept aside, duplicates) leaves gaps, so a chunk
    has up to 500 messages, and always the same ones.
    """
    return (chunk - 1) * CHUNK + 1, chunk * CHUNK


def chunk_of(message: int) -> int:
    """Return the chunk that a message belongs to."""
    return (message - 1) // CHUNK + 1


class State(StrEnum):
    """Where a message of a campaign stands."""

    PENDING = "pending"  # not sent: not tried yet, or refused for now
    ATTEMPTING = "attempting"  # marked: from here on it may have gone out
    SENT = "sent"  # the API took it
    REJECTED = "rejected"  # it did not go out, and will not by itself
    UNKNOWN = "unknown"  # it may have gone out, and nothing here can tell


class Resolution(StrEnum):
    """What to do with a message whose fate is unknown."""

    HOLD = "hold"  # leave it as it is
    ASSUME_SENT = "assume_sent"  # count it as sent, without sending
    RESEND = "resend"  # send it again: nine of ten such messages had arrived, and arrive twice


class Aside(StrEnum):
    """Why an input row is no message of its campaign."""

    INVALID = "invalid"  # it cannot be sent
    DUPLICATE = "duplicate"  # the same message stands in another row
    CONFLICT = "conflict"  # another message has its ``client_ref``


@frozen
class Entry:
    """One input row on its way into a ledger; with a ``problem`` it is kept aside and never
    sent."""

    line: int
    client_ref: str
    channel: str
    client_id: str = field(repr=mask_id)
    text: str = field(repr=mask_text)
    problem: str = ""


@frozen
class Added:
    """What a ledger made of a batch of entries.

    ``duplicates`` counts rows whose message was there before; ``conflicts`` are the entries whose
    ``client_ref`` belongs to another message.
    """

    added: int
    duplicates: int = 0
    conflicts: tuple[Entry, ...] = ()


@frozen
class Job:
    """One claimed message: its number in the ledger, what to send, and the attempts made before."""

    id: int
    outgoing: Outgoing
    attempts: int = 0


@frozen
class Result:
    """What became of one job.

    ``attempts`` is the number made, 0 where nothing was tried. ``reason`` is short, to count by;
    ``detail`` is the error in words. A ``PENDING`` message comes up again ``delay`` seconds from
    now at the earliest.
    """

    id: int
    state: State
    attempts: int = 1
    reason: str = ""
    detail: str = ""
    message_id: str | None = None
    delay: float = 0.0


@frozen
class Line:
    """One input row with all that is known of it: a line of an export.

    ``state`` is a ``State``, or for a row kept aside an ``Aside``. ``line`` is that of its file,
    or its place in the source; ``source`` the file's name. ``updated`` is in seconds since 1970,
    ``None`` while nothing was tried.
    """

    id: int
    source: str
    line: int
    client_ref: str
    channel: str
    client_id: str = field(repr=mask_id)
    text: str = field(repr=mask_text)
    state: State | Aside
    attempts: int = 0
    message_id: str | None = None
    reason: str = ""
    detail: str = ""
    updated: float | None = None


@frozen
class Counts:
    """How many messages stand where, and why; rows kept aside are counted apart.

    ``reasons`` counts by state and reason, for states that have reasons.
    """

    states: Mapping[State, int] = field(hash=False)
    aside: Mapping[Aside, int] = field(hash=False)
    reasons: Mapping[State, Mapping[str, int]] = field(hash=False)

    @property
    def total(self) -> int:
        """All messages."""
        return sum(self.states.values())


@frozen
class Worker:
    """A process that works on the campaign, as the ledger last heard of it.

    ``name`` is its host, its process id, and a random ending. ``alive``: its last beat is younger
    than a lease; ``beat`` is the age of that beat in seconds. ``recorded`` messages need no
    further try; ``rate`` is how many a second between its last two beats.
    """

    name: str
    alive: bool
    beat: float
    recorded: int
    rate: float


@frozen
class Fleet:
    """Who works on a campaign, and how many messages are leased, by how many runs."""

    workers: tuple[Worker, ...] = ()
    leased: int = 0
    leases: int = 0


def by_state(reasons: Iterable[tuple[State, str, int]]) -> dict[State, dict[str, int]]:
    """Sort numbers by state and reason."""
    found: dict[State, dict[str, int]] = {}
    for state, reason, number in reasons:
        found.setdefault(state, {})[reason] = number
    return found
