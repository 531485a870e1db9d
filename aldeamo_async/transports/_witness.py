"""What the ``trace`` extension of httpcore proves about one request.

Rule 1: only steps known to come before the request prove that nothing left; any other step, and
silence, prove nothing. A step that httpcore adds one day is therefore on the safe side by itself.
Rule 2: what is written to a proxy to open a tunnel (``CONNECT``) is not the request.
Rule 3: once the request may have been sent, nothing that follows changes that, and httpcore need
not tell it: its steps, awaited one by one, cost more than all else here.
"""

from __future__ import annotations

from typing import Any, Final

import anyio

from .._evidence import Phase
from ._faults import FAULTS

# The part of the name after the layer ("http11.", "http2.", "connection.", "proxy.", "socks.").
_BEFORE: Final = frozenset(
    {
        "connect_tcp.started",
        "connect_unix_socket.started",
        "retry.started",
        "start_tls.started",
        "setup_socks5_connection.started",
        "send_connection_init.started",  # the HTTP/2 preface; the request comes after it
        "receive_remote_settings.started",  # HTTP/2 settings, at any time
        "response_closed.started",  # the cleaning up after whatever went before
    }
)
_CONNECTED: Final = (".connect_tcp.complete", ".connect_unix_socket.complete")
_READING: Final = frozenset({"receive_response_headers.started", "receive_response_body.started"})


class Witness:
    """The trace callback of one request: how far it got, and the socket it opened."""

    __slots__ = ("_phase", "_seen", "_sent", "_socket")

    def __init__(self) -> None:
        self._seen = False
        self._sent = False
        self._socket: Any = None
        self._phase: Phase | None = None  # of the last step; None where nothing was seen

    @property
    def proves_unsent(self) -> bool:
        """Whether something was seen, and nothing of it could have carried the request."""
        return self._seen and not self._sent

    def phase_of(self, guess: Phase | None) -> Phase:
        """Return the phase in which the request ended; ``guess`` is what its exception suggests."""
        # httpcore goes on to the answer where the server would not take all of the body.
        if self._sent and guess is Phase.READ:
            return guess
        return self._phase or guess or Phase.READ

    def written(self) -> None:
        """Take note that the body was taken to its end."""
        if self._sent:
            self._phase = Phase.READ

    async def __call__(self, name: str, info: dict[str, Any]) -> None:
        """Take note of one step; httpcore awaits this at each of them."""
        self._seen = True
        if name.endswith(".started"):
            self._note(name.partition(".")[2], info.get("request"))
        elif name.endswith(_CONNECTED):
            self._socket = info.get("return_value")

    def _note(self, step: str, request: Any) -> None:
        if step in _BEFORE or getattr(request, "method", None) == b"CONNECT":
            self._phase = self._phase or Phase.CONNECT
            return
        self._sent = True
        self._phase = Phase.READ if step in _READING else Phase.WRITE
        getattr(request, "extensions", {}).pop("trace", None)

    async def close_stranded(self) -> None:
        """Close the socket of a request that ended before it was sent.

        httpcore loses sight of a socket when it is cancelled between the connect and the end of the
        handshake.
        """
        if self._socket is not None and not self._sent:
            with anyio.CancelScope(shield=True):
                try:
                    await self._socket.aclose()
                except FAULTS:
                    self._socket = None  # it is closed all the same
