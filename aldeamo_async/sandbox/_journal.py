"""What was said lately, in both directions: what the inbox shows.

Law: bounded, whatever comes: only the last entries are kept, and of a long text only the beginning.
Threads may write and read it at once.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile
from threading import Lock
from typing import Literal

from attrs import frozen

KEPT = 1000  # entries: more than anybody reads, and a quarter of a megabyte of short messages
SHOWN = 2000  # characters of a text: a dozen segments of SMS
SHOWN_ID = 64  # characters of a client id: none that is real has more than 17

Direction = Literal["in", "out"]


@frozen(repr=False)
class Entry:
    """One message: "in" is what a user wrote, "out" what was delivered to one.

    `number` counts all entries from 1; `length` is that of the whole text, in characters; `at` is
    in seconds since 1970; `duplicate` says that the same was delivered before.
    """

    number: int
    direction: Direction
    channel: str
    client_id: str
    text: str
    length: int
    message_id: str
    at: float
    duplicate: bool


class Journal:
    """The last entries, oldest first."""

    def __init__(self, keep: int = KEPT) -> None:
        self.keep = keep
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._count = 0
        self._lock = Lock()

    def add(
        self,
        direction: Direction,
        channel: str,
        client_id: str,
        text: str,
        *,
        message_id: str,
        at: float,
        duplicate: bool = False,
    ) -> None:
        """Write down one message."""
        with self._lock:
            self._count += 1
            self._entries.append(
                Entry(
                    number=self._count,
                    direction=direction,
                    channel=channel,
                    client_id=client_id[:SHOWN_ID],
                    text=text[:SHOWN],
                    length=len(text),
                    message_id=message_id,
                    at=at,
                    duplicate=duplicate,
                )
            )

    def since(self, number: int) -> list[Entry]:
        """Return the entries after that number which are still there, oldest first."""
        with self._lock:
            newest_first = takewhile(lambda entry: entry.number > number, reversed(self._entries))
            return list(newest_first)[::-1]


class Pace:
    """Messages a second over the last `window` seconds, from a count that is looked at often."""

    def __init__(self, window: float = 2.0) -> None:
        # A count that is looked at for less than a second says little about one.
        self._least = min(1.0, window)
        self._window = window
        self._looks: deque[tuple[float, int]] = deque()

    def look(self, now: float, count: int) -> float:
        """Take in the count at `now`, in seconds of any clock; return the pace, to one decimal."""
        self._looks.append((now, count))
        # One look before the window stays, so that it is covered in full.
        while len(self._looks) > 1 and self._looks[1][0] <= now - self._window:
            self._looks.popleft()
        then, before = self._looks[0]
        return round((count - before) / max(now - then, self._least), 1)
