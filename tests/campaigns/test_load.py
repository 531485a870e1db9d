"""Loading: every kind of source, bad rows with their lines, nothing twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from aldeamo_async import CampaignError, Dialect, Outgoing, UsageError
from aldeamo_async.campaigns import (
    BadRow,
    Campaign,
    Ledger,
    LoadReport,
    MemoryLedger,
    SqliteLedger,
    State,
)
from support.campaigns import messages, sandbox_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.real_clock

CSV = """\
client_ref,channel,client_id,text
a-1,sms,573000000001,Hola Ana
a-2,sms,,Hola Luis
a-3,fax,573000000003,Hola
a-4,sms,573000000004,Hola Eva
"""


async def loaded(source: Any, ledger: Ledger | None = None, **options: Any) -> LoadReport:
    """What one load reports."""
    _, client = sandbox_client(dialect=options.pop("dialect", Dialect()))
    async with client, Campaign.open(ledger or MemoryLedger(), client) as campaign:
        return await campaign.load(source, **options)


async def test_a_csv_file(tmp_path: Path) -> None:
    """Good rows are added; bad ones are reported with their line in the file, and kept aside."""
    path = tmp_path / "customers.csv"
    path.write_text(CSV, encoding="utf-8")
    ledger = SqliteLedger(tmp_path / "promo.db")
    report = await loaded(str(path), ledger)
    assert (report.rows, report.added, report.duplicates, report.rejected) == (4, 2, 0, 2)
    assert [row.line for row in report.bad_rows] == [3, 4]
    assert "client_id" in report.bad_rows[0].problem
    assert "fax" in report.bad_rows[1].problem
    again = await loaded(path, ledger)
    assert (again.rows, again.added, again.duplicates, again.rejected) == (4, 0, 2, 2)
    assert report.seconds > 0


async def test_a_jsonl_file_with_a_template(tmp_path: Path) -> None:
    """Channel and text may come from options, with columns of the row in the text."""
    path = tmp_path / "rows.jsonl"
    rows = [{"client_id": 573000000001, "name": "Ana"}, {"client_id": "573000000002"}]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    ledger = MemoryLedger()
    report = await loaded(path, ledger, channel="sms", template="Hola {name}")
    assert (report.added, report.rejected) == (1, 1)
    assert "no value for name" in report.bad_rows[0].problem
    (line, _) = await ledger.lines(0, 9)
    assert (line.source, line.line, line.text) == ("rows.jsonl", 1, "Hola Ana")


async def test_a_suffix_can_be_overruled(tmp_path: Path) -> None:
    """`format` says what a file is that is called otherwise."""
    path = tmp_path / "customers.txt"
    path.write_text(CSV, encoding="utf-8")
    assert (await loaded(path, format="csv")).added == 2


async def test_iterables_of_messages_and_mappings() -> None:
    """Outgoing and mappings may be mixed, in any iterable; the line is the place in it."""
    rows = [
        Outgoing("sms", "+57 300 000 0001", "Hola"),
        {"channel": "sms", "client_id": 573000000002, "text": "Hola"},
        "not a row",
        Outgoing("sms", "abc", "Hola", client_ref="mine"),
    ]
    ledger = MemoryLedger()
    report = await loaded(iter(rows), ledger)
    assert (report.rows, report.added, report.rejected) == (4, 2, 2)
    assert [row.line for row in report.bad_rows] == [3, 4]
    assert "not str" in report.bad_rows[0].problem
    first, _, _, bad = await ledger.lines(0, 9)
    assert first.client_id == "573000000001"  # as it goes out, whatever its spelling
    assert bad.client_ref == "mine"


async def test_an_async_iterable_of_many_rows() -> None:
    """A lazy source is read in batches, with progress after each."""

    async def rows() -> AsyncIterator[Outgoing]:
        for message in messages(5_000):
            yield message

    seen: list[int] = []
    report = await loaded(rows(), progress=seen.append)
    assert report.added == 5_000
    assert seen == [2_000, 4_000, 5_000]


async def test_the_same_message_counts_once() -> None:
    """Without a reference, channel, client and text name a message; else the reference does."""
    twice = [Outgoing("sms", "573000000001", "Hola"), Outgoing("sms", "+573000000001", "Hola")]
    report = await loaded(twice)
    assert (report.added, report.duplicates) == (1, 1)
    meant = [Outgoing("sms", "573000000001", "Hola", client_ref=str(n)) for n in range(2)]
    assert (await loaded(meant)).added == 2


async def test_a_reference_of_two_messages_is_reported() -> None:
    """The second message under one reference is a bad row, not a silent loss."""
    rows = [Outgoing("sms", "573000000001", text, client_ref="a") for text in ("Hola", "Adiós")]
    report = await loaded(rows)
    assert (report.added, report.rejected) == (1, 1)
    assert report.bad_rows == (
        BadRow(2, "its client_ref 'a' belongs to another message of this campaign"),
    )


async def test_a_reference_may_hold_anything() -> None:
    """A reference that no UTF-8 can hold is kept readable."""
    ledger = MemoryLedger()
    await loaded([Outgoing("sms", "573000000001", "Hola", client_ref="x\ud83d")], ledger)
    assert (await ledger.lines(0, 1))[0].client_ref == "x?"


async def test_the_dialect_of_the_client_decides() -> None:
    """Rows are held against the rules that the client will send by."""
    rows = [Outgoing("sms", "573000000001", "Hola Ana")]
    assert (await loaded(rows, dialect=Dialect(max_text_length=5))).rejected == 1


async def test_only_so_many_bad_rows_are_listed() -> None:
    """A report stays small; the count and the export have all of them."""
    report = await loaded([Outgoing("sms", "", f"Hola {n}") for n in range(1500)])
    assert (report.rejected, len(report.bad_rows)) == (1500, 1000)


@pytest.mark.parametrize("source", [7, b"rows", {"client_id": 1}])
async def test_what_is_no_source(source: object) -> None:
    """A number, bytes or a single mapping is a mistake in the call."""
    with pytest.raises(UsageError, match="loads a file, or an iterable of rows"):
        await loaded(source)


async def test_a_file_that_is_wrong_as_a_whole(tmp_path: Path) -> None:
    """A missing file, or one without its columns, is refused before anything is added."""
    with pytest.raises(UsageError, match="cannot be read"):
        await loaded(tmp_path / "none.csv")
    path = tmp_path / "customers.csv"
    path.write_text("name,phone\nAna,573000000001\n", encoding="utf-8")
    with pytest.raises(UsageError, match="is missing"):
        await loaded(path)


async def test_a_load_that_is_cut_off_goes_on(tmp_path: Path) -> None:
    """What was added before a failure stays, and loading again adds the rest."""

    def rows(stop: int) -> Any:
        for n, message in enumerate(messages(6_000)):
            if n == stop:
                raise CampaignError("the source broke")
            yield message

    ledger = SqliteLedger(tmp_path / "promo.db")
    with pytest.raises(CampaignError, match="the source broke"):
        await loaded(rows(5_000), ledger)
    report = await loaded(rows(-1), ledger)
    assert (report.added, report.duplicates) == (2_000, 4_000)
    await ledger.open()
    assert (await ledger.counts()).states[State.PENDING] == 6_000
    await ledger.aclose()
