"""Taking a permit of any limiter, as the hot path does it.

Rule: a permit that is there costs no round of the event loop, and one whose taker was cancelled in
the meantime is given back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint_if_cancelled

if TYPE_CHECKING:
    from ._port import Permit, RateLimiter


async def take(limiter: RateLimiter, deadline: float) -> Permit:
    """Take one permit, waiting until ``deadline`` at most; raises as ``acquire`` does."""
    permit = limiter.try_acquire()
    if permit is None:
        return await limiter.acquire(deadline=deadline)
    await still_wanted(permit)
    return permit


async def still_wanted(permit: Permit) -> None:
    """Raise a pending cancellation, after giving the permit back."""
    try:
        await checkpoint_if_cancelled()
    except BaseException:
        permit.release()
        raise
