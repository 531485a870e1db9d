"""What is wrong with a body, as paths.

Rule: one fault is one line, ``path: what``, in the names of the wire; it never quotes the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cattrs import ClassValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Malformed(Exception):
    """A body outside the contract; ``problems`` lists every fault with its path."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems


def faults_of(
    error: ClassValidationError | ValueError, path: str, wire_names: Mapping[str, str]
) -> list[str]:
    """List the faults of one row; ``wire_names`` leads from our field names to the wire's."""
    if not isinstance(error, ClassValidationError):
        return [f"{path}: {error}"]
    faults, _ = error.group_exceptions()
    return [
        f"{path}.{wire_names.get(where.name, where.name)}: {_describe(fault)}"
        for fault, where in faults
    ]


def _describe(fault: Exception) -> str:
    return "missing" if isinstance(fault, KeyError) else str(fault)
