"""The look at every row before anything is sent: what is bad, and how many segments an sms takes.

Rule: no I/O but the file's own; what is found is the same whether the run follows or not.
"""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from .._files import BadRow, Row, RowMaker
from .._models import SendChannel
from ._segments import Segments, measure
from ._tally import head

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._files import Record
    from ._results import ResultsWriter

WORST: Final = 5  # rows shown; the rest is in the results
SHOWN_BAD: Final = 10  # bad rows shown
_BATCH: Final = 256  # lines for one write


@define
class Check:
    """What a pass over a file found.

    ``worst`` holds the largest sms: segments, row (negative), line, encoding, units.
    """

    valid: int = 0
    bad: int = 0
    sms: int = 0
    segments: int = 0
    encodings: Counter[str] = field(factory=Counter[str])
    outside: Counter[str] = field(factory=Counter[str])
    channels: Counter[str] = field(factory=Counter[str])
    first_bad: list[BadRow] = field(factory=list[BadRow])
    worst: list[tuple[int, int, int, str, int]] = field(
        factory=list[tuple[int, int, int, str, int]]
    )

    @property
    def rows(self) -> int:
        """All rows of the file."""
        return self.valid + self.bad

    def add(self, row: Row | BadRow, *, measured: bool) -> dict[str, Any]:
        """Count a row and return its line of the results; ``measured`` counts segments as well."""
        if isinstance(row, BadRow):
            self.bad += 1
            if len(self.first_bad) < SHOWN_BAD:
                self.first_bad.append(row)
            return {**head(row), "verdict": "bad", "error": "BadRow", "help": row.problem}
        self.valid += 1
        self.channels[str(row.outgoing.channel)] += 1
        if not measured or row.outgoing.channel != SendChannel.SMS:
            return {**head(row), "verdict": "valid"}
        size = measure(row.outgoing.text)
        self._measure(row, size)
        return {
            **head(row),
            "verdict": "valid",
            "encoding": size.encoding,
            "segments": size.segments,
            "outside_gsm7": size.outside,
        }

    def _measure(self, row: Row, size: Segments) -> None:
        self.sms += 1
        self.segments += size.segments
        self.encodings[size.encoding] += 1
        self.outside.update(size.outside)
        # Of two with as many segments, the one that comes first in the file is shown.
        worst = (size.segments, -row.number, row.line, size.encoding, size.units)
        (heapq.heappush if len(self.worst) < WORST else heapq.heappushpop)(self.worst, worst)


def check(
    records: Iterable[Record], maker: RowMaker, results: ResultsWriter, *, measured: bool
) -> Check:
    """Look at every row; its lines go to the results, if there are any."""
    found = Check()
    batch: list[dict[str, Any]] = []
    for record in records:
        batch.append(found.add(maker.make(record), measured=measured))
        if len(batch) == _BATCH:
            results.write(batch)
            batch.clear()
    results.write(batch)
    return found
