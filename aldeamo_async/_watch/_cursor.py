"""The position of a whole watch, to be saved and restored.

Rule 1: it is a plain value: it pickles, copies, and goes through JSON unchanged.
Rule 2: what is read back is checked; a cursor that is not one is refused before any I/O.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final, Self, cast

from attrs import field, frozen

from .._errors import UsageError
from ._position import Position

_VERSION: Final = 1


def _shown(clients: dict[str, Position]) -> str:
    """Show how many clients there are; their ids are phone numbers."""
    return f"<{len(clients)} clients>"


@frozen
class WatchCursor:
    """How far a watch has come: ``messages.cursor``, to go on from later as ``since=cursor``.

    ``channel`` is what is watched; a message older than ``floor`` (aware, UTC) counts as old;
    ``clients`` holds a position for each client, about 60 bytes of JSON. It holds client ids, so
    keep it as you keep phone numbers.
    """

    channel: str
    floor: datetime
    clients: dict[str, Position] = field(factory=dict, repr=_shown, hash=False)

    def to_json(self) -> str:
        """Write the cursor as one line of JSON."""
        document = {
            "version": _VERSION,
            "channel": self.channel,
            "floor": self.floor.isoformat(),
            "clients": {name: [p.active, p.low, p.ids] for name, p in self.clients.items()},
        }
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            UsageError: the text is no cursor, or one of a later version.
        """
        try:
            document = json.loads(text)
            if document["version"] != _VERSION:
                raise ValueError
            clients = cast("dict[str, Any]", document["clients"]).items()
            return cls(
                _text(document["channel"]),
                datetime.fromisoformat(document["floor"]).astimezone(UTC),
                {name: _position(*fields) for name, fields in clients},
            )
        except (ValueError, TypeError, LookupError, AttributeError):
            pass
        raise UsageError(
            "This is no watch cursor, or one of a later version of this library. "
            "Restore the text that WatchCursor.to_json() wrote, or watch from now on (since=None)."
        )


def _position(active: object, low: object, ids: Any) -> Position:
    kept = tuple(map(_text, ids))
    return Position(_optional(active), _optional(low), kept)


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
