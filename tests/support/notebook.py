"""An observer for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aldeamo_async.telemetry import CallRecord, Observer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aldeamo_async import ClientStats


class Notebook(Observer):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.records: list[CallRecord] = []
        self.waits: list[float] = []
        self.looks: list[Callable[[], ClientStats | None]] = []

    def joined(self, look: Callable[[], ClientStats | None]) -> None:
        self.looks.append(look)

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def ended(self, record: CallRecord) -> None:
        self.records.append(record)
