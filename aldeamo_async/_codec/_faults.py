"""What is wrong with a body, as paths.

Rule: one fault is one line, ``path: what``; it never quotes the value.
"""

from __future__ import annotations

from cattrs import BaseValidationError, transform_error


class Malformed(Exception):
    """A body outside the contract; ``problems`` lists every fault with its path."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems


def faults_of(error: BaseValidationError | ValueError, path: str) -> list[str]:
    """List the faults of one row, each behind its path."""
    if not isinstance(error, BaseValidationError):
        return [f"{path}: {error}"]
    lines = transform_error(error, path, _describe)
    return [f"{where}: {what}" for what, _, where in (line.rpartition(" @ ") for line in lines)]


def _describe(error: BaseException, _: type | None) -> str:
    return "missing" if isinstance(error, KeyError) else str(error)
