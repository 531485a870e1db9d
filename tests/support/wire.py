"""Requests for tests of what carries them: invented key, number and text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from aldeamo_async._models import Outgoing
from aldeamo_async._settings import Dialect, Secret
from aldeamo_async._wire import WireRequest, send_request, users_request

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "test-key"
PHONE = "573000000001"
TEXT = "Hola Ana"


def sending(base_url: str, text: str = TEXT, **dialect: object) -> WireRequest:
    """`POST /messages` to a number."""
    spoken = Dialect(base_url=base_url, **dialect)  # type: ignore[arg-type]
    return send_request(Outgoing("sms", PHONE, text), spoken, Secret(KEY))


def reading(base_url: str, **dialect: object) -> WireRequest:
    """`GET /users`."""
    spoken = Dialect(base_url=base_url, **dialect)  # type: ignore[arg-type]
    return users_request("whatsapp", spoken, Secret(KEY))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what a server's thread does; it cannot set an event of this loop."""
    while not condition():  # noqa: ASYNC110
        await anyio.sleep(0.005)
