"""The matrix that the socket suites print: fault x carrier x event loop -> what was said."""

from __future__ import annotations


class Matrix:
    """Collects cells while tests run, and lays them out as lines in the end."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._cells: dict[str, dict[str, str]] = {}

    def put(self, fault: str, column: str, cell: str) -> None:
        self._cells.setdefault(fault, {})[column] = cell

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
        return ["", f"{self.title} (evidence, phase, deliveries counted by the server)", *table]


MATRIX = Matrix("Transports over real sockets")
