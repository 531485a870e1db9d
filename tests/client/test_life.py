"""A client's life: made anywhere, bound by its first call, shared by many, closed once."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from aldeamo_async import (
    ApiError,
    AsyncBotsClient,
    ClientStats,
    DeliveryUnknown,
    Dialect,
    NotSent,
    Outgoing,
    RetryPolicy,
    Secret,
    Timeouts,
    TokenBucket,
    UsageError,
)
from aldeamo_async.sandbox import Sandbox, SandboxTransport, serve
from support.clients import (
    BASE_URL,
    KEY,
    PHONE,
    TEXT,
    UNSENT,
    Carrier,
    answer,
    make,
    messages,
    no,
    opened,
    scripted,
    taking,
    yes,
)

if TYPE_CHECKING:
    from aldeamo_async.transports import Exchange

ROWS = {"status": True, "codigo": 0, "message": "Users", "data": []}


# ── making one ──


def test_a_client_is_made_without_a_loop() -> None:
    """At import time, in a module, in a test: nothing runs and nothing is opened."""
    client = AsyncBotsClient(KEY)
    assert repr(client) == "AsyncBotsClient('https://apibot.aldeamo.com/bots', new, 0 in flight)"
    assert client.stats().in_flight == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"api_key": ""}, "api_key"),
        ({"base_url": "http://api.example.com"}, "in the clear"),
        ({"deadline": 0}, "deadline"),
        ({"deadline": "soon"}, "deadline"),
        ({"timeout": -1}, "timeout"),
        ({"dialect": "form"}, "dialect must be a Dialect, not str"),
        ({"retry": 3}, "retry must be a RetryPolicy, not int"),
        ({"limiter": 20}, "limiter must be a RateLimiter such as TokenBucket"),
        ({"limiter": TokenBucket}, "limiter must be a RateLimiter such as TokenBucket"),
        ({"transport": "httpx"}, "transport"),
        ({"max_connections": 0}, "max_connections"),
        ({"transport": SandboxTransport(Sandbox()), "verify": False}, "together"),
    ],
)
def test_a_setting_that_cannot_work_fails_at_once(options: dict[str, Any], problem: str) -> None:
    """Every setting is checked when the client is made, and the error names it."""
    with pytest.raises(UsageError, match=problem):
        AsyncBotsClient(**{"api_key": KEY} | options)


def test_a_base_url_completes_a_dialect() -> None:
    """Both may be given: the URL argument wins, the switches stay."""
    client = AsyncBotsClient(KEY, base_url=BASE_URL, dialect=Dialect(post_encoding="json"))
    assert client._settings.dialect == Dialect(base_url=BASE_URL, post_encoding="json")


def test_a_client_is_made_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key and, if set, the base URL come from two variables."""
    monkeypatch.setenv("ALDEAMO_API_KEY", KEY)
    monkeypatch.delenv("ALDEAMO_BASE_URL", raising=False)
    assert AsyncBotsClient.from_env()._settings.api_key == Secret(KEY)
    assert AsyncBotsClient.from_env()._settings.dialect == Dialect()
    monkeypatch.setenv("ALDEAMO_BASE_URL", "")
    assert AsyncBotsClient.from_env()._settings.dialect == Dialect()
    monkeypatch.setenv("ALDEAMO_BASE_URL", BASE_URL)
    client = AsyncBotsClient.from_env(deadline=5)
    assert client._settings.dialect.base_url == BASE_URL
    assert client._settings.deadline == 5


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is passed is meant, be it as an argument or in a dialect."""
    monkeypatch.setenv("ALDEAMO_API_KEY", "another")
    monkeypatch.setenv("ALDEAMO_BASE_URL", "https://another.invalid")
    own = "https://own.invalid/bots"
    for options in ({"base_url": own}, {"dialect": Dialect(base_url=own)}):
        client = AsyncBotsClient.from_env(api_key=KEY, **options)
        assert client._settings.api_key == Secret(KEY)
        assert client._settings.dialect.base_url == own
    client = AsyncBotsClient.from_env(dialect=Dialect(post_encoding="json"))
    assert client._settings.dialect.base_url == "https://another.invalid"


def test_without_a_key_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, and where to put it."""
    monkeypatch.delenv("ALDEAMO_API_KEY", raising=False)
    with pytest.raises(UsageError, match="set ALDEAMO_API_KEY"):
        AsyncBotsClient.from_env()


