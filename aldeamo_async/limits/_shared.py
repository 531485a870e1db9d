"""The rate limiter of many processes and machines: one limit, met in a store.

Rule 1: the line in front and its promises are those of every limiter; only the permits come from
elsewhere.
Rule 2: only the worker's monotonic clock and the store's are read; a wrong wall clock is no matter.
Rule 3: there is nothing to start or to stop.
"""

from __future__ import annotations

import math
import os
import secrets
import time
from typing import TYPE_CHECKING, Literal, NoReturn

import anyio
from anyio.lowlevel import checkpoint
from attrs import frozen

from .._errors import UsageError
from ._courier import Courier
from ._front import Front
from ._lease_bucket import LeaseBucket
from ._line import LEAST_SLEEP, Line, Waiter
from ._port import LimiterStats, Permit
from ._store import LimitStore, open_store
from ._talk import Talk

if TYPE_CHECKING:
    from collections.abc import Callable

OnStoreError = Literal["degrade", "closed"]


@frozen(kw_only=True)
class SharedLimiterStats(LimiterStats):
    """A shared limiter at one moment: :class:`LimiterStats`, and how it stands with its store.

    ``rate``, ``effective_rate``, ``burst`` and ``frozen_for`` are the account's, as last heard;
    the rest is of this process. ``workers`` is how many processes asked for slots in the last 10 s
    (0: the store was never reached), ``round_trips`` counts questions to the store and
    ``forfeited`` slots that were given out and not used in time. ``trouble`` says what is wrong
    with the store, and is empty while it answers.
    """

    workers: int
    round_trips: int
    forfeited: float
    trouble: str


class SharedLine(Line):
    """A line that has the store asked when somebody joins, and when permits went out."""

    bucket: LeaseBucket
    courier: Courier

    def look(self, now: float) -> None:
        """Ask the store, if there is something to ask."""
        self.courier.look(now, self.queued, self.head.n if self.waiters else 1.0)

    async def _sleep(self, waiter: Waiter) -> None:
        self.courier.home = waiter.loop
        self.look(self.clock())
        if waiter.permit is None:
            await super()._sleep(waiter)
        else:
            await checkpoint()

    def _nap(self, head: Waiter) -> float:
        return max(LEAST_SLEEP, self.bucket.nap(self.clock(), head.n, self.queued))

    def pump(self, now: float, *, by: Waiter | None = None) -> None:
        """Grant what is there; then ask for more, if more is wanted."""
        super().pump(now, by=by)
        self.look(now)


