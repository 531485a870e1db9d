"""Rows out of a file or a pipe: CSV or JSON lines, one at a time, with their line numbers.

Rule 1: never more than one row in memory; a file of any length takes the same room.
Rule 2: one bad line is a record with a problem; a file that is wrong as a whole is a `FileFault`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import closing, contextmanager, suppress
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from attrs import field, frozen

from ._fault import FileFault

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

Format: TypeAlias = Literal["csv", "jsonl"]

DELIMITERS: Final = ",;\t|"
_SUFFIXES: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
# The bytes that UTF-8 cannot hold, as `surrogateescape` keeps them.
_FOREIGN: Final = re.compile("[\udc80-\udcff]")
_UTF16: Final = ("\udcff\udcfe", "\udcfe\udcff")
_EXCEL_SEP: Final = re.compile(r"sep=(.)\s*")


@frozen
class Record:
    """One row as it stands in the file: ``number`` counts rows from 1, ``line`` is its first line.

    ``problem`` says why a row could not be read; ``cells`` is then what little is known of it.
    ``header`` names the columns of a CSV file; JSON lines have none.
    """

    number: int
    line: int
    cells: dict[str, Any] = field(factory=dict[str, Any])
    problem: str | None = None
    header: tuple[str, ...] = ()


def format_of(path: Path) -> Format | None:
    """Tell the format by the suffix; ``None`` leaves it to the first character of the content."""
    return _SUFFIXES.get(path.suffix.lower())


@contextmanager
def opened(path: Path, form: Format | None) -> Generator[Iterator[Record], None, None]:
    """Open a file and yield its records."""
    try:
        binary = path.open("rb")
    except OSError as error:
        raise FileFault(f"{path} cannot be read: {error.strerror}.") from None
    with binary, closing(records(binary, form or format_of(path))) as found:
        yield found


def records(binary: IO[bytes], form: Format | None) -> Generator[Record, None, None]:
    """Read records from bytes; the caller closes them."""
    # Bytes that are not UTF-8 pass through here, so that the line that holds them can be named.
    text = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _read(text, form)
    finally:
        with suppress(ValueError):  # the caller may have closed the bytes first
            text.detach()


def _read(text: io.TextIOWrapper, form: Format | None) -> Iterator[Record]:
    blank = 0
    while (first := text.readline()) and not first.strip():
        blank += 1
    if first.startswith(_UTF16):
        raise FileFault("the file is UTF-16; save it as UTF-8 (in Excel: 'CSV UTF-8').", 1)
    _refuse_foreign(first, blank + 1)
    if not first:
        raise FileFault("the file is empty; a header row and at least one more are needed.")
    if (form or ("jsonl" if first.lstrip()[0] in "{[" else "csv")) == "jsonl":
        return _json_lines(chain([first], text), blank)
    return _csv_rows(first, text, blank)


def _json_lines(lines: Iterator[str], blank: int) -> Iterator[Record]:
    number = 0
    for line, source in enumerate(lines, blank + 1):
        if not source.strip():
            continue
        _refuse_foreign(source, line)
        number += 1
        yield _json_record(source, number, line)


def _json_record(source: str, number: int, line: int) -> Record:
    try:
        value = json.loads(source)
    except (ValueError, RecursionError) as error:
        return Record(number, line, problem=f"not a line of JSON ({error})")
    if isinstance(value, list) and number == 1:
        raise FileFault("this is a JSON array; write one object on each line (JSON lines).", line)
    if not isinstance(value, dict):
        return Record(number, line, problem="not a JSON object")
    return Record(number, line, cast("dict[str, Any]", value))


def _csv_rows(first: str, text: Iterator[str], offset: int) -> Iterator[Record]:
    separator = _EXCEL_SEP.fullmatch(first)
    if separator:  # Excel's own way to name the delimiter, on a line of its own
        first, offset = next(text, ""), offset + 1
    reader = csv.reader(
        chain([first], text), delimiter=separator[1] if separator else _sniff(first), strict=True
    )
    try:
        header = _header(next(reader, list[str]()), offset + 1)
    except csv.Error as error:
        raise FileFault(f"the header cannot be read ({error}).", offset + 1) from None
    number, line = 0, reader.line_num + offset + 1
    while (cells := _next(reader)) is not None:
        if isinstance(cells, str) or cells:
            number += 1
            yield _csv_record(header, cells, number, line)
        line = reader.line_num + offset + 1


def _next(reader: Any) -> list[str] | str | None:
    """Return the cells of the next row, what is wrong with it, or ``None`` at the end."""
    try:
        cells: list[str] = next(reader)
    except StopIteration:
        return None
    except csv.Error as error:
        return f"not a row of CSV ({error}); look for a quote that is not closed"
    # A row of nothing but delimiters is what spreadsheets leave below the data.
    return cells if any(cells) else []


def _csv_record(header: tuple[str, ...], cells: list[str] | str, number: int, line: int) -> Record:
    if isinstance(cells, str):
        return Record(number, line, problem=cells, header=header)
    for cell in cells:
        _refuse_foreign(cell, line)
    problem = None
    if len(cells) != len(header):
        problem = (
            f"{len(cells)} cells where the header has {len(header)}; "
            "a text that holds the delimiter must stand in quotes"
        )
    return Record(number, line, dict(zip(header, cells, strict=False)), problem, header)


def _sniff(header: str) -> str:
    try:
        return csv.Sniffer().sniff(header, delimiters=DELIMITERS).delimiter
    except csv.Error:
        return ","  # a header of one column has none


def _header(cells: list[str], line: int) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileFault(f"the header names {', '.join(map(repr, twice))} more than once.", line)
    return names


def _refuse_foreign(text: str, line: int) -> None:
    found = _FOREIGN.search(text)
    if found:
        byte = ord(found[0]) - 0xDC00
        raise FileFault(
            f"byte 0x{byte:02X} is not UTF-8; the file is probably in Windows-1252 or Latin-1. "
            "Save it as UTF-8 (in Excel: 'CSV UTF-8').",
            line,
        )
