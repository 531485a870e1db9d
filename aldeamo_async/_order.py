"""Per-client order: messages to one client go out one after the other, in the order of the source.

Rule 1: pure bookkeeping; it neither waits nor sends.
Rule 2: what is held back for busy clients is bounded, so one talkative client cannot fill the memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from ._models import Outgoing


def client_key(outgoing: Outgoing) -> Hashable:
    """Tell one client from another, however the id is spelled (``+57 300…`` or ``57300…``)."""
    if not isinstance(outgoing, Outgoing):
        return id(outgoing)  # a source's mistake; it is rejected when its turn comes
    return str(outgoing.channel), "".join(filter(str.isalnum, str(outgoing.client_id)))


class Order:
    """Which clients are busy, and what waits for them."""

    __slots__ = ("_held", "_waiting", "held", "room")

    def __init__(self, room: int) -> None:
        self._waiting: dict[Hashable, deque[Outgoing]] = {}
        self.room = room
        self.held = 0

    @property
    def full(self) -> bool:
        """Whether nothing more may be held back."""
        return self.held >= self.room

    def start(self, outgoing: Outgoing) -> bool:
        """Mark the client busy and return ``True``, or hold the message back and return ``False``."""
        waiting = self._waiting.get(client_key(outgoing))
        if waiting is None:
            self._waiting[client_key(outgoing)] = deque()
            return True
        waiting.append(outgoing)
        self.held += 1
        return False

    def finish(self, outgoing: Outgoing) -> Outgoing | None:
        """Return the client's next message, which the caller now sends, or free the client."""
        waiting = self._waiting[client_key(outgoing)]
        if not waiting:
            del self._waiting[client_key(outgoing)]
            return None
        self.held -= 1
        return waiting.popleft()
