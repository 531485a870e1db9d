"""What the PostgreSQL store runs on the server: its tables, its function, its call.

Rule 1: the function is the arithmetic of ``_account.py``, line by line, on the server's clock.
Rule 2: the tables are unlogged: what a crash of the server takes, the next question brings back.
Rule 3: another arithmetic gets another name, so that old and new workers can run side by side.
"""

from __future__ import annotations

from typing import Final

from ._account import ALIVE, SETTLE, SILENCE, SPAN
from ._brake import CLIMB, CUT
from ._bucket import NO_HINT

SEEN: Final = 2.0  # seconds between two signs of life of a worker that are written down
GATE: Final = 0x616C6465616D6F  # the advisory lock under which tables are made

TABLES: Final = """
CREATE UNLOGGED TABLE IF NOT EXISTS aldeamo_limits (
  name text PRIMARY KEY, rate float8 NOT NULL, burst float8 NOT NULL,
  share float8 NOT NULL DEFAULT 1, at float8 NOT NULL DEFAULT 0,
  free_from float8 NOT NULL DEFAULT 0, frozen_until float8 NOT NULL DEFAULT 0,
  cut_after float8 NOT NULL DEFAULT 0, settle_at float8 NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE IF NOT EXISTS aldeamo_limit_workers (
  name text, worker text, seen float8 NOT NULL, PRIMARY KEY (name, worker)
) WITH (fillfactor = 50);
"""

# Only numbers of this package are filled in.
FUNCTION: Final = f"""
CREATE OR REPLACE FUNCTION aldeamo_lease_1(
  p_name text, p_worker text, p_want float8, p_least float8, p_ahead float8, p_lead float8,
  p_rate float8, p_burst float8, p_declare bool, p_freeze float8, p_refused float8,
  p_recovering bool
) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
  a aldeamo_limits%ROWTYPE; now float8; back float8; unfrozen float8; speed float8;
  granted float8 := 0; start float8; workers int; silent bool;
BEGIN
  SELECT * INTO a FROM aldeamo_limits WHERE name = p_name FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO aldeamo_limits (name, rate, burst) VALUES (p_name, p_rate, p_burst)
      ON CONFLICT DO NOTHING;
    SELECT * INTO a FROM aldeamo_limits WHERE name = p_name FOR UPDATE;
  END IF;
  now := extract(epoch FROM clock_timestamp());
  silent := now - a.at > {SILENCE};

  IF now < a.at THEN
    back := a.at - now;
    a.free_from := a.free_from - back; a.frozen_until := a.frozen_until - back;
    a.cut_after := a.cut_after - back; a.settle_at := a.settle_at - back;
    DELETE FROM aldeamo_limit_workers WHERE name = p_name;
  ELSE
    unfrozen := now - greatest(a.at, a.frozen_until);
    IF a.share < 1 AND unfrozen > 0 THEN
      a.share := least(1, a.share + {CLIMB} * unfrozen);
    END IF;
  END IF;
  IF p_declare AND (p_rate <> a.rate OR p_burst <> a.burst) THEN
    a.rate := p_rate; a.burst := p_burst; a.share := 1;
  END IF;
  IF p_freeze IS NOT NULL AND now + p_freeze > a.frozen_until THEN
    a.frozen_until := now + p_freeze;
    IF now < a.cut_after THEN a.cut_after := greatest(a.cut_after, a.frozen_until); END IF;
  END IF;
  IF p_refused IS NOT NULL AND now - p_refused >= a.cut_after THEN
    a.share := a.share * {CUT};
    a.cut_after := greatest(now - p_refused + {NO_HINT}, a.frozen_until);
  END IF;

  INSERT INTO aldeamo_limit_workers AS w VALUES (p_name, p_worker, now)
    ON CONFLICT (name, worker) DO UPDATE SET seen = excluded.seen
    WHERE w.seen < excluded.seen - {SEEN};
  IF FOUND THEN
    DELETE FROM aldeamo_limit_workers WHERE name = p_name AND seen <= now - {ALIVE + SEEN};
  END IF;
  SELECT count(*) INTO workers FROM aldeamo_limit_workers
    WHERE name = p_name AND seen > now - {ALIVE + SEEN};
  IF p_recovering AND silent THEN
    a.settle_at := now + {SETTLE}; a.free_from := greatest(a.free_from, a.settle_at);
  END IF;

  speed := a.rate * a.share; start := now;
  IF speed > 0 THEN
    start := greatest(a.free_from, a.frozen_until, now - (a.burst - 1) / speed + p_lead);
    IF p_want >= 1 AND start - now <= p_ahead THEN
      granted := least(p_want, greatest(p_least, floor(speed * {SPAN} / workers), 1));
      a.free_from := start + granted / speed;
    END IF;
  END IF;
  UPDATE aldeamo_limits SET rate = a.rate, burst = a.burst, share = a.share, at = now,
    free_from = a.free_from, frozen_until = a.frozen_until, cut_after = a.cut_after,
    settle_at = a.settle_at WHERE name = p_name;
  RETURN ARRAY[granted, start, now, a.frozen_until, a.settle_at, a.rate, a.burst, a.share,
    workers];
END $$;
"""  # noqa: S608

CALL: Final = (
    "SELECT aldeamo_lease_1(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::float8, %s::float8, %s)"
)
