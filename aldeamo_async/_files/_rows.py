"""From a record to a message: what is checked before anything is sent.

Rule 1: a row becomes a message or a bad row with a reason; it is never mended by guessing.
Rule 2: the checks are the client's own, so a row that passes here is not refused there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

from attrs import frozen

from .._errors import UsageError
from .._models import Outgoing
from .._settings import Dialect, Secret
from .._wire import send_request
from ._fault import FileFault
from ._template import MissingColumn, Template

if TYPE_CHECKING:
    from ._records import Record

_NO_KEY: Final = Secret("none")  # a request is built for its checks alone
_SCIENTIFIC: Final = re.compile(r"\d+(?:[.,]\d*)?[eE]\+?\d+")
_DECIMAL: Final = re.compile(r"\d+[.,]\d+")


@frozen
class Row:
    """A row that can be sent; ``outgoing.client_ref`` is its number as text."""

    number: int
    line: int
    outgoing: Outgoing
    client_ref: str | None = None


@frozen
class BadRow:
    """A row that cannot be sent, and why; channel and client id as far as they are known."""

    number: int
    line: int
    problem: str
    channel: str = ""
    client_id: str = ""
    client_ref: str | None = None


@frozen
class RowMaker:
    """Turns records into rows; ``channel`` and ``template`` stand in for missing columns."""

    dialect: Dialect
    channel: str | None = None
    template: Template | None = None

    def make(self, record: Record) -> Row | BadRow:
        """Check one record. Raises `FileFault` where the file lacks a column altogether."""
        if record.number == 1 and record.header:
            self._check_columns(record.header)
        cells = record.cells
        reference = _text_of(cells.get("client_ref"))
        try:
            if record.problem:
                raise UsageError(record.problem)
            outgoing = Outgoing(
                channel=self._channel(cells),
                client_id=_client_id(cells),
                text=self._text(cells),
                client_ref=str(record.number),
            )
            send_request(outgoing, self.dialect, _NO_KEY)
        except (UsageError, MissingColumn) as error:
            problem = f"no value for {error}" if isinstance(error, MissingColumn) else str(error)
            return BadRow(
                record.number,
                record.line,
                problem,
                _text_of(cells.get("channel")) or self.channel or "",
                _text_of(cells.get("client_id")) or "",
                reference,
            )
        return Row(record.number, record.line, outgoing, reference)

    def _check_columns(self, header: tuple[str, ...]) -> None:
        wanted = ["client_id"]
        wanted += [] if self.channel else ["channel"]
        wanted += self.template.columns if self.template else ["text"]
        missing = [name for name in wanted if name not in header]
        if missing:
            raise FileFault(
                f"the column {', '.join(missing)} is missing; the file has: {', '.join(header)}. "
                "--channel and --template can stand in for the columns channel and text."
            )

    def _channel(self, cells: dict[str, Any]) -> str:
        channel = cells.get("channel")
        if isinstance(channel, str):
            channel = channel.strip().lower()
        return channel or self.channel or _lacking("channel")

    def _text(self, cells: dict[str, Any]) -> str:
        if self.template:
            return self.template.fill(cells)
        text: str | None = cells.get("text")
        return _lacking("text") if text is None else text


def _client_id(cells: dict[str, Any]) -> str | int:
    client_id: str | int | None = cells.get("client_id")
    if client_id is None or client_id == "":
        _lacking("client_id")
    if isinstance(client_id, str):
        shown = client_id.strip()
        if _SCIENTIFIC.fullmatch(shown):
            raise UsageError(
                f"the client_id {shown} was shortened by a spreadsheet, and its last digits are "
                f"lost; "
                "format the column as text, fill it again from the source, and save anew"
            )
        if _DECIMAL.fullmatch(shown):
            raise UsageError(
                f"the client_id {shown} became a decimal number in a spreadsheet; format the "
                f"column as text"
            )
    return client_id


def _lacking(column: str) -> NoReturn:
    raise MissingColumn(column)


def _text_of(value: object) -> str | None:
    return None if value is None else str(value)
