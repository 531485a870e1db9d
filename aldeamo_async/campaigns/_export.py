"""The export of a campaign: one line for each input row, with what became of it.

Rule: the file appears when it is whole, and never in the place of the ledger.
"""

from __future__ import annotations

import csv
import json
import os
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from .._errors import CampaignError, UsageError
from .._files import Format, format_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ._ledger import Ledger
    from ._nouns import Line

COLUMNS: Final = (
    "source",
    "line",
    "client_ref",
    "channel",
    "client_id",
    "text",
    "state",
    "attempts",
    "message_id",
    "reason",
    "detail",
    "updated",
)
_LINES_AT_ONCE: Final = 5_000


async def export(ledger: Ledger, path: Path, form: Format | None) -> int:
    """Write every input row to a file; return how many there were."""
    form = form or format_of(path)
    if form is None:
        raise UsageError(f"{path} has no suffix that names a format; call it .csv or .jsonl.")
    if path.suffix in (".db", ".owner"):
        raise UsageError(f"{path} looks like a ledger; an export does not overwrite one.")
    part = path.with_name(f"{path.name}.part")
    try:
        number = await _write(ledger, part, form)
        await anyio.to_thread.run_sync(os.replace, part, path)
    except OSError as error:
        raise CampaignError(f"{path} cannot be written: {error.strerror}.") from None
    return number


async def _write(ledger: Ledger, part: Path, form: Format) -> int:
    file = await anyio.to_thread.run_sync(_opened, part, form)
    number = after = 0
    try:
        while lines := await ledger.lines(after, _LINES_AT_ONCE):
            await anyio.to_thread.run_sync(_write_lines, file, form, lines)
            number += len(lines)
            after = lines[-1].id
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(file.close)
    return number


def _opened(part: Path, form: Format) -> IO[str]:
    file = part.open("w", encoding="utf-8", newline="")
    if form == "csv":
        csv.writer(file).writerow(COLUMNS)
    return file


def _write_lines(file: IO[str], form: Format, lines: Sequence[Line]) -> None:
    rows = [_row(line) for line in lines]
    if form == "csv":
        csv.writer(file).writerows(row.values() for row in rows)
    else:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _row(line: Line) -> dict[str, Any]:
    updated = line.updated
    when = (
        None
        if updated is None
        else datetime.fromtimestamp(updated, UTC).isoformat(timespec="seconds")
    )
    values = {name: getattr(line, name) for name in COLUMNS}
    return {**values, "state": str(line.state), "updated": when}
