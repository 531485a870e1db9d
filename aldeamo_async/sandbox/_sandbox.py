"""The double itself: users, messages, a delivery log, a rate limit and the weather.

Law: without I/O. A door asks in this order, and waits or hangs up between: `draw` (which fault),
`arrive` (the head was read), `plan` (the whole request was read), `commit` (the effect).
Every step holds the lock, so that the doors may live in different threads.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

import anyio

from ._answers import Answer, instead, own, success, too_many
from ._contract import Call, Contract, KeyPlace, Refusal, Request
from ._deliveries import Delivery, DeliveryLog, masked
from ._faults import CALM, Fault
from ._journal import Journal
from ._people import READ_CHANNELS, People
from ._plan import Plan, Sending
from ._rate import RateLimit
from ._weather import Weather

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

_log = logging.getLogger("aldeamo_async.sandbox")


class Sandbox:
    """A double of the Aldeamo BOTS API, in memory, that invents its users and delivers nothing.

    seed: decides users, messages and nothing else; the same seed gives the same people.
    api_key, auth_name: what a caller must send, and the name it is sent under.
    auth_in: where the key is looked for: "any" place, "params" (query or field) or "header".
    users_per_channel: how many users each of the four channels has.
    rate, burst: a limit of its own, in requests a second; above it 429 with `Retry-After`.
    latency: seconds between reading a request and acting on it.
    weather: what goes wrong; may be changed at any time.
    refusal_status: HTTP status of `status: false` answers about arguments (200 or 400).
    keep_deliveries: keep all deliveries (True), the last so many (int), or only counts (False).
    detect_duplicates: whether to count double sends (16 bytes or so a message).
    show_sent: whether `GET /messages` lists deliveries too; the API document is silent.
    time_zone: the zone in which `last_active` is written for who writes in (None: UTC).
    clock: seconds for the rate limit and `Delivery.at`; by default that of the running event loop.
    wall_clock: seconds since 1970, for `Retry-After` dates and the time of sent messages.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        api_key: str = "test-key",
        auth_name: str = "auth",
        auth_in: KeyPlace = "any",
        users_per_channel: int = 25,
        rate: float | None = None,
        burst: float | None = None,
        latency: float = 0.0,
        weather: Weather | None = None,
        refusal_status: int = 200,
        keep_deliveries: bool | int = True,
        detect_duplicates: bool = True,
        show_sent: bool = False,
        time_zone: tzinfo | None = None,
        clock: Callable[[], float] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.weather: Weather = Weather.calm() if weather is None else weather
        self.latency: float = latency
        self._contract = Contract(api_key, auth_name, refusal_status, auth_in)
        self._people = People(seed, users_per_channel)
        self._limit = None if rate is None else RateLimit(rate, burst)
        self._log = DeliveryLog(keep_deliveries, detect=detect_duplicates)
        self._show_sent = show_sent
        self._time_zone = time_zone
        self._now = clock or anyio.current_time
        self._wall_clock = wall_clock
        self._requests: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._journal: Journal | None = None
        self._last_id = 0
        self._lock = Lock()

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """The deliveries that are kept, oldest first; see `keep_deliveries`."""
        with self._lock:
            return self._log.kept()

    @property
    def delivered(self) -> int:
        """How many messages were delivered, kept or not."""
        return self._log.count

    @property
    def duplicates(self) -> int:
        """How many deliveries repeat an earlier one's channel, client id and text."""
        return self._log.duplicates

    @property
    def requests(self) -> Counter[str]:
        """Requests whose head was read, by call: "users", "messages", "send", "other"."""
        with self._lock:
            return self._requests.copy()

    @property
    def faults(self) -> Counter[str]:
        """Faults that were drawn, by name."""
        with self._lock:
            return self._faults.copy()

    def say(self, channel: str, user_id: str, text: str) -> str:
        """Let a user write to you, now; return the id of the message.

        A user that is not there yet comes to be. `last_active` becomes now, in whole seconds.
        Raises ValueError for a channel that cannot be read.
        """
        if channel not in READ_CHANNELS:
            raise ValueError(f"Nobody writes on {channel!r}, only on {', '.join(READ_CHANNELS)}.")
        with self._lock:
            at = self._wall_clock()
            number = self._people.say(channel, user_id, text, at, self._time_zone)
            if self._journal is not None:
                self._journal.add("in", channel, user_id, text, message_id=number, at=at)
            return number

    def open_journal(self) -> Journal:
        """Return the journal of the inbox; it is kept from the first time that it is asked for."""
        with self._lock:
            if self._journal is None:
                self._journal = Journal()
            return self._journal

    def outlook(self) -> tuple[str, bool]:
        """Return the name of the weather, and whether it lasts; see `Weather`."""
        with self._lock:
            return self.weather.name, self.weather.lasts

    def takes(self, api_key: str) -> bool:
        """Return whether this is the key that it asks for."""
        return api_key == self._contract.api_key

    def draw(self, call: Call) -> Fault:
        """Return what will go wrong with the next request; `CALM` for nothing."""
        with self._lock:
            return self._drawn(self.weather.draw("sends" if call is Call.SEND else "reads"))

    def draw_at_accept(self) -> Fault:
        """Return what will go wrong with a fresh connection, before any request on it."""
        with self._lock:
            return self._drawn(self.weather.draw_at_accept())

    def arrive(self, call: Call) -> None:
        """Count a request whose head was read."""
        with self._lock:
            self._requests[call.value] += 1

    def plan(self, call: Call, request: Request, fault: Fault = CALM) -> Plan:
        """Return what happens to a request that was read in full; nothing is delivered yet."""
        with self._lock:
            answer, sending = self._decide(call, request, fault)
        if _log.isEnabledFor(logging.DEBUG):
            who = masked(sending.client_id) if sending else "-"
            _log.debug("%s to %s: %d %s", call.value, who, answer.status, fault.name)
        return Plan(answer, sending if fault.effect else None, fault)

    def commit(self, plan: Plan) -> None:
        """Carry out the effect of a plan: deliver its message, if it has one."""
        sent = plan.sending
        if sent is None:
            return
        now = self._now()
        with self._lock:
            repeats = self._log.add(sent.channel, sent.client_id, sent.text, sent.message_id, now)
            if self._show_sent:
                at = self._wall_clock()
                self._people.hear(sent.channel, sent.client_id, sent.text, sent.message_id, at)
            if self._journal is not None:
                self._journal.add(
                    "out",
                    sent.channel,
                    sent.client_id,
                    sent.text,
                    message_id=str(sent.message_id),
                    at=self._wall_clock(),
                    duplicate=repeats,
                )

    def _drawn(self, fault: Fault) -> Fault:
        if fault is not CALM:
            self._faults[fault.name] += 1
        return fault

    def _decide(self, call: Call, request: Request, fault: Fault) -> tuple[Answer, Sending | None]:
        """Return the answer, and the message that is to be delivered."""
        if fault.status is None:
            return self._own(call, request, fault)
        sending = self._own(call, request, fault)[1] if fault.effect else None
        return instead(fault.status, fault, self._wall_clock()), sending

    def _own(self, call: Call, request: Request, fault: Fault) -> tuple[Answer, Sending | None]:
        """Return the API's own answer, and the message it delivers."""
        wait = 0.0 if self._limit is None else self._limit.take(self._now())
        if wait:
            return too_many(math.ceil(wait), fault), None
        checked = self._contract.check(call, request)
        if isinstance(checked, Refusal):
            return own(checked.status, checked.envelope, fault), None
        channel = checked["channel"]
        if call is Call.SEND:
            self._last_id += 1
            sending = Sending(channel, checked["client_id"], checked["msg"], self._last_id)
            return success("Message sent", self._last_id, fault), sending
        if call is Call.USERS:
            return success("Users for channel", self._people.users(channel), fault), None
        rows = self._people.messages(channel, checked["client_id"])
        return success("Client messages", rows, fault), None

    def __repr__(self) -> str:
        return (
            f"<Sandbox requests={sum(self._requests.values())} delivered={self.delivered}"
            f" duplicates={self.duplicates}>"
        )
