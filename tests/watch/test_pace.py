"""How often a watch asks, and how it stands back for sends."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import anyio
import pytest

from aldeamo_async import TokenBucket
from aldeamo_async._watch._polite import PATIENCE, Polite
from support.clients import drain, messages, opened, yes
from support.watching import ANA, CHANNEL, api, listing, message, take, user

DATE = "2030-01-01 10:00:00"


async def times_of_rounds(seconds: float, moves: set[int], **options: float) -> list[float]:
    """When a watch asked for the users; in the rounds `moves` a client has moved."""
    rounds = 0

    def users():  # type: ignore[no-untyped-def]
        nonlocal rounds
        rounds += 1
        return listing(user(ANA, f"2030-01-01 10:00:{sum(m <= rounds for m in moves):02d}"))

    carrier = api(users, lambda _: listing(message(1)))
    async with opened(carrier) as client, client.watch(CHANNEL, **options) as watch:  # type: ignore[arg-type]
        await take(watch, seconds)
    pairs = zip(carrier.times, carrier.requests, strict=True)
    lists = [at for at, request in pairs if "client_id" not in dict(request.params)]
    return lists[1:]  # the first was the opening's


async def test_rounds_grow_apart_and_come_back() -> None:
    """Quiet rounds are half as far apart again up to `idle_max`; one move, and they are close."""
    times = await times_of_rounds(200, {10}, jitter=0, every=4, idle_max=30)
    gaps = [round(after - before, 3) for before, after in pairwise(times)]
    # Who was there at the opening is settled in the second round, and who moved in the ninth is
    # settled in the tenth; each brings the next round near.
    assert gaps[:8] == [4, 4, 4, 6, 9, 13.5, 20.25, 30]
    assert gaps[8:12] == [4, 4, 4, 6]


async def test_intervals_vary() -> None:
    """With jitter no two processes keep step, and none strays further than told."""
    random.seed(1)
    times = await times_of_rounds(2000, set(), jitter=0.2, every=10, idle_max=10)
    gaps = [after - before for before, after in pairwise(times)]
    assert all(8 - 1e-9 <= gap <= 12 + 1e-9 for gap in gaps)
    assert max(gaps) - min(gaps) > 2


async def test_a_watch_makes_one_request_at_a_time() -> None:
    """With many clients to read, a watch still holds one connection."""
    ids = [f"57300{n:07d}" for n in range(50)]

    async def slow(result):  # type: ignore[no-untyped-def]
        await anyio.sleep(0.1)
        return result

    carrier = api(
        lambda: slow(listing(*(user(i, DATE) for i in ids))),  # type: ignore[arg-type, return-value]
        lambda i: slow(listing(message(i))),  # type: ignore[return-value]
    )
    since = datetime.now(UTC) - timedelta(hours=1)
    async with opened(carrier) as client, client.watch(CHANNEL, since=since) as watch:
        assert len(await take(watch, 60)) == 50
    assert carrier.most == 1


async def test_sends_keep_nine_tenths_of_the_rate() -> None:
    """While a bulk run waits for permits a watch takes its small share, and gets on with it."""
    ids = [f"57300{n:07d}" for n in range(2000)]
    carrier = api(lambda: listing(*(user(i, DATE) for i in ids)), lambda i: listing(message(i)))
    inner = carrier._act
    carrier._act = lambda n, r: yes() if r.endpoint.method == "POST" else inner(n, r)
    since = datetime.now(UTC) - timedelta(hours=1)
    async with (
        opened(carrier, limiter=TokenBucket(10)) as client,
        client.watch(CHANNEL, since=since) as watch,
        client.send_many(messages(100_000)) as outcomes,
        anyio.create_task_group() as group,
    ):
        group.start_soon(drain, outcomes)
        heard = await take(watch, 200)
        group.cancel_scope.cancel()
    sends = sum(request.endpoint.method == "POST" for request in carrier.requests)
    assert 0.88 * 2000 <= sends <= 0.92 * 2000
    assert 0.08 * 2000 <= len(heard) <= 0.12 * 2000


async def test_a_free_limiter_is_asked_as_by_anybody() -> None:
    """Without others in line a watch has the whole rate, and a cancelled wait takes nothing."""
    bucket = TokenBucket(10, burst=1)
    polite = Polite(bucket)
    for _ in range(20):
        await polite.acquire()
    assert anyio.current_time() == pytest.approx(1.9)
    await anyio.sleep(1)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await polite.acquire()
    assert bucket.snapshot().granted - bucket.snapshot().refunded == 20


@pytest.mark.parametrize("rate", [0.0, 0.001])
async def test_at_a_very_low_rate_a_watch_waits_in_line_after_a_while(rate: float) -> None:
    """A share of next to nothing is no reason to wait for ever."""
    bucket = TokenBucket(rate, initial=0)
    polite = Polite(bucket)
    async with anyio.create_task_group() as group:
        for waiter in (bucket, polite):
            group.start_soon(waiter.acquire)
            await anyio.sleep(PATIENCE)
        assert bucket.snapshot().waiting == 2
        group.cancel_scope.cancel()
