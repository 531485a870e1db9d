"""What a message costs in the hands of each peer: one function for each, as its users write it.

Rule 1: every peer sends the same form to the same URL, reads the answer to its end, and looks at
what it says; what the SDK does beyond that (limiter, deadline, verdict, retry, redaction, history,
outcome) is its own affair and stays switched on.
Rule 2: a peer keeps `in_flight` requests under way until the window closes, and tells the window of
each answer.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Peer = Callable[[str, int, "Window"], Awaitable[None]]

KEY = "test-key"
LEDGER_ROWS = 20_000  # loaded before the window opens; a fast machine may use them up, and stops
WARM_UP_SECONDS = 15.0  # a thousand connections of httpx take some seconds


class Window:
    """The time that counts: after as many answers as are in flight, for so many seconds."""

    def __init__(self, in_flight: int, seconds: float) -> None:
        self._warm_up = in_flight
        self._seconds = seconds
        self._latest = time.perf_counter() + WARM_UP_SECONDS
        self._began = 0.0
        self._cpu_began = 0.0
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.latencies: list[float] = []

    @property
    def open(self) -> bool:
        """Whether another message is to be sent."""
        return not self._began or time.perf_counter() - self._began < self._seconds

    def answered(self, seconds: float) -> None:
        """Take note of one answer, and of how long it took."""
        now = time.perf_counter()
        if self._began:
            if self.open:
                self.latencies.append(seconds)
                self.seconds = now - self._began
                self.cpu_seconds = time.process_time() - self._cpu_began
            return
        self._warm_up -= 1
        if self._warm_up <= 0 or now > self._latest:
            self._began, self._cpu_began = now, time.process_time()


def form(number: int) -> dict[str, str]:
    """The parameters of one message."""
    return {
        "auth": KEY,
        "channel": "sms",
        "client_id": f"5730000000{number % 100:02}",
        "msg": f"Hola Ana, tu turno es el {number}",
    }


def is_yes(answer: Any) -> bool:
    """Whether the API said yes."""
    return bool(answer["status"]) and answer["codigo"] == 0


async def loop_over(
    post: Callable[[dict[str, str]], Awaitable[Any]], in_flight: int, window: Window
) -> None:
    """The loop that users write: so many workers over one source."""
    numbers = count()

    async def work() -> None:
        while window.open:
            began = time.perf_counter()
            assert is_yes(await post(form(next(numbers))))
            window.answered(time.perf_counter() - began)

    await asyncio.gather(*(work() for _ in range(in_flight)))


async def aiohttp_loop(base_url: str, in_flight: int, window: Window) -> None:
    """The hand-written loop over `aiohttp.ClientSession`."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post(data: dict[str, str]) -> Any:
            async with session.post(f"{base_url}/messages", data=data) as answer:
                return await answer.json()

        await loop_over(post, in_flight, window)


async def httpx_gather(base_url: str, in_flight: int, window: Window) -> None:
    """The same over `httpx.AsyncClient`."""
    import httpx

    await _httpx_like(httpx, base_url, in_flight, window)


async def httpx2_gather(base_url: str, in_flight: int, window: Window) -> None:
    """The same over `httpx2.AsyncClient`."""
    import httpx2

    await _httpx_like(httpx2, base_url, in_flight, window)


async def _httpx_like(httpx: Any, base_url: str, in_flight: int, window: Window) -> None:
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def post(data: dict[str, str]) -> Any:
            return (await client.post(f"{base_url}/messages", data=data)).json()

        await loop_over(post, in_flight, window)


async def bare_pyreqwest(base_url: str, in_flight: int, window: Window) -> None:
    """The same over `pyreqwest`: the bare leaf of `PyreqwestTransport`."""
    from pyreqwest.client import ClientBuilder

    builder = ClientBuilder().max_connections(in_flight).http1_only()
    async with builder.build() as client:

        async def post(data: dict[str, str]) -> Any:
            answer = await client.post(f"{base_url}/messages").form(data).build().send()
            return await answer.json()

        await loop_over(post, in_flight, window)


async def bare_httptools(base_url: str, in_flight: int, window: Window) -> None:
    """The same over `HttptoolsTransport` alone: the bare leaf of the SDK's fast transport."""
    import json

    from aldeamo_async import Dialect, Secret
    from aldeamo_async._wire import POST_MESSAGES, endpoint
    from aldeamo_async.transports import HttptoolsTransport, Timeouts, WireRequest, WireResponse

    place, secret = endpoint(POST_MESSAGES, Dialect(base_url=base_url)), Secret(KEY)
    transport, timeouts = HttptoolsTransport(max_connections=in_flight), Timeouts(total=60)

    async def post(data: dict[str, str]) -> Any:
        del data["auth"]  # the transport puts the key in its place itself
        request = WireRequest(place, tuple(data.items()), secret)
        answer = await transport.exchange(request, timeouts)
        assert isinstance(answer, WireResponse)
        return json.loads(answer.body)

    await loop_over(post, in_flight, window)
    await transport.aclose()


