"""From a source to batches of entries: files, mappings and ``Outgoing`` alike, checked before
anything is sent.

Rule 1: constant memory: one batch at a time, whatever the source.
Rule 2: a file is read and checked in a worker thread; a source of your own stays in the event
loop, which gets its turn every few hundred rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack, aclosing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import anyio
import anyio.to_thread
from anyio.lowlevel import checkpoint
from attrs import frozen

from .._errors import UsageError
from .._files import BadRow, FileFault, Format, Record, RowMaker, Template, opened
from .._models import Outgoing
from .._settings import Dialect, Secret
from .._wire import send_request
from ._nouns import Entry
from ._words import EMAIL

if TYPE_CHECKING:
    from ._sender import Maker

Rows: TypeAlias = (
    str
    | Path
    | Iterable[Outgoing | Mapping[str, Any]]
    | AsyncIterable[Outgoing | Mapping[str, Any]]
)

BATCH: Final = 2_000  # rows of one transaction; larger ones save little and cost memory
_ROWS_BETWEEN_CHECKPOINTS: Final = 200  # some milliseconds of checking
_NO_KEY: Final = Secret("none")  # a request is built for its checks alone


@frozen
class EntryMaker:
    """Turns rows into entries, by the rules that the client itself checks a message with."""

    dialect: Dialect
    channel: str | None = None
    template: Template | None = None

    def from_record(self, record: Record) -> Entry:
        """Check one row of a file."""
        row = RowMaker(self.dialect, self.channel, self.template).make(record)
        if isinstance(row, BadRow):
            given = (row.channel, row.client_id, record.cells.get("text", ""))
            return bad_entry(row.line, row.problem, given, row.client_ref)
        return self._entry(row.line, row.outgoing, row.client_ref)

    def from_row(self, number: int, row: object) -> Entry:
        """Check one row of another source; ``number`` is its place, from 1."""
        if isinstance(row, Mapping):
            return self.from_record(Record(number, number, dict(cast("Mapping[str, Any]", row))))
        if not isinstance(row, Outgoing):
            problem = f"A row is an Outgoing or a mapping of columns, not {type(row).__name__}."
            return bad_entry(number, problem, ("", "", ""), None)
        if row.channel == EMAIL and type(row) is not Outgoing:
            raise UsageError(
                f"Row {number} is an e-mail, and this campaign's client sends over the BOTS API: "
                "load Outgoing(channel, client_id, text), or open another campaign with an "
                "AsyncEmailClient. The rows of its batch were not added."
            )
        return self._entry(number, row, row.client_ref)

    def _entry(self, line: int, outgoing: Outgoing, client_ref: str | None) -> Entry:
        try:
            params = send_request(outgoing, self.dialect, _NO_KEY).params
            if outgoing.channel == EMAIL:  # where undocumented channels are allowed
                raise UsageError(
                    "The channel 'email' of a campaign is for e-mails of an AsyncEmailClient; "
                    "send this over the BOTS API with send_many."
                )
        except UsageError as error:
            given = (outgoing.channel, outgoing.client_id, outgoing.text)
            return bad_entry(line, str(error), given, client_ref)
        content = tuple(value for _, value in params)
        return Entry(line, reference_of(client_ref, content), *content)


def bad_entry(line: int, problem: str, given: tuple[object, ...], client_ref: object) -> Entry:
    """Keep what was given, whatever it was: somebody will want to mend the row."""
    channel, client_id, text = map(str, given)
    reference = reference_of(client_ref, (channel, client_id, text, problem))
    return Entry(line, reference, channel, client_id, text, problem)


def reference_of(client_ref: object, content: tuple[str, ...]) -> str:
    """Return the reference that was given, or one that is the same for the same message."""
    if client_ref is not None and client_ref != "":
        return str(client_ref).encode("utf-8", "replace").decode()
    joined = "\0".join(content).encode("utf-8", "replace")
    return f"sha256:{hashlib.sha256(joined).hexdigest()[:32]}"


def source_name(source: Rows) -> str:
    """Return the name under which a source's rows are known: a file's own, without its folder."""
    return Path(source).name if isinstance(source, str | Path) else ""


async def batches(
    source: Rows, form: Format | None, maker: Maker
) -> AsyncGenerator[list[Entry], None]:
    """Yield the entries of a source, batch by batch; an async generator as source is closed with
    it."""
    if isinstance(source, str | Path):
        found = _of_file(Path(source), form, maker)
    else:
        rows = source if isinstance(source, AsyncIterable) else _as_async(source)
        found = _of_rows(rows, maker)
    async with aclosing(found):
        async for batch in found:
            yield batch


async def _of_file(
    path: Path, form: Format | None, maker: Maker
) -> AsyncGenerator[list[Entry], None]:
    with ExitStack() as stack:
        records = await _in_thread(lambda: stack.enter_context(opened(path, form)))
        entries = map(maker.from_record, records)
        while batch := await _in_thread(lambda: list(islice(entries, BATCH))):
            yield batch


async def _in_thread(work: Callable[[], Any]) -> Any:
    try:
        return await anyio.to_thread.run_sync(work)
    except FileFault as fault:
        raise UsageError(f"The file cannot be loaded: {fault}") from None


async def _of_rows(rows: AsyncIterable[object], maker: Maker) -> AsyncGenerator[list[Entry], None]:
    batch: list[Entry] = []
    number = 0
    async with AsyncExitStack() as stack:
        if isinstance(rows, AsyncGenerator):
            generator = cast("AsyncGenerator[object, None]", rows)
            await stack.enter_async_context(aclosing(generator))
        async for row in rows:
            number += 1
            batch.append(maker.from_row(number, row))
            if len(batch) == BATCH:
                yield batch
                batch = []
            if number % _ROWS_BETWEEN_CHECKPOINTS == 0:
                await checkpoint()
    if batch:
        yield batch


async def _as_async(rows: object) -> AsyncGenerator[object, None]:
    kind = type(rows).__name__
    if not isinstance(rows, Iterable) or isinstance(rows, bytes | Mapping):
        raise UsageError(f"A campaign loads a file, or an iterable of rows, not {kind}.")
    for row in cast("Iterable[object]", rows):
        yield row
