"""The store in Valkey or Redis: one Lua script, one round trip.

Rule: the client library serves both servers, in a thread; it is loaded on the first round trip.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from .._errors import UsageError
from ._account import lease_of
from ._shown import shown
from ._valkey_script import SCRIPT

if TYPE_CHECKING:
    from valkey import Valkey

    from ._account import Lease, LeaseRequest

PATIENCE: Final = 1.0  # seconds for connecting, and for an answer


class ValkeyStore:
    """A :class:`LimitStore` in Valkey, or in Redis 5 and later; needs the extra ``valkey``.

    Args:
        url: ``valkey://user:password@host:6379/0``; ``valkeys://`` for TLS, ``unix://path`` for a
            socket; ``redis://`` and ``rediss://`` mean the same.

    The account's role needs ``EVALSHA``, ``SCRIPT LOAD`` and the two keys
    ``{aldeamo:limit:NAME}`` and ``{aldeamo:limit:NAME}:workers``.

    Raises:
        UsageError: the client library is not installed, or the URL makes no sense.
    """

    blocking = True

    def __init__(self, url: str) -> None:
        """Note where the server is; connects on the first exchange."""
        if importlib.util.find_spec("valkey") is None:
            raise UsageError(
                "a limit in Valkey or Redis needs its client: pip install 'aldeamo-async[valkey]'"
            )
        self._url = url
        self._shown = shown(url)
        self._lock = Lock()
        self._client: tuple[int, Valkey, Any] | None = None  # process, client, script

    def __repr__(self) -> str:
        """Name the server, without the password."""
        return f"ValkeyStore({self._shown!r})"

    def __str__(self) -> str:
        """Name the server, without the password."""
        return self._shown

    def __del__(self) -> None:
        """Close the connection."""
        self.close()

    def exchange(self, ask: LeaseRequest) -> Lease:
        """Run the script; load it where the server does not know it."""
        key = f"{{aldeamo:limit:{ask.name}}}"
        return lease_of(self._script()(keys=[key, f"{key}:workers"], args=_arguments(ask)))

    def _script(self) -> Any:
        """Return the script on the client of this process."""
        with self._lock:
            if self._client is None or self._client[0] != os.getpid():
                client = _connect(self._url)
                self._client = os.getpid(), client, client.register_script(SCRIPT)
            return self._client[2]

    def close(self) -> None:
        """Drop the connections, also one that waits for an answer."""
        held, self._client = getattr(self, "_client", None), None
        if held is not None and held[0] == os.getpid():
            held[1].close()


def _connect(url: str) -> Valkey:
    library: Any = importlib.import_module("valkey")  # only half of it is typed
    client: Valkey = library.Valkey.from_url(
        url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
    )
    return client


def _arguments(ask: LeaseRequest) -> list[str | int | float]:
    """Write a request as the script reads it; `-` is no number, and so nothing."""
    return [
        ask.worker,
        ask.want,
        ask.least,
        repr(ask.ahead),
        repr(ask.lead),
        repr(ask.rate),
        repr(ask.burst),
        int(ask.declare),
        "-" if ask.freeze is None else repr(ask.freeze),
        "-" if ask.refused is None else repr(ask.refused),
        int(ask.recovering),
    ]
