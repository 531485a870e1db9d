"""Every fault, seen by a plain httpx client at both doors, and judged by the delivery log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx
import pytest

from aldeamo_async.sandbox import Fault, Weather

if TYPE_CHECKING:
    from support.visitors import Visitor

pytestmark = [
    pytest.mark.real_clock,
    # httpx leaves its own request stream open when a write fails, and trio says so.
    pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning"),
]

# What a send sees: an HTTP status or an exception; and whether it was delivered.
Seen = int | type[Exception] | tuple[type[Exception], ...]
SEEN: dict[str, tuple[Seen, bool]] = {
    "RATE_LIMITED": (429, False),
    "RATE_LIMITED_DECIMAL": (429, False),
    "RATE_LIMITED_DATE": (429, False),
    "RATE_LIMITED_BARE": (429, False),
    "UNAVAILABLE": (503, False),
    "UNAVAILABLE_BARE": (503, False),
    "SERVER_ERROR": (500, False),
    "BAD_GATEWAY": (502, False),
    "BAD_GATEWAY_DELIVERED": (502, True),
    "STATUS_FALSE": (200, False),
    "CODIGO_ERROR": (200, False),
    "TRUNCATED_JSON": (200, True),
    "NOT_JSON": (200, True),
    "EMPTY_BODY": (200, True),
    "BOM": (200, True),
    "PHP_NOTICE": (200, True),
    "DATA_TEXT": (200, True),
    "DATA_OBJECT": (200, True),
    "DATA_NULL": (200, True),
    "DATA_FALSE": (200, True),
    "DATA_JSON_TEXT": (200, True),
    "IDS_INT": (200, True),
    "HANG_CONNECT": (httpx.ConnectTimeout, False),
    "HANG_BEFORE_EFFECT": (httpx.ReadTimeout, False),
    "HANG_AFTER_EFFECT": (httpx.ReadTimeout, True),
    "CONNECTION_REFUSED": (httpx.ConnectError, False),
    "DROP_AT_ACCEPT": (httpx.ReadError, False),
    "DROP_BEFORE_BODY": (httpx.ReadError, False),
    "DROP_AFTER_BODY": (httpx.ReadError, False),
    "DROP_AFTER_EFFECT": (httpx.ReadError, True),
    "DROP_MID_ANSWER": (httpx.ReadError, True),
    "CLOSE_AFTER_ANSWER": (200, True),
    "DRIP": (httpx.ReadTimeout, True),
}
# A server that listens cannot refuse a single connection, nor leave it unconnected. A reset while
# the client still writes is used up by the write; the read that follows finds an orderly end.
EARLY = (httpx.NetworkError, httpx.RemoteProtocolError)
SEEN_ON_A_SOCKET = SEEN | {
    "HANG_CONNECT": (httpx.ReadTimeout, False),
    "CONNECTION_REFUSED": (EARLY, False),
    "DROP_AT_ACCEPT": (EARLY, False),
    "DROP_BEFORE_BODY": (EARLY, False),
}

SUCCESS = '{"status":true,"codigo":0,"message":"Message sent","data":%s}'
BODIES = {
    "STATUS_FALSE": '{"status":false,"codigo":7,"message":"Message not sent","data":null}',
    "CODIGO_ERROR": '{"status":true,"codigo":7,"message":"Message not sent","data":null}',
    "TRUNCATED_JSON": SUCCESS[:40],
    "EMPTY_BODY": "",
    "BOM": "\ufeff" + SUCCESS % 1,
    "DATA_TEXT": SUCCESS % '"ok"',
    "DATA_OBJECT": SUCCESS % '{"0":1}',
    "DATA_NULL": SUCCESS % "null",
    "DATA_FALSE": SUCCESS % "false",
    "DATA_JSON_TEXT": SUCCESS % '"1"',
    "IDS_INT": SUCCESS % 1,
    "CLOSE_AFTER_ANSWER": SUCCESS % 1,
}


def test_every_fault_is_tested() -> None:
    """The table above has a row for every fault."""
    assert {fault.name for fault in Fault.every()} == set(SEEN)


@pytest.mark.parametrize("fault", Fault.every(), ids=repr)
async def test_send(visitor: Visitor, fault: Fault) -> None:
    """A send sees what the fault says and is delivered only when it says so; the next is calm."""
    visitor.sandbox.weather = Weather.sequence([fault])
    seen, delivered = (SEEN if visitor.door == "process" else SEEN_ON_A_SOCKET)[fault.name]
    if isinstance(seen, int):
        answer = await visitor.send()
        assert answer.status_code == seen
        assert answer.text == BODIES.get(fault.name, answer.text)
    else:
        visitor.client.timeout = httpx.Timeout(5, connect=0.3, read=0.3)
        with pytest.raises(seen):
            await visitor.send()
        visitor.client.timeout = httpx.Timeout(5)
    assert visitor.delivered() == ["Hola"] * delivered
    assert fault.effect is delivered or fault.hang is not None
    assert visitor.sandbox.faults == {fault.name: 1}

    assert (await visitor.send("again")).status_code == 200
    assert visitor.delivered()[-1] == "again"


@pytest.mark.parametrize(
    ("fault", "header"),
    [
        (Fault.RATE_LIMITED, "1"),
        (Fault.RATE_LIMITED.with_(retry_after=30), "30"),
        (Fault.RATE_LIMITED.with_(retry_after="soon"), "soon"),
        (Fault.RATE_LIMITED_DECIMAL, "0.5"),
        (Fault.RATE_LIMITED_BARE, None),
        (Fault.UNAVAILABLE, "1"),
        (Fault.UNAVAILABLE_BARE, None),
        (Fault.SERVER_ERROR, None),
    ],
    ids=repr,
)
async def test_retry_after(visitor: Visitor, fault: Fault, header: str | None) -> None:
    """`Retry-After` is sent as seconds, decimals or any text, or left out."""
    visitor.sandbox.weather = Weather.sequence([fault])
    assert (await visitor.send()).headers.get("retry-after") == header


async def test_retry_after_date(visitor: Visitor) -> None:
    """`Retry-After` as a date lies the given seconds ahead."""
    fault = Fault.RATE_LIMITED_DATE.with_(retry_after=90)
    visitor.sandbox.weather = Weather.sequence([fault])
    date = parsedate_to_datetime((await visitor.send()).headers["retry-after"])
    assert 80 < (date - datetime.now(UTC)).total_seconds() <= 90


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.BAD_GATEWAY, Fault.NOT_JSON], ids=repr)
async def test_html(visitor: Visitor, fault: Fault) -> None:
    """Answers that are not JSON are an HTML page and say so."""
    visitor.sandbox.weather = Weather.sequence([fault])
    answer = await visitor.send()
    assert answer.headers["content-type"] == "text/html; charset=UTF-8"
    assert answer.text.startswith("<html>")


async def test_php_notice(visitor: Visitor) -> None:
    """A PHP notice stands before the JSON, in an answer that says it is JSON."""
    visitor.sandbox.weather = Weather.sequence([Fault.PHP_NOTICE])
    answer = await visitor.send()
    notice, _, body = answer.text.partition("<br />\n{")
    assert "<b>Notice</b>" in notice
    assert json.loads("{" + body)["data"] == 1
    assert answer.headers["content-type"].startswith("application/json")


async def test_shapes_of_lists(visitor: Visitor) -> None:
    """In lists, `data` takes every shape such servers are known for."""
    usual = (await visitor.read("users", channel="facebook")).json()["data"]
    faults = [
        Fault.DATA_TEXT,
        Fault.DATA_OBJECT,
        Fault.DATA_NULL,
        Fault.DATA_FALSE,
        Fault.DATA_JSON_TEXT,
        Fault.IDS_INT,
    ]
    visitor.sandbox.weather = Weather.sequence(faults)
    shapes = [(await visitor.read("users", channel="facebook")).json()["data"] for _ in faults]
    assert shapes[:4] == ["ok", {str(n): row for n, row in enumerate(usual)}, None, False]
    assert json.loads(shapes[4]) == usual
    ids = [(int(row["id"]), int(row["user_id"])) for row in usual]
    assert [(row["id"], row["user_id"]) for row in shapes[5]] == ids
    assert max(user_id for _, user_id in ids) > 2**53


async def test_a_refusal_keeps_its_shape(visitor: Visitor) -> None:
    """A fault in the shape of `data` leaves an answer without data as it is."""
    visitor.sandbox.weather = Weather.sequence([Fault.DATA_OBJECT] * 2)
    assert "data" not in (await visitor.send(auth="wrong")).json()
    assert (await visitor.send(channel="twitter")).json()["data"] is None


async def test_refused_even_in_rough_weather(visitor: Visitor) -> None:
    """A fault with an effect does not deliver what the API would refuse."""
    visitor.sandbox.weather = Weather.sequence([Fault.BAD_GATEWAY_DELIVERED])
    assert (await visitor.send(auth="wrong")).status_code == 502
    assert visitor.delivered() == []


@pytest.mark.parametrize("fault", [Fault.HANG_BEFORE_EFFECT, Fault.HANG_AFTER_EFFECT], ids=repr)
async def test_short_hang(visitor: Visitor, fault: Fault) -> None:
    """Who waits longer than the hang gets the API's own answer, and the effect."""
    visitor.sandbox.weather = Weather.sequence([fault.with_(seconds=0.05)])
    assert (await visitor.send()).json()["data"] == 1
    assert visitor.delivered() == ["Hola"]


