"""What users' code looks like to a type checker. Never run: mypy and pyright read it.

Rule: every shape that a user may pass, and the exact type of all that comes back.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import assert_never, assert_type

import httpx

from aldeamo_async import (
    AldeamoError,
    AsyncBotsClient,
    Attempt,
    DeliveryUnknown,
    Dialect,
    Message,
    Outgoing,
    ReadChannel,
    Receipt,
    Rejected,
    RetryPolicy,
    Rows,
    SendChannel,
    Sent,
    TokenBucket,
    Unknown,
    User,
    Watch,
    WatchCursor,
)
from aldeamo_async.campaigns import Campaign, LoadReport, MemoryLedger, RunReport
from aldeamo_async.email import (
    AsyncEmailClient,
    EmailAuthError,
    EmailNotSent,
    EmailRefused,
    EmailRejected,
    EmailUnknown,
    OutgoingEmail,
)
from aldeamo_async.transports import HttptoolsTransport, PyreqwestTransport


def rows() -> Iterator[Outgoing]:
    yield Outgoing("sms", "573000000001", "Hola")
    yield Outgoing(SendChannel.WEB, 573000000002, "Hola", client_ref="row 2")


async def async_rows() -> AsyncIterator[Outgoing]:
    for row in rows():
        yield row


async def reads(client: AsyncBotsClient) -> None:
    assert_type(await client.users("whatsapp"), list[User])
    assert_type(await client.messages(ReadChannel.WEB, 573000000001), list[Message])
    async for user in client.iter_users(ReadChannel.FACEBOOK):
        assert_type(user, User)
        assert_type(user.user_id, str)
        assert_type(user.name, str | None)
    async with client.iter_messages("web", "573000000001") as messages:
        assert_type(messages, Rows[Message])
        async for message in messages:
            assert_type(message, Message)
            await messages.aclose()


async def one_send(client: AsyncBotsClient) -> None:
    try:
        receipt = await client.send("sms", "573000000001", "Hola")
    except DeliveryUnknown as error:
        assert_type(error.attempts, tuple[Attempt, ...])
    except AldeamoError:
        raise
    else:
        assert_type(receipt, Receipt)
        assert_type(receipt.message_id, str | None)


async def watching(client: AsyncBotsClient, saved: str) -> None:
    async with client.watch("whatsapp", ["573000000001", 573000000002]) as messages:
        assert_type(messages, Watch)
        assert_type(messages.cursor, WatchCursor)
        async for message in messages:
            assert_type(message, Message)
            assert_type(messages.done().to_json(), str)
    client.watch(ReadChannel.WEB, since=WatchCursor.from_json(saved), every=1, idle_max=30)
    client.watch("web", since=datetime.now(UTC), jitter=0.5)


async def many_sends(client: AsyncBotsClient) -> None:
    async with client.send_many(rows(), concurrency=200) as outcomes:
        async for outcome in outcomes:
            assert_type(outcome.outgoing, Outgoing)
            assert_type(outcome.attempts, tuple[Attempt, ...])
            match outcome:
                case Sent(_, receipt):
                    assert_type(receipt, Receipt)
                case Rejected(_, error):
                    assert_type(error, AldeamoError)
                case Unknown(_, unknown):
                    assert_type(unknown, DeliveryUnknown)
                case _:
                    assert_never(outcome)
    async with client.send_many(async_rows()) as outcomes:
        assert_type([outcome async for outcome in outcomes], list[Sent | Rejected | Unknown])
    async with client.send_many([Outgoing("sms", 573000000001, "Hola")]):
        pass


async def options(transport: httpx.AsyncBaseTransport, context: ssl.SSLContext) -> None:
    async with AsyncBotsClient(
        "test-key",
        base_url="https://bots.example/bots",
        dialect=Dialect(auth_in="header"),
        timeout=httpx.Timeout(10),
        deadline=30,
        retry=RetryPolicy(attempts=2),
        limiter=TokenBucket(20.0, burst=5),
        max_connections=10,
    ) as client:
        assert_type(client, AsyncBotsClient)
        assert_type(client.with_options(timeout=5.0), AsyncBotsClient)
    assert_type(AsyncBotsClient.from_env(), AsyncBotsClient)
    await AsyncBotsClient(api_key="test-key", transport=transport).aclose()
    await AsyncBotsClient(api_key="test-key", verify=context).aclose()
    fast = HttptoolsTransport(max_connections=10, verify=context)
    await AsyncBotsClient(api_key="test-key", transport=fast).aclose()
    rust = PyreqwestTransport(max_connections=10, verify="ca.pem")
    await AsyncBotsClient(api_key="test-key", transport=rust).aclose()


def emails() -> Iterator[OutgoingEmail]:
    yield OutgoingEmail("ana@mail.example", "Tu cita", "Hola")
    yield OutgoingEmail("ana@mail.example", "Tu cita", "Hola", "<p>Hola</p>", client_ref="row 2")


async def email(context: ssl.SSLContext) -> None:
    async with AsyncEmailClient(
        "smtp.tenant.example",
        587,
        sender="Ana <citas@tenant.example>",
        username="ana",
        password="test-password",
        tls="starttls",
        verify=context,
        timeout=httpx.Timeout(10),
        deadline=30,
        retry=RetryPolicy(attempts=2),
        limiter=TokenBucket(20.0, burst=5),
        max_connections=4,
        local_hostname="app.tenant.example",
    ) as client:
        assert_type(client, AsyncEmailClient)
        try:
            receipt = await client.send("ana@mail.example", "Tu cita", "Hola", html=None)
            assert_type(receipt, Receipt)
        except EmailUnknown as unknown:
            assert_type(unknown.message_id, str)
        except (EmailAuthError, EmailRefused, EmailRejected) as refused:
            assert_type(refused.step, str)
        except EmailNotSent as error:
            assert_type(error.attempts, tuple[Attempt, ...])
        async with client.send_many(emails(), concurrency=4, ordered=True) as outcomes:
            assert_type([outcome async for outcome in outcomes], list[Sent | Rejected | Unknown])
    assert_type(next(emails()).to, str)


async def campaigns(bots: AsyncBotsClient, mail: AsyncEmailClient) -> None:
    async with Campaign.open("sqlite:///promo.db", bots) as campaign:
        assert_type(campaign, Campaign)
        assert_type(await campaign.load(rows()), LoadReport)
        assert_type(await campaign.load(async_rows()), LoadReport)
        assert_type(await campaign.run(concurrency=200), RunReport)
    async with Campaign.open(MemoryLedger(), mail) as campaign:
        assert_type(await campaign.load(emails()), LoadReport)
        assert_type(await campaign.load([{"to": "ana@mail.example"}]), LoadReport)
    Campaign.open("sqlite:///promo.db", "client")  # type: ignore[arg-type]


async def refused_by_the_type_checker(client: AsyncBotsClient) -> None:
    await client.users(1)  # type: ignore[arg-type]
    await client.send("sms", 1.5, "Hola")  # type: ignore[arg-type]
    await client.send("sms", "573000000001", b"Hola")  # type: ignore[arg-type]
    client.send_many(["Hola"])  # type: ignore[list-item]
    receipt = await client.send("sms", "573000000001", "Hola")
    receipt.message_id = "1"  # type: ignore[misc]
