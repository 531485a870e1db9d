"""Campaigns of e-mails: rows on their way into a ledger and out of it; one kind for each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import frozen

from aldeamo_async import AsyncBotsClient, CampaignError, Dialect, Outgoing, UsageError
from aldeamo_async.campaigns import Campaign, Entry, MemoryLedger, State
from aldeamo_async.campaigns._email import CHARACTERS_MAX
from aldeamo_async.campaigns._words import EMAIL
from aldeamo_async.email import AsyncEmailClient, OutgoingEmail
from support.campaigns import entries, messages, sandbox_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aldeamo_async.campaigns import Line

TO, SUBJECT, TEXT = "ana@mail.example", "Tu cita", "Hola Ana"


def email_client() -> AsyncEmailClient:
    """A client of a port where nobody listens."""
    return AsyncEmailClient("127.0.0.1", 1, sender="citas@tenant.example")


async def loaded(source: Any) -> list[Line]:
    """The lines of a new campaign of e-mails, after a load."""
    ledger = MemoryLedger()
    async with email_client() as client, Campaign.open(ledger, client) as campaign:
        report = await campaign.load(source)
    lines = list(await ledger.lines(0, 1000))
    good = [line for line in lines if line.state is State.PENDING]
    assert (report.added, report.rows) == (len(good), report.added + report.rejected)
    return lines


def fields(line: Line) -> dict[str, str]:
    """What the text of a row holds."""
    found: dict[str, str] = json.loads(line.text)
    return found


# ── rows ──


def test_the_channel_of_an_email() -> None:
    """Ledgers know an e-mail by the channel that every OutgoingEmail has."""
    assert OutgoingEmail(TO, SUBJECT, TEXT).channel == EMAIL


async def test_an_email_keeps_the_columns_of_a_ledger() -> None:
    """Channel, address and reference stand in their columns; the rest is one JSON object."""
    rows = [
        OutgoingEmail(TO, "Mañana", TEXT, "<p>Hola</p>", client_ref="row 1"),
        OutgoingEmail("Ana@Mañana.Example", SUBJECT, TEXT),
    ]
    whole, bare = await loaded(rows)
    assert (whole.channel, whole.client_id, whole.client_ref) == ("email", TO, "row 1")
    assert whole.text == '{"subject": "Mañana", "text": "Hola Ana", "html": "<p>Hola</p>"}'
    assert bare.client_id == "Ana@xn--maana-pta.example"
    assert fields(bare) == {"subject": SUBJECT, "text": TEXT}
    assert bare.client_ref.startswith("sha256:")


async def test_the_same_email_is_one() -> None:
    """Without a reference the same content to the same address counts once, its domain in any
    case; another text under a known reference is a conflict."""
    ledger = MemoryLedger()
    async with email_client() as client, Campaign.open(ledger, client) as campaign:
        report = await campaign.load(
            [
                OutgoingEmail(TO, SUBJECT, TEXT),
                OutgoingEmail("ana@MAIL.example", SUBJECT, TEXT, ""),
                OutgoingEmail(TO, "Otra", TEXT),
                OutgoingEmail(TO, SUBJECT, TEXT, client_ref="7"),
                OutgoingEmail(TO, SUBJECT, "Adiós", client_ref="7"),
            ]
        )
    assert (report.added, report.duplicates, report.rejected) == (3, 1, 1)
    assert "client_ref '7' belongs to another message" in report.bad_rows[0].problem


BAD: list[tuple[Any, str]] = [
    (OutgoingEmail("Ana", SUBJECT, TEXT), "one address like"),
    (OutgoingEmail(TO, "a\r\nBcc: b@mail.example", TEXT), "line break"),
    (OutgoingEmail(TO, SUBJECT, ""), "empty"),
    (OutgoingEmail(TO, SUBJECT, "x" * CHARACTERS_MAX), "250,000 at most"),
    ({"to": TO, "subject": SUBJECT, "text": 5}, "must be text, not int"),
    ({"to": TO, "subject": SUBJECT}, "empty"),
    ({"to": TO, "text": TEXT}, "no value for subject"),
    ({"to": None, "subject": SUBJECT, "text": TEXT, "client_ref": 8}, "no value for to"),
    ({"channel": "sms", "to": TO, "subject": SUBJECT, "text": TEXT}, "channel is 'sms'"),
    (7, "An OutgoingEmail or a mapping of columns, not int"),
]


@pytest.mark.parametrize(("row", "says"), BAD)
async def test_a_bad_row_is_kept_aside(row: Any, says: str) -> None:
    """A row that cannot be sent is reported with its place and reason, and ruins no other."""
    bad, good = await loaded([row, OutgoingEmail(TO, SUBJECT, TEXT)])
    assert (bad.state, bad.line, good.state) == ("invalid", 1, State.PENDING)
    assert says.lower() in bad.detail.lower()


@pytest.mark.real_clock
async def test_a_file_of_emails(tmp_path: Path) -> None:
    """CSV and JSON lines have the columns to, subject, text and html; a bad line has its number."""
    table, listed = tmp_path / "rows.csv", tmp_path / "rows.jsonl"
    table.write_text(
        "to,subject,html,client_ref\nana@mail.example,Tu cita,<p>Hola</p>,1\nnobody,Tu cita,x,2\n"
    )
    listed.write_text(
        json.dumps({"to": TO, "subject": SUBJECT, "text": TEXT, "channel": "email"}) + "\n{\n"
    )
    good, bad = await loaded(table)
    assert fields(good) == {"subject": SUBJECT, "text": "", "html": "<p>Hola</p>"}
    assert (good.client_ref, bad.line, bad.client_id, bad.state) == ("1", 3, "nobody", "invalid")
    good, bad = await loaded(listed)
    assert fields(good) == {"subject": SUBJECT, "text": TEXT}
    assert (bad.line, bad.state) == (2, "invalid")


@pytest.mark.parametrize(
    ("header", "says"),
    [("to,text", "column subject is missing"), ("to,subject", "column text \\(or html\\)")],
)
@pytest.mark.real_clock
async def test_a_file_without_a_column(tmp_path: Path, header: str, says: str) -> None:
    """A table that lacks a column is refused as a whole, with the columns that e-mails have."""
    (tmp_path / "rows.csv").write_text(f"{header}\n1,2\n")
    with pytest.raises(UsageError, match=says):
        await loaded(tmp_path / "rows.csv")


@pytest.mark.parametrize("option", [{"channel": "sms"}, {"template": "Hola {name}"}])
async def test_options_of_the_other_client(option: dict[str, str]) -> None:
    """What only messages of the BOTS API have is refused, with what to do instead."""
    async with email_client() as client, Campaign.open(MemoryLedger(), client) as campaign:
        with pytest.raises(UsageError, match="generator of OutgoingEmail"):
            await campaign.load([], **option)


@pytest.mark.parametrize(
    "text",
    ["Hola", "[1]", '{"subject": "a"}', '{"subject": "a", "text": "b", "files": []}', "null"],
)
async def test_a_row_that_cannot_be_read(text: str) -> None:
    """A damaged row, or one with fields of a newer version, stops the run before it is marked."""
    ledger = MemoryLedger()
    await ledger.add("", [Entry(1, "1", EMAIL, TO, text)])
    async with email_client() as client, Campaign.open(ledger, client) as campaign:
        with pytest.raises(CampaignError, match="newer version"):
            await campaign.run()
        assert (await campaign.status()).counts[State.PENDING] == 1


# ── one kind for each ledger ──


@pytest.mark.parametrize("client", [None, "client", AsyncEmailClient, AsyncBotsClient])
def test_only_a_client_can_send_a_campaign(client: Any) -> None:
    """Anything else is refused when the campaign is made."""
    with pytest.raises(UsageError, match="AsyncBotsClient or an AsyncEmailClient"):
        Campaign.open(MemoryLedger(), client)


async def test_an_email_among_messages() -> None:
    """A BOTS campaign refuses an e-mail, and nothing of its batch is added."""
    _, client = sandbox_client()
    async with client, Campaign.open(MemoryLedger(), client) as campaign:
        with pytest.raises(UsageError, match="Row 3 is an e-mail"):
            await campaign.load([*messages(2), OutgoingEmail(TO, SUBJECT, TEXT)])
        assert (await campaign.status()).total == 0


async def test_a_message_among_emails() -> None:
    """A campaign of e-mails refuses a message of the BOTS API, and adds nothing of its batch."""
    async with email_client() as client, Campaign.open(MemoryLedger(), client) as campaign:
        with pytest.raises(UsageError, match="Row 2 is an Outgoing"):
            await campaign.load([OutgoingEmail(TO, SUBJECT, TEXT), *messages(1)])
        assert (await campaign.status()).total == 0


async def test_rows_of_a_kind_of_ones_own() -> None:
    """A subclass of Outgoing is a message like any other."""

    @frozen
    class Mine(Outgoing):
        price: int = 0

    _, client = sandbox_client()
    async with client, Campaign.open(MemoryLedger(), client) as campaign:
        assert (await campaign.load([Mine("sms", "573000000001", "Hola")])).added == 1


async def test_the_channel_of_emails_is_reserved() -> None:
    """Also where undocumented channels are allowed, a message on the channel email is a bad row."""
    _, client = sandbox_client(dialect=Dialect(allow_undocumented_channels=True))
    async with client, Campaign.open(MemoryLedger(), client) as campaign:
        report = await campaign.load(
            [Outgoing("email", TO, "Hola"), Outgoing("rcs", "573000000001", "Hola")]
        )
    assert (report.added, report.rejected) == (1, 1)
    assert "send_many" in report.bad_rows[0].problem


async def of_kind(ledger: MemoryLedger, kind: str) -> None:
    """Fill a ledger with one kind of rows, behind more bad ones than are looked at in one go."""
    bad = [Entry(n, f"bad {n}", "", "", "", "no message") for n in range(1, 600)]
    good = entries(1) if kind == "bots" else [Entry(1, "1", EMAIL, TO, '{"subject":"","text":"a"}')]
    await ledger.add("", [*bad, *good])


@pytest.mark.parametrize("kind", ["bots", "email"])
async def test_a_ledger_of_the_other_kind(kind: str) -> None:
    """Load, run and run_chunk refuse it before anything is sent; looking and settling work."""
    ledger = MemoryLedger()
    await of_kind(ledger, kind)
    sandbox, bots = sandbox_client()
    email = email_client()
    client, says = (bots, "AsyncEmailClient") if kind == "email" else (email, "AsyncBotsClient")
    async with bots, email, Campaign.open(ledger, client) as campaign:
        for call in (lambda: campaign.load([]), campaign.run, lambda: campaign.run_chunk(2)):
            with pytest.raises(CampaignError, match=f"open it with an {says}"):
                await call()
        status = await campaign.status()
        assert (status.counts[State.PENDING], status.total) == (1, 1)
        assert (await campaign.resolve("hold")).held == 0
        assert email.stats().lanes.discarded == 0
    assert sandbox.requests.total() == 0


@pytest.mark.parametrize("kind", ["bots", "email"])
async def test_a_row_that_slipped_in(kind: str) -> None:
    """Two loads that raced may mix the kinds: a row of the other one is not sent, and is no one's
    mistake to find out later."""
    ledger = MemoryLedger()
    sandbox, bots = sandbox_client()
    email = email_client()
    client = email if kind == "bots" else bots
    async with bots, email, Campaign.open(ledger, client) as campaign:
        rows = messages(1) if kind == "email" else [OutgoingEmail(TO, SUBJECT, TEXT)]
        await campaign.load(rows)
        await of_kind(ledger, kind)
        with pytest.raises(CampaignError, match="open it with an"):
            await campaign.run()
        assert (await campaign.status()).counts[State.PENDING] == 2
    assert sandbox.delivered == 0


@pytest.mark.real_clock
async def test_the_other_kind_in_a_file_on_disk(tmp_path: Path) -> None:
    """The next process that opens a file learns from its first message what kind it is."""
    url = f"sqlite:///{tmp_path / 'promo.db'}"
    async with email_client() as client, Campaign.open(url, client) as campaign:
        await campaign.load([OutgoingEmail(TO, SUBJECT, TEXT)])
    sandbox, bots = sandbox_client()
    async with bots, Campaign.open(url, bots) as campaign:
        with pytest.raises(CampaignError, match="holds e-mails"):
            await campaign.run()
        path = anyio.Path(tmp_path / "all.csv")
        assert await campaign.export(str(path)) == 1
        assert TO in await path.read_text()
    assert sandbox.delivered == 0


async def test_a_source_is_closed_with_a_load_that_fails() -> None:
    """An async generator ends where a load ends early; another source is left as it is."""
    closed: list[bool] = []

    async def rows() -> AsyncIterator[Outgoing]:
        try:
            yield OutgoingEmail(TO, SUBJECT, TEXT)
        finally:
            closed.append(True)

    class Endless:
        def __aiter__(self) -> Endless:
            return self

        async def __anext__(self) -> Outgoing:
            return OutgoingEmail(TO, SUBJECT, TEXT)

    _, client = sandbox_client()
    async with client, Campaign.open(MemoryLedger(), client) as campaign:
        for source in (rows(), Endless()):
            with pytest.raises(UsageError, match="Row 1 is an e-mail"):
                await campaign.load(source)
    assert closed == [True]
