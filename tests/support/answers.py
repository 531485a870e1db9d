"""Answers of the API for tests without a server, and a handler that gives them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from aldeamo_async import AsyncBotsClient, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from aldeamo_async._codec import Codec

KEY = "test-key"
ONCE = RetryPolicy(attempts=1)
USER: dict[str, Any] = {
    "id": "1",
    "user_id": "50700000001",
    "name": "Ana",
    "email": None,
    "phone": "50700000001",
    "date_created": "2019-05-02 19:04:49",
    "last_active": "2019-09-09 17:20:59",
}
MESSAGE: dict[str, Any] = {
    "id": "10",
    "user_id": "50700000001",
    "message": "Hola bot",
    "time": "1556826151",
}


def envelope(data: Any, /, **changes: Any) -> dict[str, Any]:
    """The outer object as documented, but for the changes; `...` takes a member away."""
    whole = {"status": True, "codigo": 0, "message": "Message sent", "data": data, **changes}
    return {name: value for name, value in whole.items() if value is not ...}


def all_rows(codec: Codec, data: Any, noun: type[Any], call: str) -> list[Any]:
    """Read a whole list in stretches of two rows."""
    page = codec.page(data, noun, call)
    while page.advance(2):
        pass
    return page.nouns()


class Server:
    """Answers every request alike, and keeps what it was asked."""

    def __init__(self, answer: Any, status: int = 200, headers: Any = ()) -> None:
        self.body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.status = status
        self.headers = httpx.Headers(headers)
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        return httpx.Response(self.status, headers=self.headers, content=self.body)

    @property
    def query(self) -> dict[str, str]:
        """The query of the last request."""
        return dict(self.seen[-1].url.params)

    @property
    def form(self) -> dict[str, str]:
        """The form of the last request."""
        return dict(httpx.QueryParams(self.seen[-1].content.decode()))

    def client(self, **options: Any) -> AsyncBotsClient:
        """A client of this server that tries once, unless told otherwise."""
        return connect(self, **options)


def connect(handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> AsyncBotsClient:
    """A client over a handler in this process."""
    options.setdefault("retry", ONCE)
    return AsyncBotsClient(KEY, transport=httpx.MockTransport(handler), **options)
