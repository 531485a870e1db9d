"""Rate limits: the port that the client talks to, the bucket of one process, and one for many.

Rule 1: whoever sends takes a permit first; a permit that never went on the wire is given back.
Rule 2: nothing here knows of HTTP; a refusal comes in as plain seconds.
"""

from ._account import Lease, LeaseRequest
from ._port import LimiterStats, Permit, RateLimiter
from ._shared import SharedLimiterStats, SharedTokenBucket
from ._store import LimitStore, MemoryStore
from ._token_bucket import TokenBucket

__all__ = [
    "Lease",
    "LeaseRequest",
    "LimitStore",
    "LimiterStats",
    "MemoryStore",
    "Permit",
    "RateLimiter",
    "SharedLimiterStats",
    "SharedTokenBucket",
    "TokenBucket",
]
