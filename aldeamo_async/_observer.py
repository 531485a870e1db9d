"""What a client tells to whoever observes it: the end of each call, each wait, its numbers.

Rule 1: a record holds nothing private: no key, id, number or text; a base URL has none.
Rule 2: an observer cannot change what becomes of a call; one that fails is logged and ignored, for
the message is out.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ._evidence import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("aldeamo_async")

_SENDS = {"ok": "sent", "unknown": "unknown", "cancelled": "cancelled"}
_READS = {"ok": "read", "cancelled": "cancelled"}


@frozen
class CallRecord:
    """One call that has ended, with all its attempts.

    ``call`` is the call as the document names it (``POST /messages``), or ``SMTP submission`` to a
    ``base_url`` like ``smtps://host:465``; ``verdict`` is that on its last
    attempt (``ok``, ``rejected``, ``refused``, ``unsent``, ``unknown``) or ``cancelled``.
    ``seconds`` is the whole of it, limiter and back-off included; a wait for a permit in
    ``send_many`` comes before the call.
    """

    call: str
    channel: str
    base_url: str
    verdict: str
    seconds: float
    attempts: tuple[Attempt, ...]

    @property
    def outcome(self) -> str:
        """Of a send ``sent``, ``rejected``, ``unknown``; of a read ``read``, ``failed``.

        ``cancelled`` of both: the caller cut it off, and the fate of a send is unknown.
        """
        if self.call.startswith("GET"):
            return _READS.get(self.verdict, "failed")
        return _SENDS.get(self.verdict, "rejected")


class Observer:
    """Hears what a client does. Override what you want to hear; the methods here do nothing.

    They are called in the event loop, between two steps of a call: be quick, and never wait. What
    they raise is logged and otherwise ignored. One observer may serve many clients.
    """

    def joined(self, look: Callable[[], Any]) -> None:
        """A client was made. ``look()`` gives its ``ClientStats``, or ``None`` once it is gone."""

    def waited(self, seconds: float) -> None:
        """The limiter let a request go, after so many seconds in its line."""

    def ended(self, record: CallRecord) -> None:
        """A call has ended."""


def tell(hear: Callable[[Any], None], value: Any) -> None:
    """Tell an observer something, and come back whatever it does."""
    try:
        hear(value)
    except Exception:
        log.exception("An observer failed; the call it was told of is not affected.")
