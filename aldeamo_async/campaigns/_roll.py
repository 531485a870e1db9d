"""The roll of workers, for ledgers that one process has to itself.

Rule: a beat is two numbers and a moment; who is alive is decided by whoever looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from ._nouns import Worker

if TYPE_CHECKING:
    from collections.abc import Callable


@frozen
class _Beat:
    at: float
    recorded: int


class Roll:
    """Keeps the last two beats of each worker: the rate is what lies between them."""

    def __init__(self, clock: Callable[[], float], lease: float) -> None:
        self._clock = clock
        self._lease = lease
        self._beats: dict[str, tuple[_Beat, _Beat]] = {}

    def beat(self, worker: str, recorded: int) -> None:
        """Note a beat."""
        beat = _Beat(self._clock(), recorded)
        self._beats[worker] = (self._beats.get(worker, (beat, beat))[1], beat)

    def leave(self, worker: str) -> None:
        """Forget a worker."""
        self._beats.pop(worker, None)

    def workers(self) -> tuple[Worker, ...]:
        """Return all workers, by name."""
        return tuple(self._worker(name) for name in sorted(self._beats))

    def _worker(self, name: str) -> Worker:
        before, last = self._beats[name]
        age, span = self._clock() - last.at, last.at - before.at
        rate = (last.recorded - before.recorded) / span if span > 0 else 0.0
        return Worker(name, age < self._lease, age, last.recorded, rate)
