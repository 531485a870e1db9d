"""Rows as they come in: whatever the pieces, the same rows and the same judgement as in one go."""

from __future__ import annotations

import json
import os
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aldeamo_async import ApiError, Dialect, RetryPolicy, UnexpectedResponse, User
from aldeamo_async._codec import CUT, Malformed, RowStream, Stage
from support.answers import USER, envelope
from support.clients import Carrier, answer, make
from support.flows import FlowCarrier, split

MORE = os.environ.get("ALDEAMO_EXAMPLES")  # as in test_arbitrary
PROFILE = settings(
    derandomize=MORE is None, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
ONCE = RetryPolicy(attempts=1)
EMOJI = USER | {"name": "Ana \U0001f44b", "email": "]},{["}

rows = st.lists(
    st.sampled_from(
        [USER, EMOJI, USER | {"id": 2**64, "tags": [[{}]]}, USER | {"name": "\ud83d"}, {"id": "1"}]
    )
    | st.sampled_from([None, 5, "x", [], {}]),
    max_size=5,
)
lists = st.lists(st.sampled_from([USER, EMOJI, USER | {"id": 7, "vip": True}]), max_size=9)
members = st.sampled_from(
    [
        *({}, {"status": False}, {"codigo": 7}, {"status": 1}, {"codigo": "0"}, {"status": ...}),
        *({"message": "x" * 300}, {"more": {"data": [1]}}, {"message": ..., "error": "no [1]"}),
    ]
)
orders = st.permutations(["status", "codigo", "message", "data", "more", "error"])


def ordered(data: Any, changes: dict[str, Any], order: list[str]) -> dict[str, Any]:
    whole = envelope(data, **changes)
    return {name: whole[name] for name in order if name in whole}


def written(whole: Any, how: str) -> bytes:
    """A value as a server may write it, soundly or not."""
    text = json.dumps(whole)
    raw = json.dumps(whole, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return {
        "plain": text.encode(),
        "utf-8": raw,
        "indented": json.dumps(whole, indent=1).encode(),
        "marked": b"\xef\xbb\xbf\r\n\xef\xbb\xbf" + raw,
        "cut off": raw[: len(raw) * 2 // 3],
        "twice": raw + raw,
        "spaced": raw + b" \n",
        "noise behind": raw + b"<br />",
        "no UTF-8": raw.replace(b"Ana", b"\xff"),
        "latin-1": json.dumps(whole, ensure_ascii=False).encode("latin-1", "replace"),
        "NaN": text.replace("null", "NaN").encode(),
        "a comma too many": text.replace("}]", "},]").encode(),
        "no comma": text.replace("}, {", "} {").encode(),
        "data twice": text.replace('"data"', '"data": 5, "data"').encode(),
        "escaped name": text.replace('"data"', '"d\\u0061ta"').encode(),
    }[how]


SOUND = ["plain", "utf-8", "indented", "marked", "spaced", "escaped name"]
BROKEN = [
    *("cut off", "twice", "noise behind", "no UTF-8", "latin-1", "NaN", "a comma too many"),
    *("no comma", "data twice"),
]
bodies = st.builds(
    written,
    st.builds(ordered, lists | rows | st.sampled_from([None, "[]", {"0": USER}]), members, orders)
    | st.builds(lambda found: ordered(found, {}, [*envelope(0)]), lists),
    st.sampled_from([*SOUND, *SOUND, *BROKEN]),
)
cuts = st.lists(st.integers(0, 900), max_size=6)


async def read(transport: Carrier, dialect: Dialect) -> tuple[list[User], Any, dict[str, int]]:
    """Every row that came, the error at the end, and what was counted."""
    found: list[User] = []
    client = make(transport, dialect=dialect, base_url=None, retry=ONCE)
    async with client:
        try:
            async with client.iter_users("web") as users:
                async for user in users:
                    found.append(user)  # noqa: PERF401 - what came before an error counts
        except (ApiError, UnexpectedResponse) as error:
            return found, error, dict(client.drift)
    return found, None, dict(client.drift)


def compare(body: bytes, at: list[int], dialect: Dialect) -> int:
    """Read a body in one go and in pieces; return how many rows came before its end."""
    flow = FlowCarrier(lambda *_: answer(200, body), lambda data: [*split(data, *at)])

    async def both() -> tuple[Any, Any]:
        return await read(Carrier(lambda *_: answer(200, body)), dialect), await read(flow, dialect)

    (rows, error, drift), (rows_as_they_came, later, drift_then) = anyio.run(both)
    assert (later is None) is (error is None)
    if error is None:
        assert rows_as_they_came == rows
        assert drift_then == drift
    elif not rows_as_they_came and "data[" not in str(later):
        assert type(later) is type(error)
        assert str(later) == str(error)
    assert rows == rows_as_they_came[: len(rows)]
    assert set(flow.ends) <= {"read", "closed"}
    return len(rows_as_they_came)


@pytest.mark.slow
def test_pieces_make_no_difference() -> None:
    """In any pieces a body brings the same nouns, counts and errors as in one go.

    What was handed out before a fault was found stays handed out, and a bad row is told of before
    what stands behind it; that alone may differ.
    """

    @settings(PROFILE, max_examples=int(MORE or 400))
    @given(body=bodies, at=cuts, strict=st.sampled_from([None, "strict_data", "strict_envelope"]))
    def examine(body: bytes, at: list[int], strict: str | None) -> None:
        compare(body, at, Dialect(**({strict: True} if strict else {})))  # type: ignore[arg-type]

    examine()


@pytest.mark.parametrize("how", [*SOUND, *BROKEN])
def test_pieces_of_a_byte_make_no_difference(how: str) -> None:
    """Byte by byte too, each manner of writing an answer comes to the same."""
    for data in ([USER, EMOJI, USER], [], [[]], {"0": USER}):
        body = written(envelope(data), how)
        compare(body, [*range(1, len(body))], Dialect())


def fed(body: bytes, *at: int) -> tuple[RowStream, list[list[Any]]]:
    stream = RowStream()
    return stream, [stream.feed(piece) for piece in split(body, *at)]


def test_rows_come_as_soon_as_they_are_complete() -> None:
    """A row is there with the piece that holds its last bracket."""
    stream, found = fed(b'{"data": [{"a": 1}, {"a": 2}, {"a": 3}], "status": true}', 18, 30, 35)
    assert found == [[{"a": 1}], [{"a": 2}], [], [{"a": 3}]]
    assert stream.stage is Stage.TAIL
    assert json.loads(stream.frame()) == {"data": CUT, "status": True}


def test_what_is_not_read_by_rows() -> None:
    """No object, a no before the rows, no list: all that is for those who read it whole."""
    for body in (
        *(b"[{}]", b"<html>}", b'{"status": false, "data": [{}]}', b'{"data": "[{}]"}'),
        *(b'{"data": {}}', b'{"x": 1}', b"{1: 2, }", b'{"x" 1}', b'{"codigo": 4, "data": [{}]}'),
    ):
        assert fed(body)[0].stage is Stage.WHOLE


def test_a_row_of_many_pieces_is_not_read_anew_with_each() -> None:
    """A row of a megabyte in pieces is tried a few times, not once for each piece."""
    tries = 0

    class Counting(RowStream):
        def _read_row(self, rows: list[Any]) -> None:
            nonlocal tries
            tries += 1
            super()._read_row(rows)

    row = json.dumps({"text": "]" * 1_000_000}).encode()
    body = b'{"status": true, "data": [{}, %s, {}]}' % row
    stream = Counting()
    found: list[Any] = []
    for piece in split(body, *range(1000, len(body), 1000)):
        found += stream.feed(piece)
    found += stream.finish()
    assert found == [{}, json.loads(row), {}]
    assert tries < 100


def test_a_list_without_an_end() -> None:
    """What is left open, nested without end or in another encoding is a fault by name."""
    stream, _ = fed(b'{"data": [{"a": 1}, {"a"')
    with pytest.raises(Malformed, match="not JSON"):
        stream.finish()
    with pytest.raises(Malformed, match="nested too deeply"):
        fed(b'{"data": [' + b"[" * 100_000 + b"]" * 100_000)
    stream, _ = fed(b'{"data": [{"a": 1}, \xff')
    with pytest.raises(Malformed, match="not UTF-8"):
        stream.finish()
