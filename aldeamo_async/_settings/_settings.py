"""All that a client is told once.

Rule: every value is checked when it is built, so that a wrong one fails at start-up and not at
night.
"""

from __future__ import annotations

from attrs import field, frozen, validators

from ._dialect import Dialect
from ._secret import Secret, as_secret
from ._timeouts import Timeouts, as_timeouts, positive_seconds


def _deadline(value: float) -> float:
    return positive_seconds("deadline", value)


@frozen
class Settings:
    """All that a client needs to know before its first call; frozen, checked, safe to print.

    ``deadline`` is in seconds over a whole call with all its attempts.
    """

    api_key: Secret = field(converter=as_secret)
    dialect: Dialect = field(factory=Dialect, validator=validators.instance_of(Dialect))
    timeouts: Timeouts = field(default=None, converter=as_timeouts)
    deadline: float = field(default=60.0, converter=_deadline)
