"""What every test stands on: both event loops, virtual clocks, the guards, a clean environment."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from support import clocks, guards
from support.backends import on_trio
from support.matrix import MATRICES
from support.tracing import untraced

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

pytest_plugins = ["pytester", "support.postgres", "support.valkey"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Both event loops: on a fresh virtual clock, or on the real one where so marked."""
    if request.node.get_closest_marker("real_clock"):
        return clocks.real_backend(request.param)
    return clocks.virtual_backend(request.param)


# What a machine may be set to, and a test must not depend on.
_SURROUNDINGS = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "ALDEAMO_API_KEY", "ALDEAMO_BASE_URL"),
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out on trio what is for asyncio alone."""
    left_out = [i for i in items if i.get_closest_marker("asyncio_only") and on_trio(i)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Trace only what adds to the coverage."""
    if on_trio(item) and not item.get_closest_marker("traced"):
        with untraced():
            return (yield)
    return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what a worker of pytest-xdist collected to the process that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["matrices"] = [matrix.cells for matrix in MATRICES]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in what a worker collected; one that crashed has nothing."""
    for matrix, cells in zip(MATRICES, node.workeroutput.get("matrices", ()), strict=False):
        matrix.add(cells)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the transports and the client made of each fault."""
    for line in (line for matrix in MATRICES for line in matrix.lines()):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the environment of the machine that runs the tests out of them."""
    for name in _SURROUNDINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C mean Ctrl-C, also where the suite runs in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
