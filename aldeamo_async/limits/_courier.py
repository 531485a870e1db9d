"""What carries questions to the store and answers back: a thread for one round trip at a time.

Rule 1: a thread lives as long as its round trip; no task is left on any event loop, and nothing
has to be started or stopped.
Rule 2: an answer is put down before anybody is woken for it, so it outlives a cancelled waiter and
a closed loop.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from anyio import from_thread
from attrs import define

from ._account import Lease, LeaseRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.lowlevel import EventLoopToken

    from ._store import LimitStore
    from ._talk import Talk

_log = logging.getLogger("aldeamo_async.limits")


@define(eq=False)
class Trip:
    """One round trip: when it left and came back, and with what."""

    sent: float
    got: float = 0.0
    outcome: Lease | Exception | None = None


class Courier:
    """Carries what :class:`Talk` has to say, whenever somebody looks.

    ``arrived`` is called on the event loop ``home``, after an answer was taken in.
    """

    def __init__(
        self, store: LimitStore, talk: Talk, clock: Callable[[], float], arrived: Callable[[], None]
    ) -> None:
        self.store = store
        self.talk = talk
        self.trips = 0
        self.home: EventLoopToken | None = None
        self._clock = clock
        self._arrived = arrived
        self._away: Trip | None = None
        self.inbox: deque[Trip] = deque()

    def look(self, now: float, queued: float = 0.0, least: float = 1.0) -> None:
        """Take in what has come, and ask the store where there is something to ask."""
        if self.inbox:
            self.collect()
        if now < self.talk.bucket.look_at:
            return
        if self._away is not None:
            self._give_up(now)
            return
        ask = self.talk.ask(now, queued, least)
        if ask is not None:
            self._send(ask)

    def _send(self, ask: LeaseRequest) -> None:
        self.trips += 1
        trip = self._away = Trip(self._clock())
        if self.store.blocking:
            Thread(target=self._carry, args=(trip, ask), name="aldeamo-limit", daemon=True).start()
        else:
            self._travel(trip, ask)
            self.collect()

    def _carry(self, trip: Trip, ask: LeaseRequest) -> None:
        """Travel in a thread, and wake who waits for the answer."""
        self._travel(trip, ask)
        # Whoever comes to wait from here on, on whatever loop, looks into the inbox first.
        if self.home is not None:
            with suppress(RuntimeError):  # that loop has ended
                from_thread.run_sync(self.collect, token=self.home)

    def _travel(self, trip: Trip, ask: LeaseRequest) -> None:
        try:
            trip.sent = self._clock()
            trip.outcome = self.store.exchange(ask)
        except Exception as error:  # noqa: BLE001 - whatever ails the store, the limiter paces on
            trip.outcome = error
        trip.got = self._clock()
        self.inbox.append(trip)

    def collect(self) -> None:
        """Take in every answer that has come; those given up came too late."""
        came = False
        while self.inbox:
            trip = self.inbox.popleft()
            if trip is self._away:
                self._away = None
                self._take_in(trip)
                came = True
        if came:
            self._arrived()

    def _take_in(self, trip: Trip) -> None:
        now = self._clock()
        if isinstance(trip.outcome, Lease):
            if self.talk.answer(trip.sent, trip.got, now, trip.outcome):
                _log.warning("The store of the shared limit %s answers again.", self._names())
            return
        error = trip.outcome
        self._fail(now, f"{type(error).__name__}: {' '.join(str(error).split())}", error)

    def _give_up(self, now: float) -> None:
        """Stop waiting for an answer."""
        self._away = None
        self.store.close()
        self._fail(now, "it does not answer", None)

    def _fail(self, now: float, trouble: str, error: Exception | None) -> None:
        if not self.talk.fail(now, f"its store {self.store} is down ({trouble})"):
            return
        pace = self.talk.bucket.outage.local
        _log.warning(
            "The store of the shared limit %s is down (%s): %s until it answers.",
            self._names(),
            trouble,
            "nothing is sent" if pace is None else f"this process sends {pace.rate:.3g}/s at most",
        )
        _log.debug("What happened to the store:", exc_info=error)

    def _names(self) -> str:
        return f"{self.talk.name!r} in {self.store}"
