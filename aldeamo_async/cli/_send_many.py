"""``aldeamo send-many``: a whole file, row by row, each with its verdict.

Rule: a file is read twice, once to check every row and once to send; a pipe is read once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .._errors import UsageError
from .._files import Format, RowMaker, Template
from ._bulk_file import Job, send_file
from ._common import Common, common, common_options
from ._exit import Exit, Failure, explained
from ._limit import limit_options, limiter_of
from ._report import bad_lines, check_document, check_lines
from ._results import STDOUT, results_to
from ._row_options import row_options

_PATH = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.command("send-many")
@common_options(hidden=True)
@click.argument("file", type=_PATH)
@row_options
@limit_options
@click.option(
    "--burst", type=click.FloatRange(min=1), help="Messages at once within --rate. Default: smooth."
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Messages in flight at one time.",
)
@click.option(
    "--ordered", is_flag=True, help="Keep the messages of each client in the order of the file."
)
@click.option(
    "--dry-run", is_flag=True, help="Check every row and count sms segments; send nothing."
)
@click.option("--strict", is_flag=True, help="Send nothing if any row is bad.")
@click.option(
    "--results",
    type=_PATH,
    help="Where verdicts go: .jsonl, .csv, or - for stdout. Default: FILE.results.jsonl.",
)
@click.option("--force", is_flag=True, help="Overwrite the results file.")
def send_many(
    file: Path,
    form: Format | None,
    channel: str | None,
    template: str | None,
    rate: float | None,
    shared_limit: str | None,
    limit_name: str,
    burst: float | None,
    concurrency: int,
    ordered: bool,
    dry_run: bool,
    strict: bool,
    results: Path | None,
    force: bool,
) -> None:
    """Send every row of FILE, and write down what became of each.

    FILE is CSV with a header, or JSON lines, in UTF-8, with the columns channel, client_id and
    text; - is stdin. Every row is sent, rejected (not delivered) or unknown (may have been
    delivered, never sent again by itself). Ctrl-C takes no more rows and lets those in flight
    finish; a second one cancels them.
    """
    options = common()
    with explained(as_json=options.json, interrupted="Interrupted before anything was sent."):
        job = Job(
            file=file,
            form=form,
            maker=RowMaker(options.dialect, channel, Template(template) if template else None),
            results=results,
            force=force,
        )
        if dry_run:
            code = _check_only(job, options)
        else:
            limiter = limiter_of(rate, shared_limit, limit_name, burst)
            client = options.client(limiter=limiter, max_connections=concurrency)
            total = _check_first(job, strict=strict, options=options)
            report = send_file(
                job, client, options.run, total=total, concurrency=concurrency, ordered=ordered
            )
            _print(report.document(), report.lines(), options, apart=results == STDOUT)
            code = report.code
    click.get_current_context().exit(code)


def _check_only(job: Job, options: Common) -> Exit:
    """Do the dry run: every row checked and measured, nothing sent."""
    with results_to(job.results, force=job.force) as results:
        found = job.check(results, measured=True)
    _print(check_document(found), check_lines(found), options, apart=job.results == STDOUT)
    return Exit.REJECTED if found.bad else Exit.OK


def _check_first(job: Job, *, strict: bool, options: Common) -> int | None:
    """Check every row of a file before the first is sent; return how many there are."""
    if not job.rereadable:
        if strict:
            raise UsageError("--strict needs a file; rows from stdin can be read only once.")
        return None
    with results_to(None, force=False) as nowhere:
        found = job.check(nowhere, measured=False)
    for line in bad_lines(found):
        click.echo(line, err=True)
    if strict and found.bad:
        raise Failure(
            f"{found.bad} of {found.rows} rows are bad, and --strict was given: nothing was sent.",
            Exit.REJECTED,
            kind="BadRows",
            as_json=options.json,
        )
    return found.rows


def _print(document: dict[str, Any], lines: list[str], options: Common, *, apart: bool) -> None:
    """Print a report on stdout; ``apart``, on stderr, where stdout holds the rows."""
    if options.json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo("\n".join(lines), err=apart)
