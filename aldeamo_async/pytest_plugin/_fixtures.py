"""What the fixtures make: a sandbox with its faults, a client of it, a server for it.

Rule: nothing here is bound to an event loop, so that one fixture serves pytest-asyncio, anyio and
trio; a client is closed without a loop, which is right for the sandbox alone, as it has no sockets.
"""

from __future__ import annotations

import difflib
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from anyio.from_thread import start_blocking_portal

from .._client import AsyncBotsClient, abandon
from .._errors import UsageError
from .._retry import RetryPolicy
from ..limits import TokenBucket
from ..sandbox import Fault, Sandbox, SandboxTransport, Weather

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    import pytest

# A name that no resolver knows (RFC 6761): without the sandbox nothing could be sent.
_BASE_URL: Final = "https://sandbox.invalid/bots"
_KEY: Final = "test-key"
_TIMEOUT: Final = 1.0  # seconds; only a fault that hangs ever takes it


def key_of(options: Mapping[str, Any]) -> str:
    """Return the key that a sandbox of these options asks for."""
    return str(options.get("api_key", _KEY))


def make_sandbox(marker: pytest.Mark | None, options: Mapping[str, Any]) -> Sandbox:
    """Return a sandbox of these options, in the weather of the marker if there is one."""
    chosen: dict[str, Any] = {"api_key": _KEY, **options}
    if marker is not None:
        chosen["weather"] = _weather_of(marker)
    return Sandbox(**chosen)


def _weather_of(marker: pytest.Mark) -> Weather:
    faults = [fault_of(value) for value in marker.args]
    if not faults:
        raise UsageError("@pytest.mark.aldeamo_faults needs at least one fault.")
    try:
        return Weather.sequence(faults, **marker.kwargs)
    except TypeError:
        raise UsageError(
            "@pytest.mark.aldeamo_faults takes faults, and the options repeat= and only=; not "
            f"{', '.join(f'{name}=' for name in marker.kwargs)}."
        ) from None


def fault_of(value: object) -> Fault | None:
    """Return the fault that a marker names: a `Fault`, the name of one, or None for a calm moment.

    Raises:
        UsageError: it is none of these.
    """
    if value is None or isinstance(value, Fault):
        return value
    ready = {fault.name: fault for fault in Fault.every()}
    if isinstance(value, str) and value in ready:
        return ready[value]
    if isinstance(value, list):
        raise UsageError(
            "@pytest.mark.aldeamo_faults takes its faults one after the other, not in a list: "
            f"aldeamo_faults(*{value!r})."
        )
    near = difflib.get_close_matches(str(value).upper(), ready, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(
        f"@pytest.mark.aldeamo_faults takes faults or their names, and {value!r} is none.{hint} "
        "Fault.every() lists them."
    )


@contextmanager
def client_of(sandbox: Sandbox, key: str, options: Mapping[str, Any]) -> Generator[AsyncBotsClient]:
    """Give a client of a sandbox in process, patient enough for a test and no more."""
    defaults: dict[str, Any] = {
        "api_key": key,
        "base_url": _BASE_URL if "dialect" not in options else None,
        "limiter": TokenBucket(math.inf, adaptive=False),
        "retry": RetryPolicy(wait=_at_once),
        "timeout": _TIMEOUT,
        "transport": SandboxTransport(sandbox),
    }
    client = AsyncBotsClient(**defaults | dict(options))
    try:
        yield client
    finally:
        abandon(client)


def _at_once(_: object) -> float:
    return 0.0


@contextmanager
def served(sandbox: Sandbox) -> Generator[str]:
    """Serve a sandbox on a loopback socket, from threads of its own, and give its base URL."""
    from ..sandbox import serve  # here, for it needs the extra `sandbox`

    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(sandbox)) as url,
    ):
        yield url
