"""Progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from aldeamo_async.cli._screen import LINE_EVERY_SECONDS, Screen
from aldeamo_async.cli._tally import Tally


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at zero."""
    return Clock()


def plain() -> Console:
    return Console(file=io.StringIO(), width=200, highlight=False)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_lines_every_few_seconds(clock: Clock) -> None:
    """Without a terminal a line comes every few seconds, with rate, time left and counts."""
    console = plain()
    tally = Tally(sent=8, rejected=1, unknown=1)
    with Screen(100, console=console, clock=clock) as screen:
        clock.now = LINE_EVERY_SECONDS / 2
        screen.show(tally)
        assert text_of(console) == ""
        clock.now = LINE_EVERY_SECONDS
        screen.show(tally, frozen_for=1.25)
        screen.show(tally)
    assert text_of(console) == (
        "10 of 100 rows, 2/s, 45 s left: sent 8, rejected 1, unknown 1; "
        "waiting 1.2 s, as the server asked\n"
    )


def test_plain_lines_without_a_total(clock: Clock) -> None:
    """A pipe has no total and no time left."""
    console = plain()
    with Screen(None, console=console, clock=clock) as screen:
        clock.now = 10.0
        screen.show(Tally(sent=10))
    assert text_of(console) == "10 rows, 1/s: sent 10, rejected 0, unknown 0\n"


def test_nothing_is_divided_by_zero(clock: Clock) -> None:
    """With no row done there is no rate, and so no time left."""
    console = plain()
    with Screen(5, console=console, clock=clock) as screen:
        clock.now = LINE_EVERY_SECONDS
        screen.show(Tally())
    assert text_of(console) == "0 of 5 rows, 0/s: sent 0, rejected 0, unknown 0\n"


@pytest.mark.parametrize("total", [50, None])
def test_a_bar_on_a_terminal(clock: Clock, total: int | None) -> None:
    """A terminal gets a bar with rate and the three counts, and lines stand above it."""
    console = Console(file=io.StringIO(), width=160, force_terminal=True, color_system=None)
    with Screen(total, console=console, clock=clock) as screen:
        clock.now = 2.0
        screen.show(Tally(sent=18, rejected=1, unknown=1), frozen_for=3.0)
        screen.say("[not markup]")
    shown = text_of(console)
    for piece in (
        "20/",
        "10/s",
        "sent 18",
        "rejected 1",
        "unknown 1",
        "waiting 3.0 s",
        "[not markup]",
    ):
        assert piece in shown
