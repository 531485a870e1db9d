"""What a person sees while messages go out.

Rule 1: everything here goes to stderr; stdout belongs to the report.
Rule 2: on a terminal a bar with rate, time left and the three counts; elsewhere a plain line every
few seconds.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

LINE_EVERY_SECONDS: Final = 5.0  # often enough to see life in a log, seldom enough not to fill it


class Counts(Protocol):
    """What is shown of a run."""

    sent: int
    rejected: int
    unknown: int

    @property
    def rows(self) -> int:
        """Rows that are done."""
        ...


class Screen:
    """The progress of one run; ``total`` is ``None`` while nobody knows it (a pipe)."""

    def __init__(
        self,
        total: int | None,
        *,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._clock = clock
        self._total = total
        self._begun = self._printed = clock()
        self._bar = _bar(self._console) if self._console.is_terminal else None
        self._task = self._bar.add_task("sending", total=total, **_AT_FIRST) if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        self._console.print(text, markup=False, soft_wrap=True)

    def show(self, counts: Counts, *, frozen_for: float = 0.0, note: str = "") -> None:
        """Show the present counts; ``frozen_for`` is how many seconds the server made us wait."""
        seconds = self._clock() - self._begun
        rate = counts.rows / seconds if seconds > 0 else 0.0
        if frozen_for > 0:
            note = f"waiting {frozen_for:.1f} s, as the server asked"
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                completed=counts.rows,
                rate=rate,
                sent=counts.sent,
                rejected=counts.rejected,
                unknown=counts.unknown,
                note=note,
            )
            self._bar.refresh()
        elif self._clock() - self._printed >= LINE_EVERY_SECONDS:
            self._printed = self._clock()
            self.say(self._line(counts, rate, note))

    def _line(self, counts: Counts, rate: float, note: str) -> str:
        of = left = ""
        if self._total is not None:
            of = f" of {self._total}"
            left = f", {(self._total - counts.rows) / rate:.0f} s left" if rate else ""
        return (
            f"{counts.rows}{of} rows, {rate:.0f}/s{left}: sent {counts.sent}, "
            f"rejected {counts.rejected}, unknown {counts.unknown}{'; ' if note else ''}{note}"
        )


_AT_FIRST: Final[dict[str, Any]] = {"rate": 0.0, "sent": 0, "rejected": 0, "unknown": 0, "note": ""}


def _bar(console: Console) -> Progress:
    # Refreshed by hand: a thread of its own would draw between two counts.
    return Progress(
        SpinnerColumn(),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeRemainingColumn(),
        TextColumn("[green]sent {task.fields[sent]}"),
        TextColumn("[red]rejected {task.fields[rejected]}"),
        TextColumn("[yellow]unknown {task.fields[unknown]}"),
        TextColumn("{task.fields[note]}"),
        console=console,
        auto_refresh=False,
        expand=True,
    )
