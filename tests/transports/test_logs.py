"""Every logger at DEBUG: key, number and text appear nowhere (trap 25)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import httpx
import pytest

from aldeamo_async.transports import (
    HttptoolsTransport,
    HttpxTransport,
    LaneTransport,
    PyreqwestTransport,
    Timeouts,
    Transport,
    WireResponse,
)
from aldeamo_async.transports._logs import guard_logs, private_logs
from support.backends import FAST, RUST, everywhere
from support.rawserver import Connection, RawServer, answer, free_port
from support.socket_faults import FAULTS, Fault, Target, authority_file, client_context
from support.wire import KEY, PHONE, TEXT, reading, sending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PRIVATE = (KEY, PHONE, TEXT, quote_plus(TEXT))
QUICK = Timeouts(connect=2.0, read=0.2, write=2.0, total=0.6)

LEAVES: dict[str, Callable[[str | None], Transport]] = {
    "lanes": lambda proxy: LaneTransport(verify=client_context(), proxy=proxy),
    FAST: lambda proxy: HttptoolsTransport(verify=client_context(), proxy=proxy),
    RUST: lambda proxy: PyreqwestTransport(verify=authority_file(), proxy=proxy),
}


class Collector(logging.Handler):
    """Keeps every record."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """Everything that anybody logs during the test."""
    for name in ("", *logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, name)
    collector = Collector()
    logging.root.addHandler(collector)
    yield collector.records
    logging.root.removeHandler(collector)


def leaks(records: list[logging.LogRecord]) -> list[str]:
    lines = [f"{r.name} {r.getMessage()} {r.args!r} {r.exc_text or ''}" for r in records]
    return [line for line in lines if any(private in line for private in PRIVATE)]


def echo(connection: Connection) -> None:
    """Answer with headers that repeat all of the request, as a careless redirect does."""
    while seen := connection.read_request():
        echoed = (seen.target + "?" + seen.body.decode()).replace(" ", "+")
        connection.send(
            answer(b"", f"location: https://api.invalid{echoed}", f"x-echo: {TEXT} {PHONE} {KEY}")
        )


@pytest.mark.real_clock
async def test_answers_that_echo_the_request(records: list[logging.LogRecord]) -> None:
    """The headers of an answer that repeat the request are logged without what is private."""
    with RawServer(echo) as server:
        for transport in (LaneTransport(), HttpxTransport(httpx.AsyncHTTPTransport())):
            for request in (sending(server.base_url), reading(server.base_url)):
                assert isinstance(await transport.exchange(request, QUICK), WireResponse)
            await transport.aclose()
    assert any("receive_response_headers.complete" in r.getMessage() for r in records)
    assert not leaks(records)


@pytest.mark.real_clock
@pytest.mark.parametrize("leaf", everywhere(LEAVES))
@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_faults(fault: Fault, leaf: str, records: list[logging.LogRecord]) -> None:
    """Whatever goes wrong on the wire, the logs show nothing private, nor a proxy's password."""

    async def send(target: Target) -> None:
        transport = LEAVES[leaf](target.proxy)
        await transport.exchange(sending(target.base_url), QUICK)
        await transport.exchange(reading(target.base_url), QUICK)
        await transport.aclose()

    with fault.open() as target:
        await send(target)
    assert records
    assert not leaks(records)
    assert not [record for record in records if "secret" in record.getMessage()]


@pytest.mark.real_clock
async def test_socks_credentials(records: list[logging.LogRecord]) -> None:
    """httpcore's line about a SOCKS proxy, which ends in its credentials, is cut before them."""
    request = sending(f"http://127.0.0.1:{free_port()}/bots")
    guard_logs()
    log = logging.getLogger("httpcore.socks")
    with private_logs(request):
        log.debug("setup_socks5_connection.started port=443 auth=(b'ana', b's3cret')")
        log.debug("key %s, number %s, text %s on sms", KEY, PHONE, TEXT)
    cut, blanked = (record.getMessage() for record in records if record.name == "httpcore.socks")
    assert cut == "setup_socks5_connection.started port=443"
    assert blanked.startswith("key ***, number ")
    assert blanked.endswith(" on sms")
    assert not leaks(records)


def test_others_keep_their_lines(records: list[logging.LogRecord]) -> None:
    """A line of httpcore that has nothing to do with a request of ours stays as it was."""
    guard_logs()
    guard_logs()
    log = logging.getLogger("httpcore.http11")
    assert len(log.filters) == 1
    log.debug("return_value=%s auth=%s", "573000000099", "theirs")
    assert records[-1].getMessage() == "return_value=573000000099 auth=theirs"
