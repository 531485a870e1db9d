"""The port of every store of a shared limit: what a limiter relies on, in words; and a fake.

Rule 1: a store does one thing, atomically and on its own clock: it gives out dated slots.
Rule 2: no text that a store gives out holds a password.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import anyio

from .._errors import UsageError
from ._account import Account, Lease, LeaseRequest

if TYPE_CHECKING:
    from collections.abc import Callable


@runtime_checkable
class LimitStore(Protocol):
    """Where the processes that share a limit meet.

    Guarantees that every store gives:

    - :meth:`exchange` is atomic, also against other machines, and reads no clock but the store's;
    - slots of one account are dated at least one step apart, and no date is given out twice;
    - a freeze is never shortened; the rate is cut once per freeze, whoever reports it;
    - an account that the store has never seen, or has lost, starts from what the request says;
    - the store's text (``str``) names it without its password.

    Building a store does no I/O. One store serves any number of limits, told apart by their names.
    """

    @property
    def blocking(self) -> bool:
        """Whether :meth:`exchange` waits for anything; it then gets a thread of its own."""
        ...

    def exchange(self, ask: LeaseRequest) -> Lease:
        """Do one round trip; connect first where needed. Any exception means: down for now.

        Called in a thread, by several threads at once where several limiters share the store.
        Should not take longer than a second.
        """
        ...

    def close(self) -> None:
        """Drop the connection, and break off a round trip in progress; the next one reconnects.

        May be called at any time and from any thread, and does not wait.
        """
        ...


class MemoryStore:
    """A :class:`LimitStore` in this process: for tests, and the reference for all others.

    Args:
        clock: The store's own clock, in seconds; by default that of the running event loop, so
            virtual time works.
    """

    blocking = False

    def __init__(self, clock: Callable[[], float] = anyio.current_time) -> None:
        """Build a store without accounts."""
        self._clock = clock
        self._lock = Lock()
        self._accounts: dict[str, Account] = {}
        self._trouble: Exception | None = None
        self.exchanges: int = 0

    def __repr__(self) -> str:
        """Count the accounts and what was asked."""
        return f"<MemoryStore of {len(self._accounts)} accounts, {self.exchanges} exchanges>"

    def __str__(self) -> str:
        """Name the store."""
        return "memory"

    def exchange(self, ask: LeaseRequest) -> Lease:
        """Answer from memory; raise what :meth:`fail` was given."""
        with self._lock:
            self.exchanges += 1
            if self._trouble is not None:
                raise self._trouble
            account = self._accounts.get(ask.name)
            if account is None:
                account = self._accounts[ask.name] = Account(ask.rate, ask.burst)
            return account.lease(self._clock(), ask)

    def fail(self, trouble: Exception | None) -> None:
        """Raise ``trouble`` in every exchange from now on; ``None`` ends that."""
        self._trouble = trouble

    def close(self) -> None:
        """Do nothing: there is no connection."""


def open_store(url: str | LimitStore) -> LimitStore:
    """Return the store of a URL, without connecting; a store is returned as it is.

    Raises:
        UsageError: the URL is of no known kind, or the library for it is not installed.
    """
    if not isinstance(url, str):
        return _as_store(url)
    kind = url.partition("://")[0].lower()
    if kind in ("postgresql", "postgres"):
        from ._postgres import PostgresStore

        return PostgresStore(url)
    if kind in ("valkey", "valkeys", "redis", "rediss", "unix"):
        from ._valkey import ValkeyStore

        return ValkeyStore(url)
    raise UsageError(
        "the URL of a shared limit begins with postgresql://, valkey://, valkeys://, redis://, "
        f"rediss:// or unix://, not {kind[:20]!r}"
    )


def _as_store(value: Any) -> LimitStore:
    """Take a store as given; a class has the methods of a store and is none."""
    if isinstance(value, type) or not isinstance(value, LimitStore):
        raise UsageError(
            f"store must be a URL or a LimitStore such as MemoryStore(), not {value!r}"
        )
    return value