# ── one loop, one process ──


def test_a_second_loop_is_refused_clearly() -> None:
    """A client that has connections in one loop says so in another, instead of hanging."""
    client = make(scripted())

    async def send() -> None:
        await client.send("sms", PHONE, TEXT)

    asyncio.run(send())
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(send())
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(client.aclose())
    client._home.closed = True


def test_an_unused_client_may_be_used_in_any_loop() -> None:
    """Only the first call binds; making one does not."""
    client = make(scripted())

    async def use() -> None:
        async with client:
            await client.send("sms", PHONE, TEXT)

    asyncio.run(use())


@pytest.mark.real_clock
def test_use_after_a_fork_is_refused_clearly() -> None:
    """A child process cannot write into its parent's connections; it is told so, in either loop."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _FORK],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.count("used before a fork") == 1
    assert done.stderr == ""


_FORK = f"""
import asyncio, gc, os, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from support.clients import make, scripted
from aldeamo_async import UsageError

async def main():
    client = make(scripted())
    await client.send("sms", "573000000001", "Hola")
    if os.fork() == 0:
        async def again():
            await client.send("sms", "573000000001", "Hola")
        asyncio._set_running_loop(None)
        try:
            asyncio.run(again())
        except UsageError as error:
            print(error, flush=True)
        del client, again
        gc.collect()
        os._exit(0)
    os.wait()
    await client.aclose()

asyncio.run(main())
"""


async def test_the_process_is_asked_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of process is seen in the same loop too; the child does not warn for the parent."""
    client = make(scripted())
    await client.send("sms", PHONE, TEXT)
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        with pytest.raises(UsageError, match="used before a fork"):
            await client.send("sms", PHONE, TEXT)
        held = [client]
        del client
        held.clear()
        gc.collect()


# ── closing ──


async def test_a_forgotten_client_is_a_resource_warning() -> None:
    """One that made calls and was not closed warns when it goes; nothing is closed behind it."""
    carrier = scripted()
    client = make(carrier)
    await client.send("sms", PHONE, TEXT)
    held = [client]
    del client
    with pytest.warns(ResourceWarning, match="was not closed"):
        held.clear()
    assert carrier.closed == 0


