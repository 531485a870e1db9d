"""An async client for the Aldeamo BOTS API that never sends a message twice.

async with AsyncBotsClient(api_key="...") as client:
    receipt = await client.send("sms", "573000000001", "Hola")
"""

from inspect import get_annotations, isclass
from typing import get_type_hints

from ._bulk import Outcomes
from ._client import AsyncBotsClient
from ._drift import Drift
from ._errors import (
    AldeamoError,
    ApiError,
    AuthError,
    CampaignError,
    DeadlineExceeded,
    DeliveryUnknown,
    NetworkError,
    NoAnswer,
    NotSent,
    RateLimited,
    UnexpectedResponse,
    UsageError,
)
from ._evidence import Attempt, Evidence, Phase
from ._models import (
    Message,
    Outcome,
    Outgoing,
    ReadChannel,
    Receipt,
    Rejected,
    SendChannel,
    Sent,
    Unknown,
    User,
)
from ._retry import RetryPolicy
from ._settings import Dialect, Secret, Settings, Timeouts
from ._stats import ClientStats
from ._watch import Watch, WatchCursor
from .campaigns import Campaign, LoadReport, RunReport, SendWindow
from .limits import LimiterStats, Permit, RateLimiter, TokenBucket

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
    "RunReport",
    "Secret",
    "SendChannel",
    "SendWindow",
    "Sent",
    "Settings",
    "Timeouts",
    "TokenBucket",
    "UnexpectedResponse",
    "Unknown",
    "UsageError",
    "User",
    "Watch",
    "WatchCursor",
]


def _settle() -> None:
    """Let public classes show where users find them, in tracebacks and reprs.

    Their annotations are resolved first: they are text, and name what only their own module knows.
    """
    for public in filter(isclass, map(globals().get, __all__)):
        own = get_annotations(public)
        hints = get_type_hints(public, include_extras=True) if own else {}
        for name in own:
            public.__annotations__[name] = hints[name]
        public.__module__ = __name__


_settle()
