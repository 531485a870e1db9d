"""One file through its two passes: the check of every row, then the run.

Rule 1: nothing is sent before the results are open, for a verdict that is not written down is lost.
Rule 2: every row of a file gets its line, also those that an interrupted run did not come to.
"""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Final

from attrs import frozen

from .._errors import UsageError
from .._files import BadRow, FileFault, Format, Record, Row, RowMaker, opened, records
from ._bulk_run import BulkRun
from ._check import Check, check
from ._exit import Exit
from ._feeder import Feeder
from ._interrupt import Interrupts
from ._report import RunReport
from ._results import ResultsWriter, results_to
from ._screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from .._client import AsyncBotsClient
    from ._tally import Tally

STDIN: Final = Path("-")
_BATCH: Final = 256  # lines for one write
_THREAD_SECONDS: Final = 1.0  # for the thread that reads to notice that nobody listens any more


@frozen
class Job:
    """What to send, and where its verdicts go."""

    file: Path
    form: Format | None
    maker: RowMaker
    results: Path | None
    force: bool

    @property
    def rereadable(self) -> bool:
        """Whether the rows can be read more than once."""
        return self.file != STDIN

    def results_path(self) -> Path:
        """Return where the verdicts of a run go."""
        if self.results is None:
            if not self.rereadable:
                raise UsageError(
                    "Rows from stdin have no name to derive one from; name the results file "
                    "with --results."
                )
            return self.file.with_name(f"{self.file.name}.results.jsonl")
        if self.rereadable and self.results.exists() and self.results.samefile(self.file):
            raise UsageError("--results names the input file itself; name another.")
        return self.results

    @contextmanager
    def records(self) -> Generator[Iterator[Record], None, None]:
        """Open the rows of the file, or of stdin."""
        if self.rereadable:
            with opened(self.file, self.form) as found:
                yield found
        else:
            yield records(_stdin(), self.form)

    def check(self, results: ResultsWriter, *, measured: bool) -> Check:
        """Look at every row; ``measured`` counts the segments of each sms as well."""
        with self.records() as found:
            return check(found, self.maker, results, measured=measured)


def _stdin() -> IO[bytes]:
    """Open stdin as bytes, apart from ``sys.stdin`` and without a buffer.

    A thread may be stuck in a read when the program ends, and whoever closes a buffer waits for
    its readers.
    """
    try:
        return io.FileIO(sys.stdin.fileno(), closefd=False)
    except io.UnsupportedOperation:  # not a file: a stand-in that another program put there
        return sys.stdin.buffer


def send_file(
    job: Job,
    client: AsyncBotsClient,
    run: Callable[[Callable[[], Any]], Any],
    *,
    total: int | None,
    concurrency: int,
    ordered: bool,
) -> RunReport:
    """Send every row and write down what became of each; ``run`` runs an async function."""
    path = job.results_path()
    with (
        results_to(path, force=job.force) as results,
        job.records() as found,
        Interrupts() as interrupts,
        Screen(total) as screen,
    ):
        feeder = Feeder(job.maker.make(record) for record in found)
        bulk = BulkRun(client, feeder, results, interrupts, screen, concurrency, ordered)
        begun = monotonic()

        async def work() -> None:
            async with client:
                await bulk.run()

        try:
            run(work)
        finally:
            feeder.join(_THREAD_SECONDS)  # before the file is closed under it
        seconds = monotonic() - begun
        _fault_as_row(feeder, bulk, results)
        fault = None
        if job.rereadable and bulk.stopped:
            try:
                _write_the_rest(job, bulk, results)
            except FileFault as found_out:
                fault = str(found_out)
        screen.show(bulk.tally)
    cut = bulk.tally.problems["Interrupted"]
    rest = (total or 0) - bulk.tally.rows + bulk.tally.not_started
    interrupted = interrupts.count and (cut or rest or total is None)
    code = Exit.INTERRUPTED if interrupted else bulk.tally.exit_code()
    return RunReport(
        tally=bulk.tally,
        seconds=seconds,
        results=path,
        total=total,
        stopped=bulk.stopped,
        fault=results.fault or fault,
        code=Exit.FAULT if results.fault else code,
    )


def _fault_as_row(feeder: Feeder[Row | BadRow], bulk: BulkRun, results: ResultsWriter) -> None:
    """Count what ended the input as one bad row; refuse the file if it began with that."""
    fault = feeder.fault
    if fault is None:
        return
    if not bulk.last:
        results.discard()
        raise fault
    row = BadRow(bulk.last + 1, fault.line or 0, f"the input ends here: {fault.problem}")
    results.write([bulk.tally.bad_row(row)])


def _write_the_rest(job: Job, bulk: BulkRun, results: ResultsWriter) -> None:
    """Write a line for every row that the run did not come to."""
    with job.records() as found:
        rest = (job.maker.make(record) for record in found if record.number > bulk.last)
        while batch := [_rest_line(row, bulk.tally) for row in islice(rest, _BATCH)]:
            results.write(batch)


def _rest_line(row: Row | BadRow, tally: Tally) -> dict[str, Any]:
    return tally.bad_row(row) if isinstance(row, BadRow) else tally.never_started(row)