async def test_an_unused_or_closed_client_goes_quietly() -> None:
    """No warning where there is nothing to close."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client = make(scripted())
        del client
        async with opened(scripted()) as client:
            await client.send("sms", PHONE, TEXT)
        del client
        gc.collect()


async def test_a_view_keeps_its_client_s_warning_to_itself() -> None:
    """A view that goes while its client lives is no forgotten client."""
    async with opened(scripted()) as client:
        view = client.with_options(deadline=1)
        await view.send("sms", PHONE, TEXT)
        del view
        gc.collect()


async def test_closing_is_final_and_may_be_repeated() -> None:
    """The transport is closed once; every later call is refused before any I/O."""
    carrier = scripted()
    client = make(carrier)
    await client.aclose()
    await client.aclose()
    async with opened(carrier):
        pass
    assert carrier.closed == 2
    assert repr(client) == f"AsyncBotsClient({BASE_URL!r}, closed, 0 in flight)"
    calls = [
        lambda: client.send("sms", PHONE, TEXT),
        lambda: client.users("whatsapp"),
        lambda: client.messages("whatsapp", PHONE),
        lambda: client.__aenter__(),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="This client is closed"):
            await call()
    for plain in (
        lambda: client.iter_users("whatsapp"),
        lambda: client.iter_messages("whatsapp", PHONE),
        lambda: client.send_many([]),
    ):
        with pytest.raises(UsageError, match="This client is closed"):
            plain()
    assert carrier.requests == []


async def test_a_client_says_in_its_repr_how_it_is() -> None:
    """New, open, with so many in flight; never the key."""
    client = make(taking(1))
    async with client, anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(client.send, "sms", PHONE, TEXT)
        await anyio.sleep(0.5)
        assert repr(client) == f"AsyncBotsClient({BASE_URL!r}, open, 3 in flight)"


def test_a_client_is_neither_copied_nor_pickled() -> None:
    """A copy would share live connections without knowing; the error says what to do instead."""
    client = make(scripted())
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(UsageError, match="make one in each process"):
            attempt(client)


# ── views ──


async def test_a_view_shares_what_its_client_has() -> None:
    """Limiter, budget, counts, drift and connections are one; options are the view's own."""
    carrier = scripted(UNSENT)
    async with opened(carrier, limiter=TokenBucket(1000)) as client:
        view = client.with_options(
            deadline=3, timeout=2, retry=RetryPolicy(wait=lambda _: 0.5, attempts=2)
        )
        await view.send("sms", PHONE, TEXT)
        await client.send("sms", PHONE, TEXT)
        assert view.stats() == client.stats()
        assert view.drift is client.drift
        stats = client.stats()
        assert (stats.sent, stats.retries, stats.budget_left) == (2, 1, 500 - 14 + 1 + 1)
        assert stats.limiter.granted == 3
    assert [t.read for t in carrier.timeouts] == [2, 2, 30]
    assert [t.total for t in carrier.timeouts] == [3.0, 2.5, 60.0]


async def test_a_view_speaks_its_own_dialect() -> None:
    """Its requests are rendered, and its answers read, as its dialect says."""
    carrier = Carrier(lambda *_: answer(200, {"status": 1, "codigo": "0", "data": 5}))
    async with opened(carrier) as client:
        dialect = Dialect(base_url="https://other.invalid", strict_envelope=True)
        assert (await client.send("sms", PHONE, TEXT)).message_id == "5"
        with pytest.raises(DeliveryUnknown):
            await client.with_options(dialect=dialect).send("sms", PHONE, TEXT)
    assert [request.endpoint.url for request in carrier.requests] == [
        f"{BASE_URL}/messages",
        "https://other.invalid/messages",
    ]


async def test_a_view_of_a_view_adds_to_it() -> None:
    """What is not given stays as it is in the view at hand."""
    carrier = scripted()
    async with opened(carrier) as client:
        view = client.with_options(deadline=3).with_options(timeout=Timeouts(read=1))
        await view.send("sms", PHONE, TEXT)
    assert (carrier.timeouts[0].total, carrier.timeouts[0].read) == (3.0, 1)


async def test_closing_a_view_closes_nothing() -> None:
    """Only the client itself closes; then its views are closed too."""
    carrier = scripted()
    async with opened(carrier) as client:
        async with client.with_options(deadline=3) as view:
            pass
        assert carrier.closed == 0
        await client.send("sms", PHONE, TEXT)
    assert carrier.closed == 1
    with pytest.raises(UsageError, match="closed"):
        await view.send("sms", PHONE, TEXT)


@pytest.mark.parametrize(
    "options", [{"deadline": -1}, {"timeout": 0}, {"retry": 3}, {"dialect": "form"}]
)
def test_a_view_s_options_are_checked(options: dict[str, Any]) -> None:
    """As strictly as the client's own."""
    with pytest.raises(UsageError):
        make(scripted()).with_options(**options)


# ── state ──


async def test_stats_are_plain_numbers() -> None:
    """They pickle and compare, before the first call, between calls and after the close."""
    client = AsyncBotsClient(KEY, base_url=BASE_URL, limiter=TokenBucket(20))
    stats = client.stats()
    assert pickle.loads(pickle.dumps(stats)) == stats  # noqa: S301 - our own
    assert isinstance(stats, ClientStats)
    assert stats.lanes is not None
    assert stats.lanes.busy == 0
    assert make(scripted()).stats().lanes is None
    assert (stats.limiter.rate, stats.budget_left, stats.sent) == (20, 500, 0)


