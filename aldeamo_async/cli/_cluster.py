"""``aldeamo campaign run --cluster`` and ``aldeamo worker``: one campaign, many processes.

Rule 1: whoever starts a campaign sends nothing and needs no key; the workers do, and each has its
own.
Rule 2: the first Ctrl-C or SIGTERM of a worker takes nothing more, lets what is in flight finish,
and gives the rest back to the others. Whoever only watches just leaves.
"""

from __future__ import annotations

import json
import logging
from contextlib import AsyncExitStack, contextmanager, nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import anyio
import click

from .._client import AsyncBotsClient
from .._errors import UsageError
from ..campaigns import Campaign, CampaignStatus, Progress, State
from ._common import SANDBOX_KEY, Common, common, common_options
from ._exit import Exit, explained
from ._extras import cluster
from ._interrupt import Interrupts
from ._limit import limit_options, limiter_of
from ._screen import Screen
from ._shown import INTERRUPTED, TICK_SECONDS, Shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from ..campaigns import SendWindow
    from ..campaigns._cluster import Worker

_COUNT: Final = click.IntRange(min=1)
_LOOK_SECONDS: Final = 1.0  # between two looks at the whole campaign
_LOOK_SHARE: Final = 20.0  # counting takes at most a twentieth of the time


def start(
    options: Common, url: str, window: SendWindow | None, max_attempts: int, *, detach: bool
) -> None:
    """Have the workers send a campaign, watch them until they are done, and say how it ended."""
    with explained(as_json=options.json), Interrupts() as interrupts:
        room = cluster()
        order = room.Order(max_attempts, window)

        async def work() -> tuple[int, CampaignStatus]:
            async with AsyncExitStack() as stack:
                client = AsyncBotsClient(SANDBOX_KEY, dialect=options.dialect)
                opened = await stack.enter_async_context(Campaign.open(url, client))
                queue = await stack.enter_async_context(room.opened_queue(url))
                chunks = await room.start(opened, queue, order)
                if detach:
                    return chunks, await opened.status()
                return chunks, await _watched(opened, interrupts)

        chunks, status = _on_asyncio(options, work)
    document = {"chunks": chunks, "detached": detach, "status": status.as_dict()}
    lines = [
        f"{chunks} chunks for the workers: aldeamo worker URL, on any number of machines.",
        *(f"  {state:<11} {number:>9}" for state, number in status.counts.items()),
    ]
    if interrupts.count and not status.done:
        lines.append("The workers go on. Stop them to stop the campaign; look with: status.")
    click.echo(json.dumps(document, ensure_ascii=False) if options.json else "\n".join(lines))
    left = Exit.OK if detach else Exit.INTERRUPTED
    click.get_current_context().exit(left if not status.done else judged(status))


def judged(status: CampaignStatus) -> Exit:
    """Return the exit code of a campaign that is done."""
    if status.counts[State.UNKNOWN]:
        return Exit.UNKNOWN
    return Exit.REJECTED if status.counts[State.REJECTED] else Exit.OK


def _on_asyncio(options: Common, work: Callable[[], Awaitable[Any]]) -> Any:
    if options.backend != "asyncio":
        raise UsageError("Workers need asyncio: procrastinate, which hands out their jobs, does.")
    with nullcontext() if options.verbose else _engine_is_silent():
        return options.run(work)


@contextmanager
def _engine_is_silent() -> Generator[None]:
    """What the engine has to say of a lost database, the ledger says in one line."""
    loggers = [logging.getLogger(name) for name in ("procrastinate", "psycopg.pool")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


async def _watched(opened: Campaign, interrupts: Interrupts) -> CampaignStatus:
    """Show the whole campaign until it is done or nobody wants to see it any more."""
    status = await opened.status()
    next_look = anyio.current_time()
    with Screen(status.total) as screen:
        while not (status.done or interrupts.count):
            await anyio.sleep(TICK_SECONDS)
            if anyio.current_time() < next_look:
                continue
            began = perf_counter()
            status = await opened.status()
            pause = max(_LOOK_SECONDS, _LOOK_SHARE * (perf_counter() - began))
            next_look = anyio.current_time() + pause
            counts = status.counts
            alive = sum(worker.alive for worker in status.fleet.workers)
            shown = Shown(counts[State.SENT], counts[State.REJECTED], counts[State.UNKNOWN])
            screen.show(shown, note=f"{alive} at work" if alive else "waiting for a worker")
    return status


@click.command("worker")
@common_options(hidden=True)
@click.argument("url")
@click.option(
    "--concurrency", type=_COUNT, default=200, show_default=True, help="Messages in flight."
)
@limit_options
@click.option("--until-done", is_flag=True, help="End when nothing is left to send. Default: wait.")
def worker(
    url: str,
    concurrency: int,
    rate: float | None,
    shared_limit: str | None,
    limit_name: str,
    until_done: bool,
) -> None:
    """Work off a campaign that "campaign run --cluster" started, together with others.

    Start any number, on any machine, at any time. Ctrl-C or SIGTERM takes nothing more and lets
    those in flight finish; a worker that is killed loses nothing and doubles nothing.
    """
    options = common()
    with explained(as_json=options.json), Interrupts() as interrupts:
        room = cluster()
        limiter = limiter_of(rate, shared_limit, limit_name)
        client = options.client(limiter=limiter, max_connections=concurrency)

        async def work() -> tuple[str | None, Progress, CampaignStatus]:
            async with client, AsyncExitStack() as stack:
                opened = await stack.enter_async_context(Campaign.open(url, client))
                queue = await stack.enter_async_context(room.opened_queue(url))
                one = room.Worker(opened, queue, concurrency=concurrency, until_done=until_done)
                await _working(one, opened, interrupts)
                return one.stopped, opened.progress or Progress(), await opened.status()

        stopped, done, status = _on_asyncio(options, work)
    document = {
        "sent": done.sent,
        "rejected": done.rejected,
        "unknown": done.unknown,
        "put_off": done.put_off,
        "stopped": stopped,
        "status": status.as_dict(),
    }
    said = f"This worker: {done.sent} sent, {done.rejected} rejected, {done.unknown} unknown."
    lines = [said, f"Ended: {stopped}."]
    click.echo(json.dumps(document, ensure_ascii=False) if options.json else "\n".join(lines))
    click.get_current_context().exit(_exit_code(stopped or "", status))


async def _working(one: Worker, opened: Campaign, interrupts: Interrupts) -> None:
    with Screen(None) as screen:
        screen.say("Waiting for jobs.")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.run)
            await _watch(one, opened, interrupts, screen)


async def _watch(one: Worker, opened: Campaign, interrupts: Interrupts, screen: Screen) -> None:
    """Look after the screen and the interrupts until the worker takes nothing more."""
    while one.stopped is None:
        await anyio.sleep(TICK_SECONDS)
        done = opened.progress or Progress()
        screen.show(Shown(done.sent, done.rejected, done.unknown))
        if interrupts.count:
            screen.say(f"Stopping: {done.in_flight} in flight are finishing.")
            one.stop(INTERRUPTED)


def _exit_code(stopped: str, status: CampaignStatus) -> Exit:
    """Return how a worker ended, judged by the whole campaign where that is done."""
    if stopped.startswith(cluster().REFUSED_KEY):
        return Exit.AUTH
    return judged(status) if status.done else Exit.INTERRUPTED
