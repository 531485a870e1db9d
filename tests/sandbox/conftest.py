"""Both doors of the sandbox, behind one client: what holds for one must hold for the other."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aldeamo_async.sandbox import Sandbox, SandboxTransport, serve
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """A sandbox with the options of the test's `sandbox_options` marker-like parameter."""
    options: dict[str, Any] = getattr(request, "param", {})
    return Sandbox(**options)


@pytest.fixture(params=["process", "socket"])
async def visitor(
    request: pytest.FixtureRequest, anyio_backend: Any, sandbox: Sandbox
) -> AsyncIterator[Visitor]:
    """A visitor at each door, on each event loop."""
    # Short enough for tests on real clocks, long enough for a busy machine.
    timeout = httpx.Timeout(5, read=0.5)
    if request.param == "process":
        base, inner = "http://sandbox.invalid/bots", SandboxTransport(sandbox)
        async with httpx.AsyncClient(transport=inner, base_url=base, timeout=timeout) as client:
            yield Visitor(sandbox, client, "process")
        return
    async with (
        serve(sandbox) as url,
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(verify=TLS), base_url=url, timeout=timeout
        ) as client,
    ):
        yield Visitor(sandbox, client, "socket")
