"""The matrices that the socket suites print: fault x column -> what was said.

Rule: a suite makes its own at import; what was collected is printed when the tests have ended.
"""

from __future__ import annotations

MATRICES: list[Matrix] = []


class Matrix:
    """Collects cells while tests run, and lays them out as lines in the end."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._cells: dict[str, dict[str, str]] = {}
        MATRICES.append(self)

    def put(self, fault: str, column: str, cell: str) -> None:
        self._cells.setdefault(fault, {})[column] = cell

    @property
    def cells(self) -> dict[str, dict[str, str]]:
        """What was collected: fault -> column -> cell."""
        return self._cells

    def add(self, cells: dict[str, dict[str, str]]) -> None:
        """Take in what another process collected."""
        for fault, row in cells.items():
            self._cells.setdefault(fault, {}).update(row)

    def lines(self) -> list[str]:
        """The table as text; nothing where nothing was collected."""
        columns = sorted({column for row in self._cells.values() for column in row})
        if not columns:
            return []
        rows = [
            ["fault", *columns],
            *([name, *(row.get(c, "") for c in columns)] for name, row in self._cells.items()),
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        table = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
        return ["", self._title, *table]


CARRIED = Matrix("Transports over real sockets (evidence, phase, deliveries counted)")
VERDICTS = Matrix("The client over real sockets (outcome, attempts, deliveries counted)")
