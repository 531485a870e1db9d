"""Per-client order: messages to one client go out one after the other, in the order of the source.

Rule 1: pure bookkeeping; it neither waits nor sends.
Rule 2: what is held back for busy clients is bounded, so one talkative client cannot fill the
memory.
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from ._models import Outgoing

ClientKey: TypeAlias = tuple[str, str]


def client_key(outgoing: object) -> ClientKey | None:
    """Tell one client from another, however the id is spelled (``+57 300…`` or ``57300…``).

    ``None`` is no client: a source's mistake, which will be rejected and needs no order.
    """
    if not isinstance(outgoing, Outgoing):
        return None
    return str(outgoing.channel), "".join(filter(str.isalnum, str(outgoing.client_id)))


class Order:
    """Which clients are busy, and what waits for them."""

    __slots__ = ("_waiting", "held", "room")

    def __init__(self, room: int) -> None:
        self._waiting: dict[ClientKey, deque[Outgoing]] = {}
        self.room = room
        self.held = 0

    @property
    def full(self) -> bool:
        """Whether nothing more may be held back."""
        return self.held >= self.room

    def start(self, outgoing: Outgoing) -> bool:
        """Mark the client busy and return ``True``, or hold back and return ``False``."""
        key = client_key(outgoing)
        if key is None:
            return True
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = deque()
            return True
        waiting.append(outgoing)
        self.held += 1
        return False

    def finish(self, outgoing: Outgoing) -> Outgoing | None:
        """Return the client's next message, which the caller now sends, or free the client."""
        key = client_key(outgoing)
        if key is None:
            return None
        waiting = self._waiting[key]
        if not waiting:
            del self._waiting[key]
            return None
        self.held -= 1
        return waiting.popleft()
