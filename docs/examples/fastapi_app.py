"""A FastAPI service that sends messages and runs campaigns.

ALDEAMO_API_KEY=... uvicorn fastapi_app:app
"""

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import anyio
from anyio.abc import TaskGroup, TaskStatus
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi import Path as PathParameter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from aldeamo_async import (
    AldeamoError,
    AsyncBotsClient,
    Campaign,
    CampaignError,
    DeliveryUnknown,
    NotSent,
    RateLimited,
    UsageError,
)
from aldeamo_async.campaigns import State

LEDGERS = Path("campaigns")
log = logging.getLogger(__name__)


class Campaigns:
    """Campaigns that run in the background of this process, each with its ledger in a file."""

    def __init__(self, client: AsyncBotsClient, tasks: TaskGroup) -> None:
        self._client = client
        self._tasks = tasks
        self._running: dict[str, Campaign] = {}
        self._opening = anyio.Lock()  # a ledger is open once at a time

    async def start(self, name: str, messages: Iterable[dict[str, str]] = ()) -> dict[str, int]:
        async with self._opening:
            if name in self._running:
                raise CampaignError(f"The campaign {name} is running.")
            # This returns once the messages are in the ledger: what our caller is told we took
            # survives a crash. Taking the same ones again adds none, so a caller that got no
            # answer may simply ask again.
            taken: dict[str, int] = await self._tasks.start(self._run, name, messages)
            return taken

    async def _run(
        self,
        name: str,
        messages: Iterable[dict[str, str]],
        *,
        task_status: TaskStatus[dict[str, int]],
    ) -> None:
        async with self._open(name) as campaign:
            loaded = await campaign.load(messages)
            self._running[name] = campaign
            task_status.started({"added": loaded.added, "refused": loaded.rejected})
            try:
                await campaign.run()
            except AldeamoError:
                # A full disk, say. It must not take the service down; the ledger keeps the rest.
                log.exception("The campaign %s cannot go on", name)
            finally:
                del self._running[name]

    async def counts(self, name: str) -> Mapping[State, int]:
        async with self._opening:
            if running := self._running.get(name):
                return (await running.status()).counts
            async with self._open(name) as campaign:
                return (await campaign.status()).counts

    async def resume(self) -> None:
        for ledger in LEDGERS.glob("*.db"):
            await self.start(ledger.stem)

    def stop(self) -> None:
        for campaign in self._running.values():
            campaign.stop("the service is shutting down")

    def _open(self, name: str) -> Campaign:
        return Campaign.open(f"sqlite:///{LEDGERS / name}.db", self._client)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    # One client for the whole application, never one for each request: connections, the rate limit
    # and the retry budget belong to it. The deadline is shorter than our callers' patience.
    async with AsyncBotsClient.from_env(deadline=20) as client, anyio.create_task_group() as tasks:
        LEDGERS.mkdir(exist_ok=True)
        campaigns = Campaigns(client, tasks)
        await campaigns.resume()
        yield {"client": client, "campaigns": campaigns}
        # What is in flight is finished and written down; the next start of the service goes on.
        campaigns.stop()


app = FastAPI(lifespan=lifespan)


def get_client(request: Request) -> AsyncBotsClient:
    client: AsyncBotsClient = request.state.client
    return client


def get_campaigns(request: Request) -> Campaigns:
    campaigns: Campaigns = request.state.campaigns
    return campaigns


Client = Annotated[AsyncBotsClient, Depends(get_client)]
Background = Annotated[Campaigns, Depends(get_campaigns)]
Name = Annotated[str, PathParameter(pattern="^[a-z0-9-]{1,40}$")]


class Message(BaseModel):
    channel: str = "sms"
    client_id: str
    text: str


@app.post("/messages")
async def send(message: Message, client: Client) -> dict[str, str | None]:
    receipt = await client.send(message.channel, message.client_id, message.text)
    return {"status": "sent", "message_id": receipt.message_id}


@app.post("/campaigns/{name}", status_code=202)
async def start_campaign(
    name: Name, messages: list[Message], campaigns: Background
) -> dict[str, int]:
    return await campaigns.start(name, [message.model_dump() for message in messages])


@app.get("/campaigns/{name}")
async def campaign_counts(name: Name, campaigns: Background) -> Mapping[State, int]:
    if not (LEDGERS / f"{name}.db").exists():
        raise HTTPException(404, "No such campaign.")
    return await campaigns.counts(name)


@app.get("/health")
async def health(client: Client) -> dict[str, int | float]:
    stats = client.stats()
    return {"in_flight": stats.in_flight, "unknown": stats.unknown, "budget": stats.budget_left}


# What each error is to our own callers. The order in which they are registered does not matter:
# the nearest class of the error decides.


@app.exception_handler(DeliveryUnknown)
async def unknown(request: Request, error: DeliveryUnknown) -> JSONResponse:
    # Not a 5xx: proxies and HTTP clients repeat those by themselves, and a repeat may be the
    # second message to the same person. "Taken; its end is not known" is the truth.
    return JSONResponse(
        {"status": "unknown", "detail": "It may have been sent. Do not send it again."}, 202
    )


@app.exception_handler(UsageError)
async def bad_message(request: Request, error: UsageError) -> JSONResponse:
    return JSONResponse({"status": "rejected", "detail": str(error)}, 422)


@app.exception_handler(RateLimited)
async def busy(request: Request, error: RateLimited) -> JSONResponse:
    # 503, not 429: it is this service that has used up its rate, not the one who calls it.
    wait = {"Retry-After": f"{error.retry_after or 1:.0f}"}
    return JSONResponse({"status": "rejected", "detail": "Busy; not sent."}, 503, wait)


@app.exception_handler(NotSent)
async def not_sent(request: Request, error: NotSent) -> JSONResponse:
    # Nothing left this machine, so whoever repeats it does no harm.
    body = {"status": "rejected", "detail": "Not sent; safe to try again."}
    return JSONResponse(body, 503, {"Retry-After": "1"})


@app.exception_handler(CampaignError)
async def campaign_busy(request: Request, error: CampaignError) -> JSONResponse:
    return JSONResponse({"status": "rejected", "detail": str(error)}, 409)


@app.exception_handler(AldeamoError)
async def refused(request: Request, error: AldeamoError) -> JSONResponse:
    # The API said no (ApiError), or the key is wrong (AuthError): ours to mend, not the caller's.
    return JSONResponse({"status": "rejected", "detail": "Refused by the API; not sent."}, 502)
