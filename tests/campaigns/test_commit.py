"""Group commit: one write for all who wait, and one failure for all who waited."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from aldeamo_async import CampaignError
from aldeamo_async.campaigns._commit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.real_clock


class Disk:
    """A slow disk: each write waits until it is let through; it keeps the batches."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Semaphore(0)
        self.failure = failure

    def apply(self, ops: Sequence[int]) -> list[Any]:
        self.gate.acquire()
        self.batches.append(list(ops))
        if self.failure is not None:
            raise self.failure
        return [ValueError("odd") if op == 13 else op * 10 for op in ops]


async def test_those_who_wait_share_the_next_write() -> None:
    """The first writes alone; all who came meanwhile are one batch."""
    disk = Disk()
    commits = GroupCommit(disk.apply)
    answers: dict[int, int] = {}

    async def submit(op: int) -> None:
        answers[op] = await commits.submit(op)

    async with anyio.create_task_group() as tasks:
        for op in range(5):
            tasks.start_soon(submit, op)
        await anyio.wait_all_tasks_blocked()
        disk.gate.release(2)
    assert sorted(map(len, disk.batches)) == [1, 4]
    assert answers == {op: op * 10 for op in range(5)}


async def test_a_failed_commit_fails_for_every_waiter() -> None:
    """Leader and followers are all told, each with an error of its own."""
    disk = Disk(CampaignError("disk full"))
    commits = GroupCommit(disk.apply)
    errors: list[Exception] = []

    async def submit(op: int) -> None:
        try:
            await commits.submit(op)
        except CampaignError as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        for op in range(6):
            tasks.start_soon(submit, op)
        await anyio.wait_all_tasks_blocked()
        disk.gate.release(2)
    assert [str(error) for error in errors] == ["disk full"] * 6
    assert len(set(map(id, errors))) == 6


async def test_one_operation_may_fail_alone() -> None:
    """An error in one place of a batch is that caller's alone."""
    disk = Disk()
    commits = GroupCommit(disk.apply)
    found: dict[int, object] = {}

    async def submit(op: int) -> None:
        try:
            found[op] = await commits.submit(op)
        except ValueError as error:
            found[op] = str(error)

    async with anyio.create_task_group() as tasks:
        for op in (1, 13, 2):
            tasks.start_soon(submit, op)
        await anyio.wait_all_tasks_blocked()
        disk.gate.release(2)
    assert found == {1: 10, 13: "odd", 2: 20}


async def test_a_cancelled_waiter_waits_and_the_lead_goes_on() -> None:
    """Whoever is cancelled in the queue stays until its write is done; later ones are served."""
    disk = Disk()
    commits = GroupCommit(disk.apply)
    async with anyio.create_task_group() as tasks:
        for op in range(3):
            tasks.start_soon(commits.submit, op)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        disk.gate.release(2)
    assert sorted(op for batch in disk.batches for op in batch) == [0, 1, 2]
    disk.gate.release()
    assert await commits.submit(7) == 70