async def test_drip(visitor: Visitor) -> None:
    """A drip sends the whole answer, a few bytes at a time."""
    visitor.sandbox.weather = Weather.sequence([Fault.DRIP.with_(drip=20, seconds=0.01)])
    form = {"auth": "test-key", "channel": "web", "client_id": "1", "msg": "Hola"}
    async with visitor.client.stream("POST", "/messages", data=form) as answer:
        pieces = [piece async for piece in answer.aiter_raw()]
    assert [len(piece) for piece in pieces] == [20, 20, 20]
    assert json.loads(b"".join(pieces))["data"] == 1


@pytest.mark.parametrize(
    "fault", [Fault.DROP_AFTER_BODY, Fault.DROP_AFTER_EFFECT, Fault.DROP_MID_ANSWER], ids=repr
)
async def test_orderly_drop(visitor: Visitor, fault: Fault) -> None:
    """A connection that is closed instead of reset is a protocol error to httpx."""
    visitor.sandbox.weather = Weather.sequence([fault.with_(reset=False)])
    with pytest.raises(httpx.RemoteProtocolError):
        await visitor.send()
    assert visitor.sandbox.delivered == fault.effect


async def test_half_an_answer(visitor: Visitor) -> None:
    """A drop in the middle of the answer lets status, headers and half the body through."""
    visitor.sandbox.weather = Weather.sequence([Fault.DROP_MID_ANSWER])
    read = b""
    arguments = {"auth": "test-key", "channel": "web", "client_id": "999"}
    async with visitor.client.stream("GET", "/messages", params=arguments) as answer:
        assert answer.status_code == 200
        pieces = answer.aiter_raw()
        with pytest.raises(httpx.ReadError):  # noqa: PT012 (what came before it counts)
            async for piece in pieces:
                read += piece
    whole = b'{"status":true,"codigo":0,"message":"Client messages","data":[]}'
    assert read == whole[: len(whole) // 2]


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        (Fault.CONNECTION_REFUSED, 0),
        (Fault.DROP_AT_ACCEPT, 0),
        (Fault.DROP_BEFORE_BODY, 1),
        (Fault.DROP_AFTER_BODY, 1),
        (Fault.DROP_MID_ANSWER, 1),
    ],
    ids=repr,
)
async def test_what_counts_as_a_request(visitor: Visitor, fault: Fault, counted: int) -> None:
    """A request counts from the moment its headers were read."""
    visitor.sandbox.weather = Weather.sequence([fault])
    with pytest.raises(httpx.TransportError):
        await visitor.send()
    assert visitor.sandbox.requests["send"] == counted


async def test_only_sends(visitor: Visitor) -> None:
    """Weather for sends leaves reads alone."""
    visitor.sandbox.weather = Weather.sequence([Fault.SERVER_ERROR], only="sends")
    assert (await visitor.read("users", channel="web")).status_code == 200
    assert (await visitor.send()).status_code == 500
