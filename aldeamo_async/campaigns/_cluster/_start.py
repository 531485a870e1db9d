"""Starting a campaign for its workers, and waiting until they are done.

Rule: whoever starts it may leave; starting it again changes what it goes by, and doubles nothing.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ..._errors import UsageError
from .._postgres_url import SCHEMES, parse
from ._queue import Queue
from ._worker import CHUNKS_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .._campaign import Campaign
    from ._order import Order


@asynccontextmanager
async def opened_queue(url: str) -> AsyncGenerator[Queue]:
    """Open the queue of the campaign that a URL names.

    Raises:
        UsageError: the campaign is not in PostgreSQL.
        CampaignError: its jobs were made by another version of procrastinate.
    """
    if not url.startswith(SCHEMES):
        raise UsageError(
            "Workers on several machines need a campaign in PostgreSQL: "
            "postgresql://user:password@host/database?campaign=promo. One in a file is worked off "
            "by one process: aldeamo campaign run."
        )
    # For each chunk at work one, and one each to take jobs, to beat, and to look after the rest.
    async with Queue(parse(url), connections=CHUNKS_AT_ONCE + 3).opened() as queue:
        yield queue


async def start(campaign: Campaign, queue: Queue, order: Order) -> int:
    """Have the workers send what is pending; return the number of chunks that have something.

    With nothing to send, nothing is started.
    """
    chunks = await campaign.chunks()
    if chunks or not (await campaign.status()).done:
        await queue.place(order)
        await queue.enqueue(chunks)
    return len(chunks)
