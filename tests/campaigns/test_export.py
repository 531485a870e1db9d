"""The export: one line for each input row, and never a half-written file."""

from __future__ import annotations

import csv
import json
import os
from typing import TYPE_CHECKING

import pytest

from aldeamo_async import CampaignError, Outgoing, UsageError
from aldeamo_async.campaigns import Campaign, SqliteLedger
from aldeamo_async.sandbox import Fault, Weather
from support.campaigns import messages, sandbox_client

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real_clock

ROWS = [
    Outgoing("sms", "573000000001", "Hola, Ana"),
    Outgoing("fax", "573000000002", "Hola"),
    Outgoing("sms", "573000000003", "Hola\nLuis"),
    Outgoing("sms", "573000000001", "Hola, Ana"),
    Outgoing("sms", "573000000004", "Hola Eva"),
]


async def exported(folder: Path, *names: str) -> None:
    """Run a small campaign of every fate, and export it under each name."""
    weather = Weather.sequence([None, Fault.STATUS_FALSE, Fault.BAD_GATEWAY])
    _, client = sandbox_client(weather)
    async with client, Campaign.open(SqliteLedger(folder / "promo.db"), client) as campaign:
        await campaign.load(ROWS)
        await campaign.run(concurrency=1)
        for name in names:
            assert await campaign.export(folder / name) == len(ROWS)


async def test_every_input_row_has_its_line(tmp_path: Path) -> None:
    """Sent, rejected and unknown messages, bad rows and duplicates, in the order of the input."""
    await exported(tmp_path, "out.jsonl", "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["line"], row["state"]) for row in rows] == [
        ("1", "sent"),
        ("2", "invalid"),
        ("3", "rejected"),
        ("4", "duplicate"),
        ("5", "unknown"),
    ]
    assert [row["text"] for row in rows][:3] == ["Hola, Ana", "Hola", "Hola\nLuis"]
    assert rows[0]["message_id"] == "1"
    assert rows[2]["reason"] == "ApiError codigo 7"
    assert "MAY have been delivered" in rows[4]["detail"]
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["state"] for line in lines] == [row["state"] for row in rows]
    assert [json.loads(line)["updated"] is None for line in lines] == [0, 1, 0, 1, 0]


async def test_a_new_export_takes_the_place_of_the_old(tmp_path: Path) -> None:
    """The file is replaced as a whole, and no part of it is left over."""
    await exported(tmp_path, "out.csv", "out.csv")
    assert sorted(os.listdir(tmp_path)) == ["out.csv", "promo.db"]


async def test_a_name_that_says_no_format(tmp_path: Path) -> None:
    """Without a known suffix, and over a ledger, nothing is written."""
    for name, said in (("out", "no suffix"), ("promo.db", "no suffix")):
        with pytest.raises(UsageError, match=said):
            await exported(tmp_path, name)
    _, client = sandbox_client()
    async with client, Campaign.open(SqliteLedger(tmp_path / "b.db"), client) as campaign:
        await campaign.load(messages(3))
        with pytest.raises(UsageError, match="does not overwrite"):
            await campaign.export(tmp_path / "b.db", format="csv")
        assert await campaign.export(tmp_path / "out", format="csv") == 3


async def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """A file that cannot be written is named."""
    with pytest.raises(CampaignError, match="cannot be written: No such file"):
        await exported(tmp_path, "none/out.csv")
