"""A sandbox whose people write at the test's own time, and clients that watch it.

Rule: the sandbox's calendar starts now, on a whole second, and runs on the clock of the test.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio

from aldeamo_async import AsyncBotsClient
from aldeamo_async.sandbox import Sandbox, SandboxTransport
from support.clients import KEY, Carrier, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aldeamo_async import Message
    from aldeamo_async.transports import Exchange, WireRequest

CHANNEL = "whatsapp"
ANA, LUIS, EVA = "573000000001", "573000000002", "573000000003"
DAY = 86_400.0


class Calendar:
    """Seconds since 1970 on the clock of the test; `shift` seconds away from this machine's."""

    def __init__(self) -> None:
        self._start = float(int(time.time()))
        self.shift = 0.0

    def __call__(self) -> float:
        return self._start + anyio.current_time() + self.shift


def town(**options: Any) -> Sandbox:
    """A sandbox without people."""
    return Sandbox(**{"users_per_channel": 0, "wall_clock": Calendar()} | options)


def visitor(sandbox: Sandbox, **options: Any) -> AsyncBotsClient:
    """A client of a sandbox in this process."""
    return AsyncBotsClient(KEY, transport=SandboxTransport(sandbox), **options)


async def take(messages: AsyncIterator[Message], within: float) -> list[str | None]:
    """The texts that come in so many seconds."""
    texts: list[str | None] = []
    with anyio.move_on_after(within):
        async for message in messages:
            texts += [message.text]
    return texts


def listing(*rows: dict[str, Any]) -> Exchange:
    """A list as the API answers it."""
    return answer(200, {"status": True, "codigo": 0, "message": "", "data": list(rows)})


def user(user_id: str, last_active: str | None = "2026-01-01 10:00:00") -> dict[str, Any]:
    return {"id": "1", "user_id": user_id, "last_active": last_active}


def message(number: object, text: str = "Hola", at: float | None = None) -> dict[str, Any]:
    seconds = str(int(time.time() if at is None else at))
    return {"id": str(number), "user_id": ANA, "message": text, "time": seconds}


def api(
    users: Callable[[], Exchange], messages: Callable[[str], Exchange] = lambda _: listing()
) -> Carrier:
    """A transport that answers the two reads; `messages` is given the client's id."""

    def act(_: int, request: WireRequest) -> Exchange:
        params = dict(request.params)
        return messages(params["client_id"]) if "client_id" in params else users()

    return Carrier(act)


def reads_of(carrier: Carrier, client_id: str) -> int:
    """How often the messages of a client were asked for."""
    return sum(dict(request.params).get("client_id") == client_id for request in carrier.requests)
