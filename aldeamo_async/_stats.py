"""A look at a client: numbers for health checks and progress bars.

Rule: a look is cheap, changes nothing, and gives plain values that pickle.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from attrs import frozen

from .limits import LimiterStats
from .transports import LaneStats, LaneTransport, PyreqwestTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._call import Engine


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
    tally, carrier = engine.tally, engine.transport
    return ClientStats(
        in_flight=tally.in_flight,
        sent=tally.sent,
        rejected=tally.rejected,
        unknown=tally.unknown,
        reads=tally.reads,
        retries=tally.retries,
        cancelled=tally.cancelled,
        budget_left=engine.budget.left,
        limiter=engine.limiter.snapshot(),
        lanes=carrier.stats() if isinstance(carrier, LaneTransport | PyreqwestTransport) else None,
    )


def look_at(engine: Engine) -> Callable[[], ClientStats | None]:
    """Return a look that does not keep the engine alive, and is ``None`` once it is gone."""
    weak = weakref.ref(engine)

    def look() -> ClientStats | None:
        living = weak()
        return None if living is None else stats_of(living)

    return look
