"""``aldeamo demo``: the guided tour, and its report for people.

Rule: the exit code is 0 only if nothing was delivered twice and the report adds up.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import click

from ..demo import RATE, ROWS, Counts, DemoReport, tour
from ._common import Common, common, common_options
from ._exit import Exit, explained
from ._extras import need_sandbox
from ._screen import Screen

_NEXT: Final = """
Next:
  aldeamo --sandbox users whatsapp            look at invented users; no key needed
  aldeamo sandbox                             keep a sandbox running for your own program
  aldeamo send-many your-file.csv --dry-run   check a file of your own before you send it"""


@click.command("demo")
@common_options(hidden=True)
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write demo.csv into this folder and leave it there. Default: a temporary folder.",
)
@click.option(
    "--rows", type=click.IntRange(min=1), default=ROWS, show_default=True, help="Messages to send."
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of the sandbox's weather."
)
def demo(folder: Path | None, rows: int, seed: int) -> None:
    """Watch 2,000 messages go through rough weather, and see what became of them.

    Starts a sandbox on a loopback socket, writes a CSV file, sends it with send_many through the
    real transport, and reports. No key, no service, nothing leaves this machine.
    """
    options = common()
    with (
        explained(as_json=options.json, interrupted="The demo was interrupted."),
        ExitStack() as stack,
    ):
        need_sandbox()
        if folder is None:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aldeamo-demo-")))
        else:
            place = folder
            place.mkdir(parents=True, exist_ok=True)
        report = _run(options, place, rows, seed)
    if options.json:
        document = attrs.asdict(report) | {"adds_up": report.adds_up}
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(text_of(report))
        click.echo(_NEXT)
    click.get_current_context().exit(Exit.OK if report.adds_up else Exit.FAULT)


def _run(options: Common, place: Path, rows: int, seed: int) -> DemoReport:
    with Screen(rows) as screen:

        def show(counts: Counts) -> None:
            screen.show(counts, frozen_for=counts.frozen_for)

        report: DemoReport = options.run(partial(tour, place, rows=rows, seed=seed, progress=show))
    return report


def text_of(report: DemoReport) -> str:
    """Write the report out for a person."""
    problems = ", ".join(f"{name} {count}" for name, count in report.problems.items())
    end = "The report adds up." if report.adds_up else "IT DOES NOT ADD UP: please report this."
    return f"""\
{report.rows} messages in {report.seconds} s ({report.rate}/s), through {report.faults} faults.

  sent       {report.sent:>6}   the API said yes
  rejected   {report.rejected:>6}   the API or the network said no: not delivered
  unknown    {report.unknown:>6}   no proof either way, so never sent again

The sandbox's own count:
  delivered  {report.delivered:>6}   {report.sent} sent + {report.unknown_delivered} of the unknown
  duplicates {report.duplicates:>6}   messages that arrived twice
  Of {report.unknown} unknown, {report.unknown_delivered} had arrived: a blind retry would have
  delivered those twice.

Requests {report.requests}, retries {report.retries}. {_brake(report)}
What stood in the way: {problems or "nothing"}.
{end}"""


def _brake(report: DemoReport) -> str:
    if not report.throttled:
        return "The API never refused, so the limiter had no reason to brake."
    return (
        f"The API refused {report.throttled} times: the limiter froze for up to "
        f"{report.longest_freeze} s and braked from {RATE:g}/s to {report.lowest_rate:g}/s."
    )
