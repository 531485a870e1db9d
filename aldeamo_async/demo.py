"""The guided tour: a sandbox in rough weather, 2,000 messages, and an honest report.

Rule 1: everything is real but the other side: a file, a socket, the client's own transport and
limits.
Rule 2: the sandbox is the judge; the report says what it counted, not what the client believes.
"""

from __future__ import annotations

import csv
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
from attrs import define, field, frozen

from ._client import AsyncBotsClient
from ._models import Outcome, Outgoing, SendChannel, Sent, Unknown
from .limits import TokenBucket
from .sandbox import Fault, Sandbox, Weather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROWS: Final = 2000
KEY: Final = "test-key"
CONCURRENCY: Final = 50
# The client is told a rate that the API will not bear, so that refusal, freeze and brake can be
# seen at work.
RATE: Final = 400.0  # messages a second
API_RATE: Final = (
    250.0  # requests a second; slow enough for an old machine, so the tour takes about ten seconds
)
API_BURST_SECONDS: Final = 0.4  # of the API's rate at once; little, so that it refuses early on
TIMEOUT: Final = 1.0  # seconds; half of what the sandbox hangs for
# About one message in twelve meets one of these; the refusals come from the API's own limit.
WEATHER: Final = {
    Fault.UNAVAILABLE.with_(retry_after="0.1"): 0.001,
    Fault.UNAVAILABLE_BARE: 0.005,
    Fault.BAD_GATEWAY: 0.005,
    Fault.BAD_GATEWAY_DELIVERED: 0.01,
    Fault.STATUS_FALSE: 0.015,
    Fault.TRUNCATED_JSON: 0.005,
    Fault.NOT_JSON: 0.005,
    Fault.BOM: 0.005,
    Fault.DATA_TEXT: 0.005,
    Fault.HANG_BEFORE_EFFECT.with_(seconds=2): 0.001,
    Fault.HANG_AFTER_EFFECT.with_(seconds=2): 0.002,
    Fault.DROP_BEFORE_BODY: 0.002,
    Fault.DROP_AFTER_EFFECT: 0.01,
    Fault.DROP_MID_ANSWER: 0.005,
    Fault.CLOSE_AFTER_ANSWER: 0.01,
}
TICK_SECONDS: Final = 0.1

# Every text is different, so that one that is delivered twice is found out.
_TEXTS: Final = (
    "Hola {name}, tu pedido {number} va en camino.",
    "{name}, recuerda tu cita numero {number}.",
    "Tu codigo es {number:06d}, {name}.",
)
_NAMES: Final = ("Ana", "Luis", "Eva", "Juan", "Rosa")


@define
class Counts:
    """The counts of a running tour, for a progress bar."""

    sent: int = 0
    rejected: int = 0
    unknown: int = 0
    frozen_for: float = 0.0
    longest_freeze: float = 0.0
    lowest_rate: float = RATE
    seconds: float = 0.0
    why: Counter[str] = field(factory=Counter[str])

    @property
    def rows(self) -> int:
        """Messages that have their outcome."""
        return self.sent + self.rejected + self.unknown

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        if isinstance(outcome, Sent):
            self.sent += 1
            return
        self.why[type(outcome.error).__name__] += 1
        if isinstance(outcome, Unknown):
            self.unknown += 1
        else:
            self.rejected += 1


@frozen(kw_only=True)
class DemoReport:
    """What came of the tour.

    ``delivered``, ``duplicates``, ``requests`` and ``faults`` are the sandbox's own counts; the
    rest is the client's. ``sent_but_not_delivered`` and ``rejected_but_delivered`` must be 0;
    ``unknown_delivered`` is how many of the unknown had arrived. Rates are in messages a second,
    times in seconds.
    """

    rows: int
    sent: int
    rejected: int
    unknown: int
    delivered: int
    duplicates: int
    unknown_delivered: int
    sent_but_not_delivered: int
    rejected_but_delivered: int
    retries: int
    requests: int
    faults: int
    seconds: float
    rate: float
    longest_freeze: float
    lowest_rate: float
    throttled: int
    problems: dict[str, int]
    file: str

    @property
    def adds_up(self) -> bool:
        """Whether every row has one outcome, and each outcome is true."""
        return (
            self.sent + self.rejected + self.unknown == self.rows
            and self.sent + self.unknown_delivered == self.delivered
            and not (self.duplicates or self.sent_but_not_delivered or self.rejected_but_delivered)
        )