async def test_each_call_is_counted_once() -> None:
    """Calls by outcome, reads, attempts beyond the first."""
    script = [yes(), no(), UNSENT, UNSENT, answer(500), answer(200, ROWS)]
    async with opened(scripted(*script), retry=RetryPolicy(attempts=2)) as client:
        await client.send("sms", PHONE, TEXT)
        with pytest.raises(ApiError):
            await client.send("sms", PHONE, TEXT)
        with pytest.raises(NotSent):
            await client.send("sms", PHONE, TEXT)
        with pytest.raises(DeliveryUnknown):
            await client.send("sms", PHONE, TEXT)
        await client.users("whatsapp")
        with pytest.raises(UsageError):
            await client.send("pigeon", PHONE, TEXT)
        stats = client.stats()
    assert (stats.sent, stats.rejected, stats.unknown) == (1, 3, 1)
    assert (stats.reads, stats.retries, stats.cancelled) == (1, 1, 0)


async def test_five_hundred_tasks_share_one_client() -> None:
    """Every call comes right, and nothing is left in flight."""
    carrier = taking(1)
    receipts: list[Any] = []
    async with opened(carrier) as client:

        async def one(number: int) -> None:
            receipts.append(await client.send("sms", PHONE, f"Hola {number}"))

        async with anyio.create_task_group() as group:
            for number in range(500):
                group.start_soon(one, number)
        assert client.stats().sent == len(receipts) == 500
        assert client.stats().in_flight == 0
    assert carrier.most == 500


@pytest.mark.real_clock
async def test_five_hundred_tasks_share_the_default_transport() -> None:
    """Over sockets as well: 500 at a time through 20 lanes, each message delivered once."""
    sandbox = Sandbox()
    async with (
        serve(sandbox) as url,
        AsyncBotsClient(KEY, base_url=url, max_connections=20) as client,
    ):
        async with anyio.create_task_group() as group:
            for outgoing in messages(500):
                group.start_soon(client.send, "sms", outgoing.client_id, outgoing.text)
        stats = client.stats()
    assert (sandbox.delivered, sandbox.duplicates, stats.sent) == (500, 0, 500)
    assert stats.lanes is not None
    assert (stats.lanes.busy, stats.lanes.waiting) == (0, 0)


async def test_a_cancelled_call_is_counted() -> None:
    """It ended without an outcome, and shows as such."""
    async with opened(taking(10)) as client:
        with anyio.move_on_after(1):
            await client.send("sms", PHONE, TEXT)
        with anyio.move_on_after(1):
            await client.users("whatsapp")
        stats = client.stats()
    assert (stats.cancelled, stats.in_flight, stats.sent) == (2, 0, 0)


async def test_an_httpx_timeout_serves() -> None:
    """Each of its phases is used; seconds alone mean every phase."""
    carrier = scripted()
    async with opened(carrier, timeout=httpx.Timeout(9, connect=2, read=3, write=4)) as client:
        await client.send("sms", PHONE, TEXT)
        await client.with_options(timeout=7).send("sms", PHONE, TEXT)
    assert [(t.connect, t.read, t.write) for t in carrier.timeouts] == [(2, 3, 4), (7, 7, 7)]


async def test_a_source_may_use_the_client_itself() -> None:
    """Reads feed sends over the same client and limiter, without a deadlock."""
    rows = [{"id": "1", "user_id": f"5730000000{n:02d}"} for n in range(9)]

    def act(_: int, request: Any) -> Exchange:
        return yes() if request.endpoint.method == "POST" else answer(200, ROWS | {"data": rows})

    async with opened(Carrier(act), limiter=TokenBucket(10, 1)) as client:

        async def source() -> Any:
            async for user in client.iter_users("whatsapp"):
                yield Outgoing("sms", user.user_id, TEXT)

        async with client.send_many(source(), concurrency=3) as outcomes:
            assert len([outcome async for outcome in outcomes]) == 9
