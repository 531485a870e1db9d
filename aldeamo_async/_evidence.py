"""What is known of one attempt: the facts that a verdict rests on.

Rule 1: evidence has three values and no fourth: unsent, maybe sent, answered.
Rule 2: an attempt is a record; it decides nothing.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen


class Evidence(StrEnum):
    """How far one attempt provably got."""

    UNSENT = "unsent"  # no byte of the request was handed to the socket
    MAYBE_SENT = "maybe_sent"  # some byte may have left, and no complete answer came back
    ANSWERED = "answered"  # a complete answer came back


class Phase(StrEnum):
    """Where an attempt was when it ended, or a call when its time ran out."""

    LIMITER = "limiter"  # waiting for a permit of the rate limiter
    LANE = "lane"  # waiting for a free connection
    CONNECT = "connect"  # DNS, TCP, proxy, TLS
    WRITE = "write"  # handing the request to the socket
    READ = "read"  # waiting for the answer, or in the middle of it
    BACKOFF = "backoff"  # waiting before the next attempt
    DONE = "done"  # answered completely


@frozen
class Attempt:
    """One attempt of one call, as a support ticket would want it.

    ``number`` counts from 1. ``waited`` is the time in seconds before the attempt began (limiter
    and back-off), ``took`` the time in seconds on the wire. ``status`` is the HTTP status when
    there was an answer, ``retry_after`` the server's own wait in seconds when it named one, and
    ``reason`` a short text without private data.
    """

    number: int
    evidence: Evidence
    phase: Phase
    reason: str
    status: int | None = None
    waited: float = 0.0
    took: float = 0.0
    retry_after: float | None = None
