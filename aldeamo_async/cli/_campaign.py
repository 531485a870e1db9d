"""``aldeamo campaign``: load, run, look at and settle a durable campaign.

Rule: only ``run`` talks to the API, so only it asks for the key.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .._client import AsyncBotsClient
from ..campaigns import Campaign, CampaignStatus, LoadReport, Resolution, ResolveReport, State
from ._campaign_run import run
from ._common import SANDBOX_KEY, Common, common, common_options
from ._exit import Exit, explained
from ._row_options import format_option, row_options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .._files import Format

_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_BAD_ROWS_SHOWN: Final = 10
_PROGRESS_EVERY: Final = 100_000  # rows; a second or two
_MEANINGS: Final = {
    State.PENDING: "not sent yet",
    State.ATTEMPTING: "being sent",
    State.SENT: "the API took them",
    State.REJECTED: "not delivered",
    State.UNKNOWN: "may have been delivered: look, then settle them with 'campaign resolve'",
}


@click.group("campaign")
def campaign() -> None:
    """Send a campaign that survives a crash: load it once, run it until it is done.

    URL is sqlite:///promo.db for a file in this folder, sqlite:////var/lib/promo.db for one from
    the root, or postgresql://user@host/database?campaign=promo for a campaign that many machines
    run together (the password from PGPASSWORD or ~/.pgpass).
    """


def _with(options: Common, url: str, work: Callable[[Campaign], Awaitable[Any]]) -> Any:
    """Do something with an open campaign, and a client that never sends."""
    client = AsyncBotsClient(SANDBOX_KEY, dialect=options.dialect)

    async def whole() -> Any:
        async with client, Campaign.open(url, client) as opened:
            return await work(opened)

    return options.run(whole)


def _say(options: Common, document: dict[str, Any], lines: list[str]) -> None:
    click.echo(json.dumps(document, ensure_ascii=False) if options.json else "\n".join(lines))


@campaign.command()
@common_options(hidden=True)
@click.argument("url")
@click.argument("file", type=_FILE)
@row_options
def load(
    url: str, file: Path, form: Format | None, channel: str | None, template: str | None
) -> None:
    """Add the rows of FILE; rows that are there already add nothing."""
    options = common()
    shown = 0

    def progress(rows: int) -> None:
        nonlocal shown
        if rows >= shown + _PROGRESS_EVERY:
            shown = rows
            click.echo(f"{rows} rows read", err=True)

    async def work(opened: Campaign) -> LoadReport:
        return await opened.load(
            file, format=form, channel=channel, template=template, progress=progress
        )

    with explained(as_json=options.json):
        report: LoadReport = _with(options, url, work)
    document = {
        "rows": report.rows,
        "added": report.added,
        "duplicates": report.duplicates,
        "rejected": report.rejected,
        "bad_rows": [{"line": bad.line, "help": bad.problem} for bad in report.bad_rows],
        "seconds": round(report.seconds, 3),
    }
    _say(options, document, _load_lines(report))
    click.get_current_context().exit(Exit.REJECTED if report.rejected else Exit.OK)


def _load_lines(report: LoadReport) -> list[str]:
    lines = [
        (
            f"{report.rows} rows in {report.seconds:.1f} s: {report.added} added, "
            f"{report.duplicates} there before, {report.rejected} bad."
        )
    ]
    lines += [f"  line {bad.line}: {bad.problem}" for bad in report.bad_rows[:_BAD_ROWS_SHOWN]]
    if report.rejected > _BAD_ROWS_SHOWN:
        lines.append(f"  and {report.rejected - _BAD_ROWS_SHOWN} more; an export has all of them")
    return lines


campaign.add_command(run)


@campaign.command()
@common_options(hidden=True)
@click.argument("url")
def status(url: str) -> None:
    """Count the messages by state and reason."""
    options = common()
    with explained(as_json=options.json):
        found: CampaignStatus = _with(options, url, lambda opened: opened.status())
    _say(options, found.as_dict(), status_lines(found))


def status_lines(found: CampaignStatus) -> list[str]:
    """Return a status for people."""
    lines = [f"{found.total} messages."]
    for state, number in found.counts.items():
        lines.append(f"  {state:<11} {number:>9}   {_MEANINGS[state]}")
        for reason, count in found.reasons.get(state, {}).items():
            lines.append(f"  {'':<11} {count:>9}   - {reason}")
    lines += [f"  {kind:<11} {number:>9}   no message" for kind, number in found.aside.items()]
    return lines + fleet_lines(found)


def fleet_lines(found: CampaignStatus) -> list[str]:
    """Return who works on a campaign, for people; nothing where nobody does."""
    fleet = found.fleet
    if not (fleet.workers or fleet.leases):
        return []
    alive = sum(worker.alive for worker in fleet.workers)
    lines = [
        (
            f"{alive} of {len(fleet.workers)} workers alive, {found.rate:.0f}/s in all; "
            f"{fleet.leased} messages in {fleet.leases} leases."
        )
    ]
    for worker in fleet.workers:
        state = f"{worker.rate:>7.0f}/s" if worker.alive else "   silent"
        lines.append(
            f"  {worker.name:<32} {state}   {worker.recorded:>9} recorded, "
            f"last beat {worker.beat:.0f} s ago"
        )
    return lines


@campaign.command()
@common_options(hidden=True)
@click.argument("url")
@click.argument("file", type=_FILE)
@format_option("by its suffix")
def export(url: str, file: Path, form: Format | None) -> None:
    """Write one line for each input row to FILE, with what became of it."""
    options = common()
    with explained(as_json=options.json):
        number = _with(options, url, lambda opened: opened.export(file, format=form))
    _say(options, {"lines": number, "file": str(file)}, [f"{number} lines in {file}."])


@campaign.command()
@common_options(hidden=True)
@click.argument("url")
@click.argument("decision", type=click.Choice([str(each) for each in Resolution]))
def resolve(url: str, decision: str) -> None:
    """Settle the messages whose fate is unknown.

    hold leaves them, assume_sent counts them as sent, resend sends them again in the next run:
    most of them had arrived, and will arrive twice.
    """
    options = common()
    with explained(as_json=options.json):
        report: ResolveReport = _with(options, url, lambda opened: opened.resolve(decision))
    document = {
        "held": report.held,
        "assumed_sent": report.assumed_sent,
        "resend": report.resend,
    }
    said = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in document.items())
    _say(options, document, [f"Unknown messages: {said}."])
