"""Peak memory and pace of reading many users: row by row, and whole.

Run: `python tests/benchmarks/streaming.py [--small 10000] [--large 1000000]`. A raw server in this
process makes the answer as it goes; each reader is a fresh process that reports its peak above what
it needed before it began. `fast` is iter_users over HttptoolsTransport, `pyreqwest` the same over
PyreqwestTransport; ijson (C backend) reads the same bytes; each where it is installed. Read the
ratios and the differences; the times hold the machine's speed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import socket
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import anyio

from aldeamo_async import AsyncBotsClient, Dialect
from aldeamo_async.transports import HttptoolsTransport, PyreqwestTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUND = 64.0  # MB above the start that a list of any length may need row by row
UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
CAP = 1 << 32  # bytes of an answer; past what any run here asks for
ROWS_A_PIECE = 500


def pieces(count: int) -> Iterator[bytes]:
    """The answer with so many users, a stretch at a time."""
    yield b'{"status": true, "codigo": 0, "message": "Users for channel", "data": ['
    for first in range(0, count, ROWS_A_PIECE):
        rows = (user(number) for number in range(first, min(first + ROWS_A_PIECE, count)))
        yield (", " if first else "").encode() + ", ".join(rows).encode()
    yield b"]}"


def user(number: int) -> str:
    phone = f"5070{number:07d}"
    return json.dumps(
        {
            "id": str(number),
            "user_id": phone,
            "name": "Ana Gómez" if number % 3 else None,
            "email": f"ana{number}@tenant.example" if number % 2 else None,
            "phone": phone,
            "date_created": "2019-05-02 19:04:49",
            "last_active": "2019-09-09 17:20:59",
        }
    )


def serve(listener: socket.socket) -> None:
    """Answer the one request of each connection; its path says how many users."""
    while True:
        connection, _ = listener.accept()
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            count = int(head.split(b"/")[1])
            connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for piece in itertools.chain(pieces(count), [b""]):
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))


async def iterate(client: AsyncBotsClient) -> int:
    number = 0
    async with client.iter_users("web") as users:
        async for _ in users:
            number += 1
    return number


async def whole(client: AsyncBotsClient) -> int:
    return len(await client.users("web"))


def bare_ijson(url: str) -> int:
    import httpx
    import ijson

    with httpx.stream("GET", f"{url}/users") as answer:
        rows = ijson.items(_File(answer.iter_raw(65536)), "data.item")
        return sum(1 for _ in rows)


class _File:
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, size: int) -> bytes:
        return next(self._chunks, b"") if size else b""


READERS = {"iter_users": iterate, "fast": iterate, "pyreqwest": iterate, "users": whole}
TRANSPORTS = {"fast": HttptoolsTransport, "pyreqwest": PyreqwestTransport}


async def read(how: str, url: str) -> int:
    dialect = Dialect(base_url=url, max_response_bytes=CAP)
    options: dict[str, Any] = {"transport": TRANSPORTS[how]()} if how in TRANSPORTS else {}
    async with AsyncBotsClient("test-key", dialect=dialect, deadline=600, **options) as client:
        return await READERS[how](client)


def run(how: str, url: str, count: int) -> None:
    """Read in this process; print the peak above the start in MB and the CPU time in seconds."""
    anyio.run(
        read, how if how in READERS else "users", url.replace(str(count), "1")
    )  # what every reader needs
    before, cpu = peak(), time.process_time()
    found = bare_ijson(url) if how == "ijson" else anyio.run(read, how, url)
    assert found == count
    print(peak() - before, time.process_time() - cpu)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 1e6


def measure(how: str, port: int, count: int) -> float:
    """Run a reader in a process of its own and print what it reports; return its peak."""
    url = f"http://127.0.0.1:{port}/{count}"
    command = [sys.executable, __file__, "--run", how, "--url", url, "--large", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    above, cpu = map(float, done.stdout.split())
    print(
        f"  {how:<10} {count:>9,} users: peak {above:7.1f} MB above the start, "
        f"{cpu / count * 1e6:5.2f} us of CPU a user"
    )
    return above


def main() -> None:
    """Measure all, print all, fail above the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--whole", type=int, default=100_000)
    parser.add_argument("--run", help="read in this process and print peak and CPU time")
    parser.add_argument("--url", default="")
    options = parser.parse_args()
    if options.run:
        run(options.run, options.url, options.large)
        return
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    port = listener.getsockname()[1]
    measure("iter_users", port, options.small)
    above = measure("iter_users", port, options.large)
    for how, needed in {"fast": "httptools", "pyreqwest": "pyreqwest"}.items():
        if find_spec(needed):
            measure(how, port, options.small)
            above = max(above, measure(how, port, options.large))
    measure("users", port, options.whole)
    if find_spec("ijson"):
        measure("ijson", port, options.whole)
    print(f"row by row {above:.1f} MB, at most {BOUND:.0f} MB")
    if above > BOUND:
        sys.exit("The memory grows with the length of the list.")


if __name__ == "__main__":
    main()
