"""Settling what is unknown: by one decision for all, or by looking each message up.

Rule: only what is unknown changes, and each decision is durable before the next is asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from .._errors import UsageError
from ._nouns import Line, Resolution
from ._report import ResolveReport

if TYPE_CHECKING:
    from ._ledger import Ledger

LookUp: TypeAlias = Callable[[Line], Resolution | str | Awaitable[Resolution | str]]

_AT_ONCE: Final = 500  # messages read at a time
_FIELDS: Final = {
    Resolution.HOLD: "held",
    Resolution.ASSUME_SENT: "assumed_sent",
    Resolution.RESEND: "resend",
}


async def resolve(ledger: Ledger, decision: Resolution | str | LookUp) -> ResolveReport:
    """Settle the unknown messages of a ledger."""
    decided = dict.fromkeys(Resolution, 0)
    if not callable(decision):
        resolution = _resolution(decision)
        decided[resolution] = await ledger.resolve(resolution)
        return _report(decided)
    after = 0
    while lines := await ledger.unknowns(after, _AT_ONCE):
        for line in lines:
            answer = decision(line)
            resolution = _resolution(await answer if inspect.isawaitable(answer) else answer)
            decided[resolution] += await ledger.resolve(resolution, [line.id])
        after = lines[-1].id
    return _report(decided)


def _report(decided: dict[Resolution, int]) -> ResolveReport:
    return ResolveReport(**{_FIELDS[resolution]: number for resolution, number in decided.items()})


def _resolution(decision: object) -> Resolution:
    try:
        return Resolution(str(decision))
    except ValueError:
        names = ", ".join(map(repr, map(str, Resolution)))
        raise UsageError(
            f"{decision!r} is no decision; it is one of {names}, or a function."
        ) from None
