"""What was delivered, and how often the same thing twice: the judge of every delivery test.

Law: the count and the double-send detector hold for millions of messages, whether the
deliveries themselves are kept or not.
"""

from __future__ import annotations

from array import array
from collections import deque
from hashlib import blake2b

from attrs import frozen


def masked(client_id: str) -> str:
    """Return the last two digits of an id, as log lines show it."""
    return f"***{client_id[-2:]}"


@frozen(repr=False)
class Delivery:
    """One message that went out. `at` is in seconds of the sandbox's clock."""

    channel: str
    client_id: str
    text: str
    message_id: int
    at: float

    def __repr__(self) -> str:
        return (
            f"<Delivery {self.message_id} {self.channel} {masked(self.client_id)}"
            f" {len(self.text)} characters at={self.at:.3f}>"
        )


class Fingerprints:
    """A set of 64-bit fingerprints: 8 bytes a place, at most two thirds full.

    Two different messages share a fingerprint once in 10^7 runs of a million messages.
    """

    def __init__(self) -> None:
        self._places = array("Q", (0,)) * 1024
        self._taken = 0

    def add(self, *parts: str) -> bool:
        """Add the fingerprint of `parts`; return whether it was there already."""
        digest = blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        fingerprint = int.from_bytes(digest) or 1  # 0 marks a free place
        place = self._place(fingerprint)
        if self._places[place]:
            return True
        self._places[place] = fingerprint
        self._taken += 1
        if self._taken * 3 > len(self._places) * 2:
            self._grow()
        return False

    def _place(self, fingerprint: int) -> int:
        mask = len(self._places) - 1
        place = fingerprint & mask
        while self._places[place] not in (0, fingerprint):
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        old = self._places
        self._places = array("Q", (0,)) * (2 * len(old))
        for fingerprint in old:
            if fingerprint:
                self._places[self._place(fingerprint)] = fingerprint


class DeliveryLog:
    """Counts deliveries, and keeps all of them (True), the last so many (int) or none (False)."""

    def __init__(self, keep: bool | int = True, *, detect: bool = True) -> None:
        limit = None if keep is True else int(keep)
        self._kept: deque[Delivery] = deque(maxlen=limit)
        self._keeps = limit != 0
        self._seen = Fingerprints() if detect else None
        self.count = 0
        self.duplicates = 0

    def add(self, channel: str, client_id: str, text: str, message_id: int, at: float) -> bool:
        """Record one delivery; return whether it repeats an earlier one."""
        self.count += 1
        repeats = self._seen is not None and self._seen.add(channel, client_id, text)
        self.duplicates += repeats
        if self._keeps:
            self._kept.append(Delivery(channel, client_id, text, message_id, at))
        return repeats

    def kept(self) -> tuple[Delivery, ...]:
        """Return the deliveries that are kept, oldest first."""
        return tuple(self._kept)