async def bare_lanes(base_url: str, in_flight: int, window: Window) -> None:
    """The same over one `httpx.AsyncHTTPTransport` for each worker: the bare leaf of the lanes."""
    import json
    import ssl
    from urllib.parse import urlencode

    import httpx

    url = httpx.URL(f"{base_url}/messages")
    headers = {"host": url.netloc, "content-type": "application/x-www-form-urlencoded"}
    options = {"timeout": {"connect": 5.0, "read": 30.0, "write": 10.0, "pool": None}}
    context = ssl.create_default_context()  # shared: one for each would cost more than the requests
    numbers = count()

    async def work() -> None:
        async with httpx.AsyncHTTPTransport(verify=context) as transport:
            while window.open:
                began = time.perf_counter()
                body = urlencode(form(next(numbers))).encode()
                request = httpx.Request(
                    "POST", url, headers=headers, content=body, extensions=options
                )
                answer = await transport.handle_async_request(request)
                assert is_yes(json.loads(await answer.aread()))
                window.answered(time.perf_counter() - began)

    await asyncio.gather(*(work() for _ in range(in_flight)))


async def sdk(
    base_url: str,
    in_flight: int,
    window: Window,
    *,
    over: str = "LaneTransport",
    connections: int | None = None,
    ledger: bool = False,
) -> None:
    """The SDK with everything on, by `send_many` or as a campaign with its SQLite ledger."""
    from aldeamo_async import AsyncBotsClient, TokenBucket, transports

    client = AsyncBotsClient(
        KEY,
        base_url=base_url,
        transport=getattr(transports, over)(max_connections=connections or in_flight),
        limiter=TokenBucket(1e6),  # counts every permit, and holds nobody up
    )
    async with client:
        await (_campaign if ledger else _send_many)(client, in_flight, window)


async def _send_many(client: Any, in_flight: int, window: Window) -> None:
    from aldeamo_async import Sent

    async with client.send_many(_messages(window), concurrency=in_flight) as outcomes:
        async for outcome in outcomes:
            assert isinstance(outcome, Sent)
            window.answered(outcome.attempts[0].took)


async def _campaign(client: Any, in_flight: int, window: Window) -> None:
    from aldeamo_async import Campaign

    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder, 'campaign.db')}"
        async with Campaign.open(url, client) as campaign:
            await campaign.load(_outgoing(number) for number in range(LEDGER_ROWS))
            watching = asyncio.create_task(_watch(campaign, window))
            await campaign.run(concurrency=in_flight)
            await watching


async def _watch(campaign: Any, window: Window) -> None:
    """Tell the window of a campaign's progress, which names no single message."""
    told = 0
    while window.open and told < LEDGER_ROWS:
        await asyncio.sleep(0.01)
        sent = campaign.progress.sent if campaign.progress else told
        for _ in range(sent - told):
            window.answered(0.0)
        told = sent
    campaign.stop("the window is closed")


def _messages(window: Window) -> Iterator[Any]:
    for number in count():
        if not window.open:
            return
        yield _outgoing(number)


def _outgoing(number: int) -> Any:
    from aldeamo_async import Outgoing

    named = form(number)
    return Outgoing(named["channel"], named["client_id"], named["msg"])


FAST, RUST = "HttptoolsTransport", "PyreqwestTransport"
PEERS: dict[str, Peer] = {
    "aiohttp": aiohttp_loop,
    "httpx": httpx_gather,
    "httpx2": httpx2_gather,
    "bare httpx lanes": bare_lanes,
    "bare httptools": bare_httptools,
    "bare pyreqwest": bare_pyreqwest,
    "SDK": sdk,
    "SDK, 100 lanes": partial(sdk, connections=100),  # what the default transport opens by itself
    "SDK, fast": partial(sdk, over=FAST),
    "SDK, pyreqwest": partial(sdk, over=RUST),
    "SDK, ledger": partial(sdk, ledger=True),
    "SDK, fast, ledger": partial(sdk, over=FAST, ledger=True),
    "SDK, pyreqwest, ledger": partial(sdk, over=RUST, ledger=True),
}
