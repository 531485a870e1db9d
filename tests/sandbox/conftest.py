"""Both doors of the sandbox, behind one client: what holds for one must hold for the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aldeamo_async.sandbox import Sandbox, SandboxTransport, serve
from support.visitors import FRESH, TLS, Visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """A sandbox with the options that the test gives it as an indirect parameter."""
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
            transport=httpx.AsyncHTTPTransport(verify=TLS, limits=FRESH),
            base_url=url,
            timeout=timeout,
        ) as client,
    ):
        yield Visitor(sandbox, client, "socket")
