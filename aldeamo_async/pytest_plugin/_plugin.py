"""What pytest loads when it starts, wherever aldeamo-async is installed: the names of the fixtures.

Rule 1: it imports pytest and the standard library alone until a test asks for a fixture. Suites
that never use this library pay nothing, and a conftest.py that must come first (it patches sockets,
puts httpx2 in place of httpx) does come first. What the fixtures do is said in this room's door.
Rule 2: no fixture is async, so that they serve every plugin that runs async tests.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from ._network import guarded_sockets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .._client import AsyncBotsClient
    from ..sandbox import Sandbox
    from ._network import NetworkGuard

MARKER = (
    "aldeamo_faults(*faults, repeat=False, only=None): what goes wrong in the test's sandbox, one "
    "`Fault`, its name, or None (nothing) for each request in turn; `only` 'sends' or 'reads'."
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", MARKER)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a fault script that no sandbox would play: such a test would prove nothing."""
    marked = any(mark.name == "aldeamo_faults" for mark in item.own_markers)
    if marked and "aldeamo_sandbox" not in getattr(item, "fixturenames", ()):
        pytest.fail(
            "@pytest.mark.aldeamo_faults has no effect here: the test uses none of the fixtures "
            "aldeamo_sandbox, aldeamo_client, aldeamo_server and aldeamo_env.",
            pytrace=False,
        )


@pytest.fixture
def aldeamo_sandbox_options() -> dict[str, Any]:
    """Options of the test's `Sandbox`, such as `{"rate": 50}`; override it to give some."""
    return {}


@pytest.fixture
def aldeamo_sandbox(
    request: pytest.FixtureRequest, aldeamo_sandbox_options: dict[str, Any]
) -> Sandbox:
    """A fresh double of the API; its delivery log is the judge of the test."""
    from . import _fixtures

    marker = request.node.get_closest_marker("aldeamo_faults")
    return _fixtures.make_sandbox(marker, aldeamo_sandbox_options)


@pytest.fixture
def aldeamo_client_options() -> dict[str, Any]:
    """Options of the test's `AsyncBotsClient`, such as `{"deadline": 5}`; override it to give some.

    Without any, the client waits between attempts only as long as the API asks for, does not slow
    down afterwards, and waits a second for an answer; all else is as in production.
    """
    return {}


@pytest.fixture
def aldeamo_client(
    aldeamo_sandbox: Sandbox,
    aldeamo_sandbox_options: dict[str, Any],
    aldeamo_client_options: dict[str, Any],
) -> Iterator[AsyncBotsClient]:
    """A client of the test's sandbox, in process; it belongs to the event loop that first uses it.

    Nobody needs to close it: there is no socket behind it.
    """
    from . import _fixtures

    key = _fixtures.key_of(aldeamo_sandbox_options)
    with _fixtures.client_of(aldeamo_sandbox, key, aldeamo_client_options) as client:
        yield client


@pytest.fixture
def aldeamo_server(aldeamo_sandbox: Sandbox) -> Iterator[str]:
    """The base URL of the test's sandbox on a loopback socket: for apps that make their own client.

    It has a thread of its own. Needs the extra `sandbox`.
    """
    from . import _fixtures

    with _fixtures.served(aldeamo_sandbox) as url:
        yield url


@pytest.fixture
def aldeamo_env(
    aldeamo_server: str,
    aldeamo_sandbox_options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """`aldeamo_server`, with `ALDEAMO_BASE_URL` and `ALDEAMO_API_KEY` set to match."""
    from . import _fixtures

    monkeypatch.setenv("ALDEAMO_BASE_URL", aldeamo_server)
    monkeypatch.setenv("ALDEAMO_API_KEY", _fixtures.key_of(aldeamo_sandbox_options))
    return aldeamo_server


@pytest.fixture
def assert_no_duplicates(aldeamo_sandbox: Sandbox) -> Callable[[], None]:
    """Call it to assert that the test's sandbox delivered nothing twice."""
    from ._duplicates import assert_no_duplicates

    return partial(assert_no_duplicates, aldeamo_sandbox)


@pytest.fixture
def aldeamo_no_network() -> Iterator[NetworkGuard]:
    """Refuse every address but loopback, and fail the test that tried one, even if it hid it."""
    with guarded_sockets() as guard, guard.watch():
        yield guard
