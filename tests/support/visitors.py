"""A plain httpx client in front of a sandbox: the witness has a witness of its own."""

from __future__ import annotations

import ssl

import httpx
from attrs import frozen

from aldeamo_async.sandbox import Sandbox

# A connection for each request, as in process: what one fault does to it cannot touch the next.
FRESH = httpx.Limits(max_keepalive_connections=0)
# One context for all clients: making one takes 30 ms.
TLS = ssl.create_default_context()


@frozen
class Visitor:
    """A plain httpx client in front of a sandbox, and the sandbox as the judge."""

    sandbox: Sandbox
    client: httpx.AsyncClient
    door: str

    async def send(self, text: str = "Hola", **more: str) -> httpx.Response:
        form = {"auth": "test-key", "channel": "sms", "client_id": "573000000001", "msg": text}
        return await self.client.post("/messages", data=form | more)

    async def read(self, call: str, **arguments: str) -> httpx.Response:
        return await self.client.get(f"/{call}", params={"auth": "test-key"} | arguments)

    def delivered(self) -> list[str]:
        return [delivery.text for delivery in self.sandbox.deliveries]