async def tour(
    folder: Path,
    *,
    rows: int = ROWS,
    seed: int = 1,
    api_rate: float = API_RATE,
    progress: Callable[[Counts], object] = lambda counts: None,
) -> DemoReport:
    """Write ``demo.csv`` into ``folder``, send it to a sandbox on a loopback socket, and report.

    ``api_rate`` is what the sandbox bears, in requests a second. ``progress`` is called about ten
    times a second. Needs the extra ``sandbox`` (ImportError without it).
    """
    from .sandbox import serve  # here, for it needs the extra `sandbox`

    path = folder / "demo.csv"
    messages = await anyio.to_thread.run_sync(_write_and_read, path, rows)
    weather = Weather.random(WEATHER, seed=seed, only="sends")
    sandbox = Sandbox(
        seed=seed, api_key=KEY, rate=api_rate, burst=api_rate * API_BURST_SECONDS, weather=weather
    )
    counts, fates = Counts(), dict[str, str]()
    limiter = TokenBucket(RATE)
    async with (
        serve(sandbox) as url,
        AsyncBotsClient(KEY, base_url=url, limiter=limiter, timeout=TIMEOUT) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_watch, client, counts, progress)
        begun = monotonic()
        async with client.send_many(messages, concurrency=CONCURRENCY) as outcomes:
            async for outcome in outcomes:
                counts.add(outcome)
                fates[outcome.outgoing.text] = type(outcome).__name__
        counts.seconds = monotonic() - begun
        tasks.cancel_scope.cancel()
    stats = client.stats()
    # Read after the server has gone: nothing can be delivered any more.
    arrived = Counter(fates.get(delivery.text, "") for delivery in sandbox.deliveries)
    return DemoReport(
        rows=rows,
        sent=counts.sent,
        rejected=counts.rejected,
        unknown=counts.unknown,
        delivered=sandbox.delivered,
        duplicates=sandbox.duplicates,
        unknown_delivered=arrived["Unknown"],
        sent_but_not_delivered=counts.sent - arrived["Sent"],
        rejected_but_delivered=arrived["Rejected"],
        retries=stats.retries,
        requests=sandbox.requests["send"],
        faults=sandbox.faults.total(),
        seconds=round(counts.seconds, 2),
        rate=round(rows / counts.seconds, 1),
        longest_freeze=round(counts.longest_freeze, 2),
        lowest_rate=round(counts.lowest_rate, 1),
        throttled=stats.limiter.throttled,
        problems=dict(counts.why.most_common()),
        file=str(path),
    )


async def _watch(
    client: AsyncBotsClient, counts: Counts, progress: Callable[[Counts], object]
) -> None:
    """Look at the limiter again and again, and show the counts."""
    while True:
        limiter = client.stats().limiter
        counts.frozen_for = limiter.frozen_for
        counts.longest_freeze = max(counts.longest_freeze, limiter.frozen_for)
        counts.lowest_rate = min(counts.lowest_rate, limiter.effective_rate)
        progress(counts)
        await anyio.sleep(TICK_SECONDS)


def _write_and_read(path: Path, rows: int) -> list[Outgoing]:
    """Write the file and read it back, as a user's own would be."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("channel", "client_id", "text"))
        writer.writerows(_invented(rows))
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Outgoing(row["channel"], row["client_id"], row["text"]) for row in csv.DictReader(file)
        ]


def _invented(rows: int) -> Iterator[tuple[str, str, str]]:
    for number in range(rows):
        text = _TEXTS[number % len(_TEXTS)]
        name = _NAMES[number % len(_NAMES)]
        # The block of numbers that this project uses for invented people.
        yield (
            SendChannel.SMS,
            f"5730000000{number % 100:02d}",
            text.format(name=name, number=number),
        )
