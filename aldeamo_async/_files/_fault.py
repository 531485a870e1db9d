"""What is said of a file that is wrong as a whole.

Rule: one bad line is no fault of its file; a fault is what keeps every further line from being
read.
"""

from __future__ import annotations


class FileFault(Exception):
    """A file that cannot be used as it is; ``line`` counts from 1 where one line is at fault."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem, line)
        self.problem = problem
        self.line = line

    def __str__(self) -> str:
        return self.problem if self.line is None else f"line {self.line}: {self.problem}"
