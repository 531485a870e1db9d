"""What the front door offers, but for campaigns: loaded with the first name that is asked for."""

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
from ._reading import Rows
from ._retry import RetryPolicy
from ._settings import Dialect, Secret, Settings, Timeouts
from ._settle import settle
from ._stats import ClientStats
from ._watch import Watch, WatchCursor
from .limits import LimiterStats, Permit, RateLimiter, SharedTokenBucket, TokenBucket

__all__ = [
    "AldeamoError",
    "ApiError",
    "AsyncBotsClient",
    "Attempt",
    "AuthError",
    "CampaignError",
    "ClientStats",
    "DeadlineExceeded",
    "DeliveryUnknown",
    "Dialect",
    "Drift",
    "Evidence",
    "LimiterStats",
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
    "Secret",
    "SendChannel",
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

settle(*map(globals().get, __all__))