class SharedTokenBucket(Front):
    """A :class:`RateLimiter` for one account, shared by any number of processes and machines.

    Args:
        store: Where the processes meet: the URL of a PostgreSQL (``postgresql://``), Valkey
            (``valkey://``) or Redis (``redis://``) server, or a :class:`LimitStore`.
        rate: Permits per second of all processes together; 0 pauses until :meth:`set_rate`.
            The newest word counts: a process that starts with another rate, or calls
            :meth:`set_rate`, changes it for all.
        burst: The most permits granted at once, at least 1. By default smooth: 20 ms of rate.
        name: The limit within the store: one for each API key.
        adaptive: Whether a refusal lowers the account's rate (to 0.7 of it, once per freeze,
            whoever reports it; 1 % of the rate comes back each second).
        freeze_max: The longest freeze in seconds that this process asks for.
        on_store_error: While the store does not answer, ``degrade`` lets this process go on with
            ``0.8 * rate / processes last seen``; ``closed`` grants nothing. Where the store was
            never reached both grant nothing: nobody knows how many share the limit.
        clock: Seconds that only go forward, read from any thread. No wall clock is ever read.

    Slots are leased in blocks from the store, each with its time on the store's clock, and used
    here at that time; so all processes together keep to the rate, at a fraction of a round trip
    per permit. A freeze holds here at once, and for all others within 0.3 s.

    Each round trip runs in a thread of its own, so there is nothing to open or close, and one
    object serves one event loop after another, on asyncio and trio. A forked child begins anew.

    Raises:
        UsageError: a number is negative, infinite, NaN or a ``bool``, ``burst`` is below 1, or the
            library that the store needs is not installed.
    """

    def __init__(
        self,
        store: str | LimitStore,
        rate: float,
        burst: float | None = None,
        *,
        name: str = "default",
        adaptive: bool = True,
        freeze_max: float = 120.0,
        on_store_error: OnStoreError = "degrade",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build the limiter; touches no event loop and no network."""
        if on_store_error not in ("degrade", "closed"):
            raise UsageError(f"on_store_error is {on_store_error!r}: use 'degrade' or 'closed'")
        if not name or not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(
                f"name is {name!r}: give the limit a name, such as that of the account"
            )
        self._bucket = LeaseBucket(
            rate,
            burst,
            adaptive=adaptive,
            freeze_max=freeze_max,
            degrade=on_store_error == "degrade",
        )
        line = SharedLine(self._bucket, clock)
        super().__init__(self._bucket, line, clock)
        self._shared_line = line
        self._name = name
        self._store = open_store(store)
        self._begin()

    def _begin(self) -> None:
        """Be a worker of the account that has not asked yet."""
        self._pid = os.getpid()
        talk = Talk(self._bucket, self._name, secrets.token_hex(8))
        self._courier = Courier(self._store, talk, self._clock, self._arrived)
        self._shared_line.courier = self._courier

    def __repr__(self) -> str:
        """Show the limit, the store without its password, and how many wait."""
        bucket = self._bucket
        braked = f" (braked to {bucket.level:g}/s)" if bucket.share < 1 else ""
        waiting = len(self._line.waiters)
        return (
            f"<SharedTokenBucket {self._name!r} in {self._store}: {bucket.rate:g}/s{braked}, "
            f"burst {bucket.burst:g}, {waiting} waiting>"
        )

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be copied or pickled: two copies would use the same slots twice."""
        raise UsageError(
            "a SharedTokenBucket is live state and is neither copied nor pickled: a copy would use "
            "the same slots again. Build one in every process, with the same store and name; they "
            "share the limit. Its snapshot() does pickle."
        )

    async def acquire(self, n: float = 1, *, deadline: float | None = None) -> Permit:
        """Wait for ``n`` permits; see :meth:`RateLimiter.acquire`.

        Raises:
            DeadlineExceeded: the wait cannot end by ``deadline`` (at once, with nothing taken), or
                others came first, or the store is down and nothing may be granted.
            UsageError: ``n`` is not above 0 or exceeds the burst, ``deadline`` is NaN, or another
                event loop has calls queued here.
        """
        self._look()
        if deadline is not None:  # it is on the event loop's clock
            deadline += self._clock() - anyio.current_time()
        return await super().acquire(n, deadline=deadline)

    def try_acquire(self, n: float = 1) -> Permit | None:
        """Take ``n`` permits now; ``None`` if it would wait, or if anybody waits already.

        After a ``None`` the store is asked, so that the next try may find a permit.
        """
        self._look()
        permit = super().try_acquire(n)
        if permit is None and not self._line.waiters:
            self._courier.look(self._clock(), n, n)
            permit = super().try_acquire(n) if self._bucket.slots.held else None
        return permit

    def freeze(self, seconds: float) -> None:
        """Grant nothing for ``seconds`` (at most ``freeze_max``): here at once, and for all soon.

        A freeze is never shortened, and no burst follows it.
        """
        super().freeze(seconds)
        self._look()

    def throttled(self, retry_after: float | None) -> None:
        """Take note of a refusal (429, 503): freeze the account, and brake it once per freeze.

        ``retry_after`` is in seconds; ``None`` (or a number that makes no sense) freezes for 1 s.
        """
        super().throttled(retry_after)
        self._look()

    def set_rate(self, rate: float, burst: float | None = None) -> None:
        """Change the account's rate, for every process with its next lease; 0 pauses.

        Without ``burst`` a given burst stays and a smooth one follows the rate. The new rate is
        believed: the brake is lifted until the next refusal. A freeze stays.
        """
        super().set_rate(rate, burst)
        self._look()

    def snapshot(self) -> SharedLimiterStats:
        """Return the present numbers, those of the account as last heard."""
        bucket, courier = self._bucket, self._courier
        plain = super().snapshot()
        return SharedLimiterStats(
            rate=plain.rate,
            effective_rate=plain.effective_rate,
            burst=plain.burst,
            tokens=plain.tokens,
            waiting=plain.waiting,
            oldest_wait=plain.oldest_wait,
            frozen_for=plain.frozen_for,
            granted=plain.granted,
            refunded=plain.refunded,
            throttled=plain.throttled,
            workers=bucket.workers,
            round_trips=courier.trips,
            forfeited=courier.talk.forfeited + bucket.slots.lost,
            trouble=bucket.outage.trouble,
        )

    def _look(self) -> None:
        """Take in answers, and ask the store if it is time; in a forked child, begin anew."""
        if self._pid != os.getpid():
            self._bucket.forget()
            self._begin()
        now = self._clock()
        if now >= self._bucket.look_at or self._courier.inbox:
            self._shared_line.look(now)

    def _arrived(self) -> None:
        """Let those who wait have what has come."""
        self._largest = min(self._bucket.burst, math.inf)
        if self._line.waiters:
            self._line.pump(self._clock())
