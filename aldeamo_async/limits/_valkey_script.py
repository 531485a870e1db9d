"""What the Valkey store runs on the server: one Lua script.

Rule 1: the script is the arithmetic of ``_account.py``, line by line, on the server's clock.
Rule 2: the two keys of an account share a hash slot, and expire when nobody has asked for an hour.
"""

from __future__ import annotations

from typing import Final

from ._account import ALIVE, SETTLE, SILENCE, SPAN
from ._brake import CLIMB, CUT
from ._bucket import NO_HINT

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
local silent = now - at > {SILENCE}

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
if recovering and silent then
  settle_at = now + {SETTLE}
  free_from = math.max(free_from, settle_at)
end

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
