"""What is said of a file that is wrong as a whole.

Rule: one bad line is no fault of its file; a fault is what keeps every further line from being
read.
"""

from __future__ import annotations

from attrs import define

from .._errors import UsageError


@define(slots=False, eq=False)
class FileFault(UsageError):
    """A file that cannot be used as it is; ``line`` counts from 1 where one line is at fault."""

    line: int | None = None

    def __str__(self) -> str:
        """Return the problem, with its line."""
        return self.problem if self.line is None else f"line {self.line}: {self.problem}"
