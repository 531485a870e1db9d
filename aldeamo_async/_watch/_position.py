"""How far the reading of one client has come: which of its messages are new.

Rule 1: two ids are compared as numbers where both are digits; of others nothing is known but
whether they are equal.
Rule 2: ids need not appear in order: the last few are kept one by one, so a number that a second
database node hands out late is new all the same.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve, frozen

# Ids kept one by one for each client. Nodes that number by turns are a few numbers apart; a client
# writes no sixteen messages while two of them agree.
KEPT: Final = 16


def is_number(message_id: str) -> bool:
    """Tell whether an id has an order."""
    return message_id.isascii() and message_id.isdigit()


def by_number(message_id: str) -> tuple[int, str]:
    """Return what sorts digits as numbers; ``int()`` would refuse very long ones."""
    digits = message_id.lstrip("0")
    return len(digits), digits


@frozen
class Position:
    """Where the reading of one client stands; plain values that pickle.

    ``active`` is the ``last_active`` up to which everything was read and handed over. Messages with
    a number up to ``low``, and those in ``ids``, were handed over.
    """

    active: str | None = None
    low: str | None = None
    ids: tuple[str, ...] = ()

    def is_new(self, message_id: str) -> bool:
        """Tell whether a message was not handed over yet."""
        if message_id in self.ids:
            return False
        if self.low is None or not is_number(message_id):
            return True
        return by_number(message_id) > by_number(self.low)

    def including(self, *message_ids: str) -> Position:
        """Return the position with these messages handed over.

        Numbers must come in ascending order: the lowest are forgotten one by one, and count as
        handed over from then on.
        """
        ids = {*self.ids, *message_ids}
        numbers = sorted(filter(is_number, ids), key=by_number)
        forgotten = numbers[:-KEPT]
        low = forgotten[-1] if forgotten else self.low
        return evolve(self, low=low, ids=tuple(sorted(ids.difference(forgotten))))
