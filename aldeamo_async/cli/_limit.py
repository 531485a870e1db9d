"""How fast a command sends, and with whom it shares that.

Rule: without ``--rate`` nothing is held back before the API's first refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from .._errors import UsageError
from ..limits import SharedTokenBucket, TokenBucket

if TYPE_CHECKING:
    from ..limits import RateLimiter

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

STORE_VARIABLE: Final = "ALDEAMO_SHARED_LIMIT"

_ABOVE_ZERO: Final = click.FloatRange(min=0, min_open=True)
_OPTIONS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    (
        "--rate",
        {"type": _ABOVE_ZERO, "help": "Messages a second at most. Default: as fast as it goes."},
    ),
    (
        "--shared-limit",
        {
            "metavar": "URL",
            "envvar": STORE_VARIABLE,
            "help": "Share --rate with every process that names the same PostgreSQL, Valkey or "
            f"Redis. Default: {STORE_VARIABLE}, which keeps a password off the command line.",
        },
    ),
    (
        "--limit-name",
        {
            "default": "default",
            "show_default": True,
            "help": "Which limit of --shared-limit: one for each account.",
        },
    ),
)


def limit_options(command: CommandT) -> CommandT:
    """Add the options that say how fast to send."""
    for name, settings in reversed(_OPTIONS):
        command = click.option(name, **settings)(command)
    return command


def limiter_of(
    rate: float | None, shared_limit: str | None, limit_name: str, burst: float | None = None
) -> RateLimiter | None:
    """Return the limiter that the options describe, or ``None``."""
    if rate is None:
        if burst is not None:
            raise UsageError("--burst goes with --rate; without a rate nothing is held back.")
        if shared_limit:
            raise UsageError("--shared-limit goes with --rate: the rate of all processes together.")
        return None
    if shared_limit:
        return SharedTokenBucket(shared_limit, rate, burst, name=limit_name)
    return TokenBucket(rate, burst)
