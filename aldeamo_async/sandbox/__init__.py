"""A double of the Aldeamo BOTS API, to try and test a client without a key or a phone.

Law: it imports nothing of the rest of the package, so that what it says about the client is
evidence. Two doors: `SandboxTransport` in process, and `serve` on a loopback socket (the extra
`sandbox`: `pip install 'aldeamo-async[sandbox]'`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._deliveries import Delivery
from ._faults import Fault, Moment
from ._sandbox import Sandbox
from ._transport import SandboxTransport
from ._weather import Weather

if TYPE_CHECKING:
    from ._server import serve, serve_forever

__all__ = [
    "Delivery",
    "Fault",
    "Moment",
    "Sandbox",
    "SandboxTransport",
    "Weather",
    "serve",
    "serve_forever",
]


def __getattr__(name: str) -> Any:
    """Load the socket door on first use, as it needs the extra `sandbox`."""
    if name not in ("serve", "serve_forever"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from . import _server
    except ModuleNotFoundError as missing:
        raise ImportError(
            f"`{name}` needs {missing.name}, which is not installed. "
            "Install it with: pip install 'aldeamo-async[sandbox]'"
        ) from missing
    return getattr(_server, name)
