"""What a message costs in instructions of the interpreter: the same number on every machine.

    python tests/benchmarks/instructions.py

Counts the bytecodes that run in this package (its dependencies change from release to release, and
the network is another benchmark's matter) for each message that goes out and comes back: by `send`
and by `send_many` with a transport that costs next to nothing, and by `send` over each transport of
the package that runs in the event loop, to a server on a socket.
Prints JSON: {"send": 1500.0, "send_many": 1800.0, "send, lanes": 3000.0, ...}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import checkpoint

import aldeamo_async
from aldeamo_async import AsyncBotsClient, Outgoing, Sent, TokenBucket
from aldeamo_async.transports import HttptoolsTransport, LaneTransport, WireResponse

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.loopserver import loop_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# The methods that attrs writes are in files named after their class.
OURS = (str(Path(aldeamo_async.__file__).parent), "<attrs generated methods aldeamo_async.")
WARM_UP, MESSAGES = 100, 400
IN_FLIGHT = 50
YES = WireResponse(
    200,
    (("Content-Type", "application/json"),),
    b'{"status": true, "codigo": 0, "message": "Message sent", "data": 32}',
)


class Echo:
    """A transport that renders the request, as each has to, and says yes."""

    async def exchange(self, request: Any, timeouts: Any) -> WireResponse:
        request.render()
        await checkpoint()
        return YES

    async def aclose(self) -> None:
        """Nothing to close."""


class Counter:
    """Counts the instructions that run in the package's own functions while it is on."""

    def __init__(self) -> None:
        self.instructions = 0

    def start(self) -> None:
        """Watch every function that is entered or resumed from now on."""
        sys.settrace(self.watch)

    def watch(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "call" and not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.instructions += event == "opcode"
        return self.watch

    def stop(self) -> float:
        """Watch no longer; return the instructions for each message."""
        sys.settrace(None)
        return self.instructions / MESSAGES


def messages(count: int) -> Iterator[Outgoing]:
    """Make so many messages."""
    for number in range(count):
        yield Outgoing("sms", f"5730000000{number % 100:02}", f"Hola Ana, tu turno es el {number}")


async def by_send(client: AsyncBotsClient) -> float:
    """One message after the other."""
    counter = Counter()
    for number, outgoing in enumerate(messages(WARM_UP + MESSAGES)):
        if number == WARM_UP:
            counter.start()
        await client.send(outgoing.channel, outgoing.client_id, outgoing.text)
    return counter.stop()


async def by_send_many(client: AsyncBotsClient) -> float:
    """Many at a time; the runs overlap at both ends alike, so the ends cancel out."""
    counter, outcomes = Counter(), 0
    source = messages(WARM_UP + MESSAGES + WARM_UP)
    async with client.send_many(source, concurrency=IN_FLIGHT) as found:
        async for outcome in found:
            assert isinstance(outcome, Sent)
            outcomes += 1
            if outcomes == WARM_UP:
                counter.start()
            elif outcomes == WARM_UP + MESSAGES:
                per_message = counter.stop()
    return per_message


async def measure() -> dict[str, float]:
    """Count each way, with a limiter that counts permits and holds nobody up."""
    ways = {
        "send": (by_send, Echo),
        "send_many": (by_send_many, Echo),
        "send, lanes": (by_send, LaneTransport),
        "send, httptools": (by_send, HttptoolsTransport),
    }
    found = {}
    async with loop_server() as server:
        for name, (way, transport) in ways.items():
            limiter = TokenBucket(1e9)
            async with AsyncBotsClient(
                "test-key", base_url=server.base_url, transport=transport(), limiter=limiter
            ) as client:
                found[name] = round(await way(client), 1)
    return found


if __name__ == "__main__":
    print(json.dumps(anyio.run(measure)))
