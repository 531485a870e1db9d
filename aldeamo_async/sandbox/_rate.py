"""The sandbox's own rate limit: a token bucket that answers instead of waiting.

Law: no clock of its own; `now` comes in, in seconds of any clock that does not go back.
"""

from __future__ import annotations


class RateLimit:
    """`rate` requests a second on average, `burst` at once (default: one second's worth)."""

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self._rate = rate
        self._burst = max(1.0, rate) if burst is None else burst
        if not (rate > 0 and self._burst >= 1):
            raise ValueError(
                "The rate must be above 0 requests a second, and the burst at least 1."
            )
        self._tokens = self._burst
        self._last: float | None = None

    def take(self, now: float) -> float:
        """Take one token: 0 when there was one, else the seconds until there is one."""
        elapsed = 0.0 if self._last is None else max(0.0, now - self._last)
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._last = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate
