"""When things go wrong: calm, by a script, or by the dice.

Law: the weather only draws; it is deterministic for a seed and an order of requests.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import deque
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from ._faults import CALM, Fault, Moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Calls = Literal["reads", "sends"]


class Weather:
    """Draws the fault of each request. Make one with `calm`, `sequence`, `random` or `rough`.

    `only` limits it to "reads" or "sends"; the other calls are calm and take nothing from it.
    """

    def __init__(
        self,
        *,
        script: Iterable[Fault | None] = (),
        repeat: bool = False,
        odds: Mapping[Fault, float] | None = None,
        seed: int = 0,
        only: Calls | None = None,
    ) -> None:
        self._script = deque(fault or CALM for fault in script)
        self._repeat = repeat
        self._faults = tuple(odds or ())
        self._edges = list(accumulate((odds or {}).values()))
        if any(chance < 0 for chance in (odds or {}).values()) or sum((odds or {}).values()) > 1:
            raise ValueError("Each probability must be at least 0, and all together at most 1.")
        self._rng = random.Random(seed)  # noqa: S311 (dice for tests, not a secret)
        self._only = only

    @classmethod
    def calm(cls) -> Weather:
        """Nothing goes wrong."""
        return cls()

    @classmethod
    def sequence(
        cls, faults: Iterable[Fault | None], *, repeat: bool = False, only: Calls | None = None
    ) -> Weather:
        """One fault (or None: calm) for each request in turn; then calm, or again from the top."""
        return cls(script=faults, repeat=repeat, only=only)

    @classmethod
    def random(
        cls, odds: Mapping[Fault, float], *, seed: int = 0, only: Calls | None = None
    ) -> Weather:
        """Draw each fault with its probability, 0 to 1. Raises ValueError when they exceed 1."""
        return cls(odds=odds, seed=seed, only=only)

    @classmethod
    def rough(cls, seed: int = 0, *, only: Calls | None = None) -> Weather:
        """A bad day: about one request in ten goes wrong, in every way a busy gateway knows."""
        return cls.random(_ROUGH, seed=seed, only=only)

    @property
    def name(self) -> str:
        """What is to come, in a word: "calm", "rough", the name of the only fault, or "mixed".

        The only fault: the next request's and no other's, or that of every request.
        """
        if self._script:
            names = {fault.name for fault in self._script}
            alone = len(names) == 1 and (self._repeat or len(self._script) == 1)
            return names.pop() if alone else "mixed"
        if self._faults:
            return "rough" if self._faults == tuple(_ROUGH) else "mixed"
        return CALM.name.lower()

    @property
    def lasts(self) -> bool:
        """Whether it stays as it is; a script that is not repeated runs out."""
        return self._repeat or not self._script

    def draw(self, call: Calls) -> Fault:
        """Return the fault of the next request; `CALM` when nothing goes wrong."""
        if self._only not in (None, call):
            return CALM
        if self._script:
            fault = self._script.popleft()
            if self._repeat:
                self._script.append(fault)
            return fault
        if self._faults:
            place = bisect_right(self._edges, self._rng.random())
            return self._faults[place] if place < len(self._faults) else CALM
        return CALM

    def draw_at_accept(self) -> Fault:
        """Return the next fault of a script if it ends a fresh connection; else `CALM`.

        A server that accepts does not know yet which call will come, so this looks only at
        scripts for all calls, and takes nothing else from them.
        """
        if self._only is None and self._script and self._script[0].drop is Moment.ACCEPT:
            return self.draw("sends")
        return CALM

    def __repr__(self) -> str:
        return (
            f"<Weather script={list(self._script)!r} repeat={self._repeat}"
            f" faults={list(self._faults)!r} only={self._only!r}>"
        )


# Waits are short, so that a tour over 2,000 messages takes seconds; hangs outlast a read timeout
# of one second.
_ROUGH: Mapping[Fault, float] = {
    Fault.RATE_LIMITED.with_(retry_after=1): 0.001,
    Fault.RATE_LIMITED_DECIMAL.with_(retry_after=0.1): 0.01,
    Fault.UNAVAILABLE.with_(retry_after="0.1"): 0.01,
    Fault.UNAVAILABLE_BARE: 0.004,
    Fault.SERVER_ERROR: 0.004,
    Fault.BAD_GATEWAY: 0.004,
    Fault.BAD_GATEWAY_DELIVERED: 0.004,
    Fault.STATUS_FALSE: 0.01,
    Fault.CODIGO_ERROR: 0.002,
    Fault.TRUNCATED_JSON: 0.004,
    Fault.NOT_JSON: 0.004,
    Fault.EMPTY_BODY: 0.002,
    Fault.BOM: 0.005,
    Fault.PHP_NOTICE: 0.002,
    Fault.DATA_TEXT: 0.002,
    Fault.DATA_NULL: 0.002,
    Fault.DATA_JSON_TEXT: 0.005,
    Fault.HANG_BEFORE_EFFECT.with_(seconds=2): 0.001,
    Fault.HANG_AFTER_EFFECT.with_(seconds=2): 0.001,
    Fault.DROP_AT_ACCEPT: 0.002,
    Fault.DROP_BEFORE_BODY: 0.002,
    Fault.DROP_AFTER_BODY: 0.004,
    Fault.DROP_AFTER_EFFECT: 0.004,
    Fault.DROP_MID_ANSWER: 0.004,
    Fault.CLOSE_AFTER_ANSWER: 0.005,
    Fault.DRIP.with_(seconds=0.01): 0.004,
}
