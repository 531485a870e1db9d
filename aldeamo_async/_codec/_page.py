"""A list on its way from rows to nouns.

Rule: it works in place and in stretches: a row that was read is let go of, so that a long list is
never held twice, and between two stretches the caller may let others run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from ._faults import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

RowT = TypeVar("RowT")

# A page of 100,000 bad rows is one fault, repeated; an error must still fit into a log.
FAULTS_MAX: Final = 100


class Page(Generic[RowT]):
    """The rows of one list, of which each gives way to its noun. It uses the list up."""

    def __init__(self, rows: list[Any], read: Callable[[Any, int], RowT]) -> None:
        self._rows = rows
        self._read = read
        self._done = 0
        self._problems: list[str] = []

    def advance(self, count: int) -> bool:
        """Read as many more rows; tell whether any are left."""
        rows, read = self._rows, self._read
        until = min(self._done + count, len(rows))
        for number in range(self._done, until):
            try:
                rows[number] = read(rows[number], number)
            except Malformed as fault:
                self._problems += fault.problems
        self._done = until
        return until < len(rows)

    def nouns(self) -> list[RowT]:
        """Return what was read, or raise ``Malformed`` with the first hundred of all faults."""
        problems = self._problems
        if len(problems) > FAULTS_MAX:
            problems[FAULTS_MAX:] = [f"data: {len(problems) - FAULTS_MAX} more faults"]
        if problems:
            raise Malformed(*problems)
        return cast("list[RowT]", self._rows)
