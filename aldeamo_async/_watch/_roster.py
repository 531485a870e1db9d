"""The clients of a watch: which of them to read now, and which of their messages are new.

Rule 1: without I/O: lists and rows come in with the time, names and messages go out.
Rule 2: a client is settled only by a read that began ``SETTLE`` after the list that showed its
``last_active``: that date counts whole seconds, and more may come within the same one.
Rule 3: no clock or time zone of the server is trusted; a ``last_active`` is compared with the
client's earlier one, and only for being another.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from attrs import define, evolve, frozen

from .._models import Message
from .._redact import mask_id
from ._position import Position, by_number, is_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Seconds. One until the second of a `last_active` is over, one for a row that a replica shows late.
SETTLE: Final = 2.0
# Seconds between two reads of a client without a `last_active` that can be read.
DATELESS_EVERY: Final = 600.0
# An empty list in a row; the API is known to say `data: null` where it means "not now".
EMPTY_BELIEVED: Final = 3
RETRY_FIRST: Final = 5.0  # seconds before a client that could not be read is read again, then twice
RETRY_MOST: Final = 300.0  # and so on up to this
# UTC-12:00 is the zone that is furthest behind: a naive date can be that much below UTC.
FURTHEST_BEHIND: Final = timedelta(hours=12)


@frozen
class Found:
    """A new message; with the last one of a read goes the ``last_active`` that it settles."""

    client: Client
    message: Message
    active: str | None


@define(eq=False)
class Client:
    """One client between two rounds; times are those of the event loop.

    ``sight`` is the ``last_active`` of the last list that had it, first seen ``since`` then; it is
    not read again before ``due``.
    """

    name: str
    position: Position
    sight: str | None = None
    since: float = -math.inf
    due: float = -math.inf
    failures: int = 0
    empty: int = 0

    def __repr__(self) -> str:
        return f"<Client {mask_id(self.name)}>"

    @property
    def moved(self) -> bool:
        """Whether there may be something to read."""
        return self.sight is None or self.sight != self.position.active

    def see(self, sight: str | None, now: float) -> None:
        """Take note of a list that was complete at ``now``."""
        if sight == self.sight:
            return
        self.sight, self.since = sight, now
        if not self.failures:
            self.due = -math.inf

    def fail(self, now: float) -> None:
        """Put the client off after a read that brought nothing to go by."""
        self.due = now + min(RETRY_MOST, RETRY_FIRST * 2.0 ** min(self.failures, 10))
        self.failures += 1

    def settle(self, began: float) -> str | None:
        """Take note of a good read; return the ``last_active`` that it settles, if it does."""
        self.failures = 0
        if self.sight is None:
            self.due = began + DATELESS_EVERY
            return None
        self.due = self.since + SETTLE
        return self.sight if began >= self.due else None


class Roster:
    """Every client that was ever listed; ``only`` names those to heed, ``None`` is all of them."""

    def __init__(
        self, positions: dict[str, Position], floor: datetime, only: frozenset[str] | None
    ) -> None:
        self.floor = floor
        self._only = only
        self._clients = {name: Client(name, place) for name, place in positions.items()}

    def __len__(self) -> int:
        return len(self._clients)

    def positions(self) -> dict[str, Position]:
        """Return the position of each client."""
        return {name: client.position for name, client in self._clients.items()}

    def begin(self, sights: Mapping[str, str | None], now: float) -> list[Client]:
        """Take the first list of a new watch; return who may have messages since the floor.

        The others are settled by their ``last_active`` alone: it is older than the floor in any
        time zone.
        """
        earliest = str(self.floor.astimezone(UTC).replace(tzinfo=None) - FURTHEST_BEHIND)
        late: list[Client] = []
        for client in self._see(sights, now):
            if client.sight is None or client.sight >= earliest:
                late.append(client)
            else:
                client.position = evolve(client.position, active=client.sight)
        return late

    def note(self, sights: Mapping[str, str | None], now: float) -> list[Client]:
        """Take the list of a round, complete at ``now``; return who is to be read.

        ``sights`` are the ``last_active`` by client, as text.
        """
        return [c for c in self._see(sights, now) if c.moved and c.due <= now]

    def _see(self, sights: Mapping[str, str | None], now: float) -> Iterator[Client]:
        """Note each ``last_active``; who is not listed stays as it was, for it may come back."""
        for name, sight in sights.items():
            if self._only is None or name in self._only:
                client = self._clients.get(name) or Client(name, Position())
                self._clients[name] = client
                client.see(sight, now)
                yield client

    def read(self, client: Client, rows: list[Message], began: float, now: float) -> list[Found]:
        """Take what a client's read brought; return its new messages, in the order of their ids.

        The read was asked for at ``began``. What it settles counts once the messages are handed
        over, so it goes with the last of them.
        """
        if self._doubtful(client, rows, now):
            return []
        active = client.settle(began)
        new = self._new(client.position, rows)
        if not new and active is not None:
            client.position = evolve(client.position, active=active)
        return [Found(client, row, active if row is new[-1] else None) for row in new]

    def pass_over(self, client: Client, rows: list[Message], began: float, now: float) -> bool:
        """Take what a client's read brought as old; ``False`` where the read says nothing."""
        if self._doubtful(client, rows, now):
            return False
        active = client.settle(began)
        ids = sorted({row.id for row in rows}, key=by_number)
        client.position = evolve(Position().including(*ids), active=active)
        return True

    def fail(self, client: Client, now: float) -> None:
        """Put a client off that could not be read."""
        client.fail(now)

    def _doubtful(self, client: Client, rows: list[Message], now: float) -> bool:
        client.empty = 0 if rows else client.empty + 1
        doubtful = 0 < client.empty < EMPTY_BELIEVED
        if doubtful:
            client.fail(now)
        return doubtful

    def _new(self, position: Position, rows: Iterable[Message]) -> list[Message]:
        # A message without a readable time is new: late or twice would be seen, never is not.
        new = {
            row.id: row
            for row in rows
            if (row.time is None or row.time >= self.floor) and position.is_new(row.id)
        }
        return sorted(new.values(), key=_order)


def _order(message: Message) -> tuple[bool, tuple[int, str], float]:
    """Order numbers as numbers, then what is no number by its time."""
    if is_number(message.id):
        return False, by_number(message.id), 0.0
    return True, (0, ""), -math.inf if message.time is None else message.time.timestamp()
