"""How long each phase of one attempt may take.

Rule: a time is a number of seconds above zero, and is checked when it is given.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, runtime_checkable

from attrs import frozen

from .._errors import UsageError

_set: Final = object.__setattr__  # a frozen class has none of its own


@runtime_checkable
class HttpxTimeout(Protocol):
    """What is read of an ``httpx.Timeout``: seconds for each phase, or ``None`` for no limit.

    Its ``pool`` is not read: the wait for a free connection is bounded by the call's deadline.
    """

    connect: float | None
    read: float | None
    write: float | None


@frozen
class Timeouts:
    """Seconds for each phase of one attempt; ``None`` is no limit of its own.

    ``total`` is what is left of the call's deadline; a transport honours it over all phases
    together.
    """

    connect: float | None = 5.0  # a handshake that takes longer is a network that is down
    read: float | None = 30.0  # a gateway in front of a slow channel takes its time
    write: float | None = 10.0
    total: float | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("connect", "read", "write"):
            value = getattr(self, name)
            if value is not None:
                positive_seconds(f"timeout.{name}", value)

    def within(self, remaining: float) -> Timeouts:
        """Return these time-outs with ``remaining`` seconds as the bound over all."""
        # Past the checks of the constructor: they would be a twelfth of what a message costs here.
        bounded = object.__new__(Timeouts)
        _set(bounded, "connect", self.connect)
        _set(bounded, "read", self.read)
        _set(bounded, "write", self.write)
        _set(bounded, "total", remaining)
        return bounded


def as_timeouts(value: float | HttpxTimeout | Timeouts | None) -> Timeouts:
    """Take seconds for each phase, an ``httpx.Timeout``, ``Timeouts``; ``None`` is the defaults."""
    if value is None:
        return Timeouts()
    if isinstance(value, Timeouts):
        return value
    if isinstance(value, HttpxTimeout):
        return Timeouts(connect=value.connect, read=value.read, write=value.write)
    return Timeouts(connect=value, read=value, write=value)


def positive_seconds(name: str, value: Any) -> float:
    """Check that a setting is a time in seconds above zero; ``inf`` is allowed."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise UsageError(f"{name} must be a number of seconds above 0, not {value!r}.")
    return float(value)
