"""A thousand clients, bad weather, restarts: every message exactly once, and few reads."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import anyio

from aldeamo_async import AldeamoError, WatchCursor
from aldeamo_async.sandbox import Sandbox, Weather
from support.matrix import Matrix
from support.watching import CHANNEL, DAY, Calendar, town, visitor

if TYPE_CHECKING:
    from aldeamo_async import AsyncBotsClient

CLIENTS = 1000
TALKERS = 20  # of them write half of all messages
MESSAGES = 400
SECONDS = 240.0  # in which they are written
SAVED = Matrix("A watch over 1,000 clients in rough weather, restarted at any moment")


class Bot:
    """A bot that is killed again and again, and has only its file to go on from."""

    def __init__(self, client: AsyncBotsClient, dice: random.Random) -> None:
        self._client = client
        self._dice = dice
        self._file = ""
        self.finished: list[str] = []
        self.starts = 0
        self.opened = anyio.Event()

    async def live(self, seconds: float) -> None:
        """Run until the time is over, or until the bot dies with a message in hand."""
        self.starts += 1
        since = WatchCursor.from_json(self._file) if self._file else None
        async with self._client.watch(CHANNEL, since=since) as messages:
            self._file = self._file or messages.cursor.to_json()
            self.opened.set()
            with anyio.move_on_after(seconds):
                async for message in messages:
                    if self._dice.random() < 0.1:
                        return
                    self.finished.append(message.id)
                    self._file = messages.done().to_json()

    async def live_on(self, sandbox: Sandbox, said: list[str]) -> None:
        """Start again until everything was heard, then listen a while for echoes."""
        while len(self.finished) < MESSAGES or len(said) < MESSAGES:
            try:
                await self.live(self._dice.uniform(0, 60))
            except AldeamoError:  # the first list of a start did not come
                await anyio.sleep(1)
        sandbox.weather = Weather.calm()
        await self.live(100)


def populate(sandbox: Sandbox, calendar: Calendar) -> list[str]:
    """People who wrote long ago, and some of them within the hour."""
    ids = [f"57300{number:07d}" for number in range(CLIENTS)]
    for ago, some in ((5 * DAY, ids), (3600.0, ids[::10])):
        calendar.shift = -ago
        for client_id in some:
            sandbox.say(CHANNEL, client_id, "before")
    calendar.shift = 0.0
    return ids


async def test_every_message_comes_exactly_once_across_restarts(anyio_backend_name: str) -> None:
    """Nothing is lost or doubled, and of a naive bot's reads few are made."""
    dice = random.Random(11)
    sandbox = town(wall_clock=(calendar := Calendar()), latency=0.02)
    ids = populate(sandbox, calendar)
    sandbox.weather = Weather.rough(3, only="reads")
    said: list[str] = []

    async def talk() -> None:
        await bot.opened.wait()
        while len(said) < MESSAGES:
            await anyio.sleep(dice.expovariate(MESSAGES / SECONDS))
            someone = dice.choice(ids[:TALKERS] if dice.random() < 0.5 else ids)
            said.append(sandbox.say(CHANNEL, someone, f"message {len(said)}"))

    async with visitor(sandbox, timeout=1.0) as client, anyio.create_task_group() as group:
        bot = Bot(client, dice)
        group.start_soon(talk)
        await bot.live_on(sandbox, said)
    assert Counter(bot.finished) == Counter(said)
    calls = sandbox.requests
    naive = calls["users"] * CLIENTS
    made = calls["users"] + calls["messages"]
    told = f"{made} calls of {naive}, {1 - made / naive:.1%} saved"
    SAVED.put(f"{MESSAGES} messages", anyio_backend_name, f"{bot.starts} starts, {told}")
    assert bot.starts > 20
    assert sum(sandbox.faults.values()) > 50
    assert made < naive / 10
