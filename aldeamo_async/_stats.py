"""A look at a client: numbers for health checks and progress bars.

Rule: a look is cheap, changes nothing, and gives plain values that pickle.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from .limits import LimiterStats
from .transports import HttptoolsTransport, LaneStats, LaneTransport, PyreqwestTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._call import Engine, Tally
    from ._retry import RetryBudget
    from .limits import RateLimiter

_COUNTING = (LaneTransport, HttptoolsTransport, PyreqwestTransport)
_SharedT = TypeVar("_SharedT")


@frozen
class ClientStats:
    """A client at one moment, over all its views; plain numbers that pickle, for health checks.

    The counts are of calls since the start (``retries``: of further attempts); ``cancelled`` calls
    ended without an outcome. ``budget_left`` is in tokens of the retry budget. ``lanes`` is
    ``None`` for a transport of your own.
    """

    in_flight: int
    sent: int
    rejected: int
    unknown: int
    reads: int
    retries: int
    cancelled: int
    budget_left: float
    limiter: LimiterStats
    lanes: LaneStats | None


def stats_of(engine: Engine) -> ClientStats:
    """Return the present numbers of all that share an engine."""
    carrier = engine.transport
    lanes = carrier.stats() if isinstance(carrier, _COUNTING) else None
    return counted(engine.tally, engine.budget, engine.limiter, lanes)


def counted(
    tally: Tally, budget: RetryBudget, limiter: RateLimiter, lanes: LaneStats | None
) -> ClientStats:
    """Return the present numbers of what the calls of a client share."""
    return ClientStats(
        in_flight=tally.in_flight,
        sent=tally.sent,
        rejected=tally.rejected,
        unknown=tally.unknown,
        reads=tally.reads,
        retries=tally.retries,
        cancelled=tally.cancelled,
        budget_left=budget.left,
        limiter=limiter.snapshot(),
        lanes=lanes,
    )


def look_at(
    shared: _SharedT, stats: Callable[[_SharedT], ClientStats]
) -> Callable[[], ClientStats | None]:
    """Return a look that does not keep alive what it looks at: ``None`` once that is gone."""
    weak = weakref.ref(shared)

    def look() -> ClientStats | None:
        living = weak()
        return None if living is None else stats(living)

    return look
