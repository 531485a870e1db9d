"""What a run, a load and a look at a campaign bring: numbers that add up.

Rule: a report is made of what was recorded, not of what was tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import asdict, define, field, frozen

from ._nouns import Aside, Counts, Fleet, State


@frozen
class BadRow:
    """One input row that is no message of the campaign: its line, and why."""

    line: int
    problem: str


@frozen(kw_only=True)
class LoadReport:
    """What became of the rows of one source.

    ``rows`` = ``added`` + ``duplicates`` + ``rejected``. ``bad_rows`` are the first 1,000 of the
    rejected; an export has all of them. ``seconds`` is the time it took.
    """

    rows: int
    added: int
    duplicates: int
    rejected: int
    bad_rows: tuple[BadRow, ...] = ()
    seconds: float = 0.0


@frozen
class PhaseTime:
    """The time that the messages of a run spent in one phase, in seconds: all together, and the
    longest one."""

    phase: str
    total: float
    longest: float


@frozen(kw_only=True)
class CampaignStatus:
    """A campaign at one moment.

    ``counts`` has a number for each ``State``, ``aside`` for each ``Aside`` (rows that are no
    message); ``reasons`` counts by state and reason. ``next_due`` is in seconds, ``None`` when
    nothing is pending. ``fleet`` is who works on it; it is empty in the report of a run.
    """

    counts: Mapping[State, int] = field(hash=False)
    aside: Mapping[Aside, int] = field(hash=False)
    reasons: Mapping[State, Mapping[str, int]] = field(hash=False)
    next_due: float | None = None
    fleet: Fleet = field(factory=Fleet, eq=False)

    @property
    def total(self) -> int:
        """All messages."""
        return sum(self.counts.values())

    @property
    def done(self) -> bool:
        """Whether nothing is left to send."""
        return not (self.counts[State.PENDING] or self.counts[State.ATTEMPTING])

    @property
    def rate(self) -> float:
        """Messages a second that need no further try, over all workers that live."""
        return sum(worker.rate for worker in self.fleet.workers if worker.alive)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return {
            "counts": {str(state): number for state, number in self.counts.items()},
            "aside": {str(kind): number for kind, number in self.aside.items()},
            "reasons": {str(state): dict(reasons) for state, reasons in self.reasons.items()},
            "total": self.total,
            "done": self.done,
            "next_due": self.next_due,
            "rate": self.rate,
            "leases": {"runs": self.fleet.leases, "messages": self.fleet.leased},
            "workers": [asdict(worker) for worker in self.fleet.workers],
        }


def status_of(counts: Counts, next_due: float | None, fleet: Fleet | None = None) -> CampaignStatus:
    """Make a status of a ledger's numbers."""
    return CampaignStatus(
        counts=counts.states,
        aside=counts.aside,
        reasons=counts.reasons,
        next_due=next_due,
        fleet=fleet or Fleet(),
    )


@frozen(kw_only=True)
class RunReport:
    """What one run did; ``status`` is the campaign after it.

    ``put_off`` counts refusals for now and sends that did not leave this machine: those messages
    are pending again. ``taken_over`` messages were left by a run that died, and are unknown.
    ``attempts`` are those on the wire, ``rate`` is recorded messages a second. ``stopped`` says in
    words why the run ended before everything was done, or is ``None``. ``phases`` come slowest
    first.
    """

    sent: int
    rejected: int
    unknown: int
    put_off: int
    taken_over: int
    attempts: int
    seconds: float
    rate: float
    reasons: Mapping[str, int] = field(hash=False)
    phases: tuple[PhaseTime, ...]
    stopped: str | None
    status: CampaignStatus

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        names = (
            "sent",
            "rejected",
            "unknown",
            "put_off",
            "taken_over",
            "attempts",
            "seconds",
            "rate",
            "stopped",
        )
        phases = {p.phase: {"total": p.total, "longest": p.longest} for p in self.phases}
        return {
            **{name: getattr(self, name) for name in names},
            "reasons": dict(self.reasons),
            "phases": phases,
            "status": self.status.as_dict(),
        }


@frozen(kw_only=True)
class ChunkReport:
    """What one call of ``run_chunk`` did.

    ``put_off`` and ``taken_over`` are as in ``RunReport`` (a takeover looks at the whole campaign).
    ``next_due``: something of the chunk is still pending, and can be claimed in so many seconds:
    call again then. ``None``: nothing of it is pending. ``stopped`` says in words why the call
    ended early.
    """

    chunk: int
    sent: int = 0
    rejected: int = 0
    unknown: int = 0
    put_off: int = 0
    taken_over: int = 0
    seconds: float = 0.0
    next_due: float | None = None
    stopped: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return asdict(self)


@frozen(kw_only=True)
class ResolveReport:
    """How many unknown messages were held, counted as sent, or made pending again."""

    held: int = 0
    assumed_sent: int = 0
    resend: int = 0


@define
class Progress:
    """A run while it runs: the numbers so far; read them as often as you like, and change nothing.

    ``waiting`` says in words what the run waits for, if it does.
    """

    sent: int = 0
    rejected: int = 0
    unknown: int = 0
    put_off: int = 0
    attempts: int = 0
    in_flight: int = 0
    waiting: str | None = None
    reasons: Counter[str] = field(factory=Counter[str])
    totals: dict[str, float] = field(factory=dict[str, float], repr=False)
    longest: dict[str, float] = field(factory=dict[str, float], repr=False)

    @property
    def done(self) -> int:
        """The messages that need no further try."""
        return self.sent + self.rejected + self.unknown

    def add(self, other: Progress) -> None:
        """Add the counts of another run."""
        for name in ("sent", "rejected", "unknown", "put_off", "attempts", "in_flight"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.reasons += other.reasons

    def spent(self, phase: str, seconds: float) -> None:
        """Add the time of one message in one phase."""
        self.totals[phase] = self.totals.get(phase, 0.0) + seconds
        if seconds > self.longest.get(phase, 0.0):
            self.longest[phase] = seconds

    def phases(self) -> tuple[PhaseTime, ...]:
        """Return the phases, slowest first."""
        times = [
            PhaseTime(name, total, self.longest.get(name, 0.0))
            for name, total in self.totals.items()
        ]
        return tuple(sorted(times, key=lambda time: -time.total))
