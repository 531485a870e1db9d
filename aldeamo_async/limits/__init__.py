"""Rate limits: the port that the client talks to, and the bucket of one process.

Rule 1: whoever sends takes a permit first; a permit that never went on the wire is given back.
Rule 2: nothing here knows of HTTP; a refusal comes in as plain seconds.
"""

from ._port import LimiterStats, Permit, RateLimiter
from ._token_bucket import TokenBucket

__all__ = ["LimiterStats", "Permit", "RateLimiter", "TokenBucket"]
