"""Adapters of the transport port, and the port itself for those who write their own.

Rule: what a transport says about a request, it can prove.
"""

from .._settings import Timeouts
from .._wire import (
    Exchange,
    MaybeSent,
    OpenAnswer,
    StreamingTransport,
    Transport,
    Unsent,
    WireRequest,
    WireResponse,
)
from ._choose import as_transport
from ._httptools import HttptoolsTransport
from ._httpx import HttpxTransport
from ._lanes import LaneStats, LaneTransport
from ._pyreqwest import PyreqwestTransport
from ._scripted import ScriptedTransport
from ._security import UnverifiedServerWarning

__all__ = [
    "Exchange",
    "HttptoolsTransport",
    "HttpxTransport",
    "LaneStats",
    "LaneTransport",
    "MaybeSent",
    "OpenAnswer",
    "PyreqwestTransport",
    "ScriptedTransport",
    "StreamingTransport",
    "Timeouts",
    "Transport",
    "Unsent",
    "UnverifiedServerWarning",
    "WireRequest",
    "WireResponse",
    "as_transport",
]
