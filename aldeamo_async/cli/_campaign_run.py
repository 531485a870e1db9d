"""``aldeamo campaign run``: one run, watched.

Rule: the first Ctrl-C or SIGTERM starts nothing more and lets what is in flight finish, so nothing
becomes unknown by it; running again goes on.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import anyio
import click
from click.core import ParameterSource

from .._errors import UsageError
from ..campaigns import Campaign, Progress, RunReport, SendWindow, State
from ._cluster import start
from ._common import common, common_options
from ._exit import Exit, explained
from ._interrupt import Interrupts
from ._limit import limit_options, limiter_of
from ._screen import Screen
from ._shown import INTERRUPTED, TICK_SECONDS, Shown

if TYPE_CHECKING:
    from datetime import date, datetime

    from .._client import AsyncBotsClient

_COUNT: Final = click.IntRange(min=1)
_LAW_ZONE: Final = "America/Bogota"
# What the workers decide, or what only one process can keep.
_NOT_OF_A_CLUSTER: Final = (
    *("concurrency", "rate", "shared_limit", "limit_name"),
    *("ordered", "max_rejected", "max_unknown"),
)


@click.command("run")
@common_options(hidden=True)
@click.argument("url")
@click.option(
    "--concurrency", type=_COUNT, default=200, show_default=True, help="Messages in flight."
)
@limit_options
@click.option("--ordered", is_flag=True, help="Keep each client's messages in the input's order.")
@click.option("--max-rejected", type=_COUNT, help="Stop at so many rejected. Default: go on.")
@click.option("--max-unknown", type=_COUNT, help="Stop at so many unknown. Default: go on.")
@click.option(
    "--max-attempts",
    type=_COUNT,
    default=25,
    show_default=True,
    help="Give a message up after so many attempts.",
)
@click.option(
    "--hours",
    multiple=True,
    metavar="DAYS=FROM-TO",
    help="Start messages only then: mon-fri=08:00-18:00. May be given more than once.",
)
@click.option(
    "--zone", default=_LAW_ZONE, show_default=True, help="The time zone of --hours and --holiday."
)
@click.option(
    "--ley-2300",
    is_flag=True,
    help="The hours of Colombia's Ley 2300 de 2023 (no legal advice); needs --holiday.",
)
@click.option(
    "--holiday",
    "holidays",
    multiple=True,
    type=click.DateTime(["%Y-%m-%d"]),
    help="A date without messages. May be given more than once.",
)
@click.option("--cluster", is_flag=True, help='Have "aldeamo worker" send it, on many machines.')
@click.option("--detach", is_flag=True, help="With --cluster: start it and leave.")
def run(
    url: str,
    concurrency: int,
    rate: float | None,
    cluster: bool,
    detach: bool,
    shared_limit: str | None,
    limit_name: str,
    hours: tuple[str, ...],
    zone: str,
    ley_2300: bool,
    holidays: tuple[datetime, ...],
    **rules: Any,
) -> None:
    """Send what is pending, until nothing is. Run it again after a crash: it goes on.

    Ctrl-C or SIGTERM starts nothing more and lets those in flight finish.
    """
    options = common()
    with explained(as_json=options.json):
        closed = {moment.date() for moment in holidays}
        window = window_of(hours, zone, closed, ley_2300=ley_2300)
        _check_cluster(cluster=cluster, detach=detach)
    if cluster:
        start(options, url, window, rules["max_attempts"], detach=detach)
    with explained(as_json=options.json):
        rules["window"] = window
        rules["concurrency"] = concurrency
        limiter = limiter_of(rate, shared_limit, limit_name)
        client = options.client(limiter=limiter, max_connections=concurrency)
        with Interrupts() as interrupts:
            report: RunReport = options.run(lambda: _watched(url, client, interrupts, rules))
    if options.json:
        click.echo(json.dumps(report.as_dict(), ensure_ascii=False))
    else:
        click.echo("\n".join(run_lines(report)))
    click.get_current_context().exit(exit_code(report))


def _check_cluster(*, cluster: bool, detach: bool) -> None:
    if not cluster:
        if detach:
            raise UsageError("--detach leaves the workers of --cluster alone; it needs --cluster.")
        return
    context = click.get_current_context()
    given = [
        name
        for name in _NOT_OF_A_CLUSTER
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(
            f"{options} cannot be given with --cluster: --concurrency and the rate belong to each "
            "aldeamo worker, and the others only one process can keep."
        )


def window_of(
    hours: tuple[str, ...], zone: str, holidays: set[date], *, ley_2300: bool
) -> SendWindow | None:
    """Return the send window that the options describe, or ``None``."""
    if ley_2300:
        if hours or not holidays:
            raise UsageError("--ley-2300 sets the hours itself, and needs its --holiday dates.")
        return SendWindow.ley_2300(holidays=holidays)
    if not hours:
        return None
    found: dict[str, list[str]] = {}
    for entry in hours:
        days, _, span = entry.partition("=")
        found[days] = span.split("-")
        if len(found[days]) != 2:
            raise UsageError(f"--hours {entry}: write it as mon-fri=08:00-18:00.")
    return SendWindow(found, zone, holidays=holidays)


async def _watched(
    url: str, client: AsyncBotsClient, interrupts: Interrupts, rules: dict[str, Any]
) -> RunReport:
    async with client, Campaign.open(url, client) as opened:
        pending = (await opened.status()).counts[State.PENDING]
        report = None
        with Screen(pending) as screen:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_watch, opened, client, interrupts, screen)
                report = await opened.run(**rules)
                tasks.cancel_scope.cancel()
            assert report is not None  # noqa: S101 - a task group swallows no error
            screen.show(Shown(report.sent, report.rejected, report.unknown))
    return report


async def _watch(
    opened: Campaign, client: AsyncBotsClient, interrupts: Interrupts, screen: Screen
) -> None:
    """Look after the screen and the interrupts until the run is done."""
    told = False
    while True:
        await anyio.sleep(TICK_SECONDS)
        progress = opened.progress or Progress()
        limits = client.stats().limiter
        shown = Shown(progress.sent, progress.rejected, progress.unknown)
        note = _note(progress, limits.rate, limits.effective_rate)
        screen.show(shown, frozen_for=limits.frozen_for, note=note)
        if interrupts.count and not told:
            told = True
            screen.say(f"Stopping: {progress.in_flight} in flight are finishing.")
            opened.stop(INTERRUPTED)


def _note(progress: Progress, rate: float, effective: float) -> str:
    """Say what the run waits for, and how the limiter stands."""
    if progress.waiting:
        return f"waiting for {progress.waiting}"
    limit = "" if rate == float("inf") else f"limit {rate:g}/s"
    braked = f"braked to {effective:.3g}/s" if effective < rate else ""
    return ", ".join(filter(None, (limit, braked)))


def exit_code(report: RunReport) -> Exit:
    """Return how a run ended, judged by the whole campaign."""
    counts = report.status.counts
    if report.stopped == INTERRUPTED and not report.status.done:
        return Exit.INTERRUPTED
    if any(reason.startswith("AuthError") for reason in report.reasons):
        return Exit.AUTH
    if counts[State.UNKNOWN]:
        return Exit.UNKNOWN
    return Exit.REJECTED if counts[State.REJECTED] else Exit.OK


def run_lines(report: RunReport) -> list[str]:
    """Return the report for people."""
    lines = [
        (
            f"{report.sent + report.rejected + report.unknown} messages in {report.seconds:.1f} s "
            f"({report.rate:.0f}/s, {report.attempts} attempts)."
        ),
        *(f"  {state:<11} {n:>9}   in all" for state, n in report.status.counts.items()),
    ]
    if report.taken_over:
        lines.append(f"{report.taken_over} were in flight when an earlier run died: now unknown.")
    if report.put_off:
        lines.append(f"{report.put_off} times a message was put off and came up again later.")
    if report.reasons:
        kinds = ", ".join(f"{reason} {count}" for reason, count in report.reasons.items())
        lines.append(f"What stood in the way: {kinds}.")
    if report.phases:
        slowest = report.phases[0]
        lines.append(f"Most time went into: {slowest.phase} (longest {slowest.longest:.2f} s).")
    if report.stopped:
        lines.append(f"Stopped early: {report.stopped}. Run it again to go on.")
    return lines
