"""What the makers of clients are given: checked at once, and by its name.

Rule: nothing here does I/O or needs a running loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ._errors import UsageError
from ._observer import Observer
from .limits import RateLimiter, TokenBucket
from .limits._observed import ObservedLimiter

if TYPE_CHECKING:
    from ._retry import RetryPolicy

_NounT = TypeVar("_NounT")


def checked(name: str, value: object, kind: type[_NounT]) -> _NounT:
    """Refuse a setting of the wrong type."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise UsageError(f"{name} must be {article} {kind.__name__}, not {type(value).__name__}.")
    return value


def as_pace(limiter: Any, policy: RetryPolicy, observer: Observer | None) -> RateLimiter:
    """Take a limiter as given, and show it to an observer, if there is one.

    Without a limiter nothing is held up until the other side first refuses.
    """
    pace = _as_limiter(limiter, policy)
    return (
        pace if observer is None else ObservedLimiter(pace, checked("observer", observer, Observer))
    )


def _as_limiter(value: Any, policy: RetryPolicy) -> RateLimiter:
    if value is None:
        return TokenBucket(float("inf"), freeze_max=policy.retry_after_max)
    # A class has the methods of a limiter and is none.
    if isinstance(value, type) or not isinstance(value, RateLimiter):
        raise UsageError(f"limiter must be a RateLimiter such as TokenBucket(20), not {value!r}.")
    return value
