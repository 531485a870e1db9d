"""What every test stands on: both event loops, virtual clocks, and the guards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support import clocks, guards

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["pytester"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Both event loops: on a fresh virtual clock, or on the real one where so marked."""
    if request.node.get_closest_marker("real_clock"):
        return clocks.real_backend(request.param)
    return clocks.virtual_backend(request.param)


@pytest.fixture(scope="session", autouse=True)
def _network_guard() -> Iterator[guards.NetworkGuard]:
    with guards.guarded_sockets() as guard:
        yield guard


@pytest.fixture(scope="session", autouse=True)
def _blocking_guard() -> Iterator[None]:
    with guards.no_blocking_calls():
        yield


@pytest.fixture(autouse=True)
def _guards(_network_guard: guards.NetworkGuard) -> Iterator[None]:
    with _network_guard.watch(), guards.no_leaked_threads():
        yield
