"""What a worker has to tell the account, until it has been told.

Rule: what was on its way when a round trip failed is told again; nothing is told twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

if TYPE_CHECKING:
    from ._account import LeaseRequest


class News:
    """A new rate, a freeze and a refusal, in times of the worker's clock."""

    __slots__ = ("_introduced", "_on_the_way", "frozen_until", "rate", "refused_at")

    def __init__(self) -> None:
        self.rate = True  # the first word on the rate is said by whoever starts last
        self.frozen_until: float | None = None
        self.refused_at: float | None = None
        self._introduced = False
        self._on_the_way: tuple[bool, float | None, float | None] = (False, None, None)

    @property
    def pressing(self) -> bool:
        """Whether there is something that others should know now; a first rate can wait."""
        told_before = self._introduced and self.rate
        return told_before or self.frozen_until is not None or self.refused_at is not None

    def add_to(self, ask: LeaseRequest, now: float) -> LeaseRequest:
        """Write the news into a request that leaves at ``now``."""
        self._on_the_way = (self.rate, self.frozen_until, self.refused_at)
        until, at = self.frozen_until, self.refused_at
        self.rate, self.frozen_until, self.refused_at = False, None, None
        return evolve(
            ask,
            declare=self._on_the_way[0],
            freeze=None if until is None else max(0.0, until - now),
            refused=None if at is None else max(0.0, now - at),
        )

    def told(self) -> None:
        """Take note that the request arrived."""
        self._introduced = True
        self._on_the_way = (False, None, None)

    def keep(self) -> None:
        """Take back what was on its way: it did not arrive, or nobody knows."""
        rate, until, at = self._on_the_way
        self._on_the_way = (False, None, None)
        self.rate = self.rate or rate
        if until is not None:
            self.frozen_until = max(until, self.frozen_until or until)
        if at is not None:
            self.refused_at = at
