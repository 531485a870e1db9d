"""A campaign whose chunks are handed out by an engine of your own, taskiq here.

ALDEAMO_API_KEY=... CAMPAIGN=postgresql://... taskiq worker taskiq_engine:broker
ALDEAMO_API_KEY=... CAMPAIGN=postgresql://... python taskiq_engine.py customers.csv
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack

from taskiq import Context, InMemoryBroker, TaskiqDepends, TaskiqEvents, TaskiqState

from aldeamo_async import AsyncBotsClient, Campaign

HAND_OUT_SECONDS = 30.0
broker = InMemoryBroker()  # yours: RedisStreamBroker, AioPikaBroker, PullBasedJetStreamBroker ...


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_campaign(state: TaskiqState) -> None:
    # One client and one open campaign for each worker process, not for each task.
    state.stack = AsyncExitStack()
    client = await state.stack.enter_async_context(AsyncBotsClient.from_env())
    campaign = Campaign.open(os.environ["CAMPAIGN"], client)
    state.campaign = await state.stack.enter_async_context(campaign)


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_campaign(state: TaskiqState) -> None:
    state.campaign.stop()
    await state.stack.aclose()


@broker.task
async def run_chunk(chunk: int, context: Context = TaskiqDepends()) -> dict[str, object]:
    # The broker may deliver this twice, late, or again after a crash: no message goes out twice.
    campaign: Campaign = context.state.campaign
    report = await campaign.run_chunk(chunk, concurrency=50)
    return report.as_dict()


async def hand_out(campaign: Campaign) -> bool:
    """Hand out what has something to send; once more is harmless. Tell whether anything had."""
    chunks = await campaign.chunks()
    for chunk in chunks:
        await run_chunk.kiq(chunk)
    return bool(chunks)


async def main(path: str) -> None:
    async with (
        AsyncBotsClient.from_env() as client,
        Campaign.open(os.environ["CAMPAIGN"], client) as campaign,
    ):
        await campaign.load(path)
        while not (await campaign.status()).done:
            # Put-off messages, and chunks whose worker died, come up here again.
            await hand_out(campaign)
            await asyncio.sleep(HAND_OUT_SECONDS)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
