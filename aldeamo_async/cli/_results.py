"""The results: one line for every row of the input, written as it becomes known.

Rule 1: lines are written whole and in batches, and handed to the system at once: a crash leaves a
valid prefix.
Rule 2: a file that exists is never overwritten unless told so.
Rule 3: when the disk gives up, the lines go to stderr: what is known of a message is never dropped.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .._files import FileFault

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

COLUMNS: Final = (
    "row",
    "line",
    "channel",
    "client_id",
    "client_ref",
    "verdict",
    "message_id",
    "error",
    "help",
    "attempts",
    "encoding",
    "segments",
    "outside_gsm7",
)
STDOUT: Final = Path("-")


class ResultsWriter:
    """Writes results as JSON lines or CSV. ``fault`` says why lines could not be written."""

    def __init__(
        self,
        put: Callable[[str], object],
        *,
        as_csv: bool = False,
        discard: Callable[[], object] = lambda: None,
    ) -> None:
        self._put = put
        self.discard = discard  # takes the file away again, for a run that never began
        self._as_csv = as_csv
        self.fault: str | None = None
        if as_csv:
            self._write(_csv_line(COLUMNS))

    def write(self, results: list[dict[str, Any]]) -> None:
        """Write a batch of results; blocks on the disk."""
        self._write("".join(map(self._line, results)))

    def _line(self, result: dict[str, Any]) -> str:
        if self._as_csv:
            return _csv_line(tuple(_cell(result.get(name)) for name in COLUMNS))
        return json.dumps(result, ensure_ascii=False) + "\n"

    def _write(self, lines: str) -> None:
        if self.fault is None:
            try:
                self._put(lines)
            except OSError as error:
                self.fault = f"the results cannot be written ({error.strerror})"
            else:
                return
        sys.stderr.write(lines)


def _csv_line(cells: tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _cell(value: object) -> str:
    # One line of the file for each row, whatever a server or a reference says.
    return "" if value is None else " ".join(str(value).split())


@contextmanager
def results_to(path: Path | None, *, force: bool) -> Generator[ResultsWriter, None, None]:
    """Open the results file; ``-`` is stdout, ``None`` writes no results."""
    if path is None:
        yield ResultsWriter(len)
        return
    if path == STDOUT:
        yield ResultsWriter(partial(click.echo, nl=False))
        return
    try:
        # Unbuffered: what was written survives this process, and a failed write is not tried again
        # on closing.
        raw = path.open("wb" if force else "xb", buffering=0)
    except FileExistsError:
        raise FileFault(
            f"{path} exists and may hold the results of another run; name another file with "
            f"--results, "
            "or overwrite it with --force."
        ) from None
    except OSError as error:
        raise FileFault(f"{path} cannot be written: {error.strerror}.") from None
    with raw:
        yield ResultsWriter(
            partial(_put_whole, raw), as_csv=path.suffix.lower() == ".csv", discard=path.unlink
        )


def _put_whole(raw: io.FileIO, lines: str) -> None:
    rest = memoryview(lines.encode())
    while rest:
        rest = rest[raw.write(rest) :]
