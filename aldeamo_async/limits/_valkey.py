"""The store in Valkey or Redis: one Lua script, one round trip.

Rule 1: the script is the arithmetic of ``_account.py``, line by line, on the server's clock.
Rule 2: the two keys of an account share a hash slot, and expire when nobody has asked for an hour.
"""

from __future__ import annotations

import importlib.util
import os
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from .._errors import UsageError
from ._account import ALIVE, SETTLE, SETTLED, SPAN, Lease, LeaseRequest
from ._brake import CLIMB, CUT
from ._bucket import NO_HINT
from ._shown import shown

if TYPE_CHECKING:
    from valkey import Valkey

PATIENCE: Final = 1.0  # seconds for connecting, and for an answer
FORGET: Final = 3600  # seconds without a question, after which an account is forgotten

# Numbers travel as text: Lua cuts what it returns to whole numbers.
SCRIPT: Final = f"""
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local worker, want, least = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ahead, lead = tonumber(ARGV[4]), tonumber(ARGV[5])
local their_rate, their_burst, declare = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'
local freeze, refused = tonumber(ARGV[9]), tonumber(ARGV[10])
local recovering = ARGV[11] == '1'

local held = redis.call('HMGET', KEYS[1], 'rate', 'burst', 'share', 'at', 'free_from',
  'frozen_until', 'cut_after', 'settle_at')
local rate, burst = tonumber(held[1] or their_rate), tonumber(held[2] or their_burst)
local share, at, free_from = tonumber(held[3] or 1), tonumber(held[4] or 0), tonumber(held[5] or 0)
local frozen_until, cut_after = tonumber(held[6] or 0), tonumber(held[7] or 0)
local settle_at = tonumber(held[8] or 0)

if now < at then
  local back = at - now
  free_from, frozen_until = free_from - back, frozen_until - back
  cut_after, settle_at = cut_after - back, settle_at - back
else
  local unfrozen = now - math.max(at, frozen_until)
  if share < 1 and unfrozen > 0 then share = math.min(1, share + {CLIMB} * unfrozen) end
end
if declare and (their_rate ~= rate or their_burst ~= burst) then
  rate, burst, share = their_rate, their_burst, 1
end
if freeze and now + freeze > frozen_until then
  frozen_until = now + freeze
  if now < cut_after then cut_after = math.max(cut_after, frozen_until) end
end
if refused and now - refused >= cut_after then
  share = share * {CUT}
  cut_after = math.max(now - refused + {NO_HINT}, frozen_until)
end

redis.call('ZADD', KEYS[2], now, worker)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - {ALIVE})
local workers = redis.call('ZCARD', KEYS[2])
if recovering and now >= settle_at + {SETTLED} then settle_at = now + {SETTLE} end

local speed, granted, start = rate * share, 0, now
if speed > 0 then
  start = math.max(free_from, frozen_until, now - (burst - 1) / speed + lead)
  if want >= 1 and start - now <= ahead then
    granted = math.min(want, math.max(least, math.floor(speed * {SPAN} / workers), 1))
    free_from = start + granted / speed
  end
end

local function text(number) return string.format('%.17g', number) end
redis.call('HSET', KEYS[1], 'rate', text(rate), 'burst', text(burst), 'share', text(share),
  'at', text(now), 'free_from', text(free_from), 'frozen_until', text(frozen_until),
  'cut_after', text(cut_after), 'settle_at', text(settle_at))
local gone = math.ceil(math.max(free_from, frozen_until, now) - now) + {FORGET}
redis.call('EXPIRE', KEYS[1], gone)
redis.call('EXPIRE', KEYS[2], gone)
return {{granted, text(start), text(now), text(frozen_until), text(settle_at), text(rate),
  text(burst), text(share), workers}}
"""


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
        said = self._script()(keys=[key, f"{key}:workers"], args=_arguments(ask))
        granted, workers = int(said[0]), int(said[8])
        start, now, frozen_until, settle_at, rate, burst, share = map(float, said[1:8])
        return Lease(
            granted=granted,
            start=start,
            now=now,
            frozen_until=frozen_until,
            settle_at=settle_at,
            rate=rate,
            burst=burst,
            share=share,
            workers=workers,
        )

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
    from valkey import Valkey

    return Valkey.from_url(
        url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, protocol=2
    )


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
