"""An async client for the Aldeamo BOTS API that never sends a message twice.

::

    async with AsyncBotsClient(api_key="...") as client:
        receipt = await client.send("sms", "573000000001", "Hola")

Importing the package loads nothing: a name loads what it stands for when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ._front import *
    from .campaigns import Campaign, LoadReport, RunReport, SendWindow

__version__ = "0.1.0"

__all__ = [
    "AldeamoError",
    "ApiError",
    "AsyncBotsClient",
    "Attempt",
    "AuthError",
    "Campaign",
    "CampaignError",
    "ClientStats",
    "DeadlineExceeded",
    "DeliveryUnknown",
    "Dialect",
    "Drift",
    "Evidence",
    "LimiterStats",
    "LoadReport",
    "Message",
    "NetworkError",
    "NoAnswer",
    "NotSent",
    "Outcome",
    "Outcomes",
    "Outgoing",
    "Permit",
    "Phase",
    "RateLimited",
    "RateLimiter",
    "ReadChannel",
    "Receipt",
    "Rejected",
    "RetryPolicy",
    "Rows",
    "RunReport",
    "Secret",
    "SendChannel",
    "SendWindow",
    "Sent",
    "Settings",
    "SharedTokenBucket",
    "Timeouts",
    "TokenBucket",
    "UnexpectedResponse",
    "Unknown",
    "UsageError",
    "User",
    "Watch",
    "WatchCursor",
]

_OF_CAMPAIGNS: Final = ("Campaign", "LoadReport", "RunReport", "SendWindow")
_DOORS: Final = ("campaigns", "limits", "transports")


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = import_module(".campaigns" if name in _OF_CAMPAIGNS else "._front", __name__)
        return globals().setdefault(name, getattr(home, name))
    if name in _DOORS:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_DOORS})
