"""The cursor: what is new to a position, and the way through JSON."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldeamo_async import UsageError, WatchCursor
from aldeamo_async._watch._position import KEPT, Position
from aldeamo_async._watch._roster import Client

IDS = st.one_of(st.integers(0, 60).map(str), st.sampled_from(["a", "b-7", "٣", "007"]))


@given(st.lists(st.lists(IDS, max_size=30), max_size=4))
def test_a_message_is_new_once(reads: list[list[str]]) -> None:
    """What was handed over is not new again; what is above everything handed over is new."""
    position, seen = Position(), set[str]()
    for read in reads:
        new = [i for i in dict.fromkeys(read) if position.is_new(i)]
        assert not seen & set(new)
        for one in sorted(new, key=lambda i: (len(i.lstrip("0")), i.lstrip("0"))):
            position = position.including(one)
        seen |= set(new)
        assert not any(map(position.is_new, seen))
        assert position.is_new("61")


def test_numbers_that_come_late_are_new() -> None:
    """Of the last numbers each is remembered by itself; older ones are behind the line."""
    position = Position().including(*(str(n) for n in range(0, 200, 2)))
    last = range(200 - 2 * KEPT, 200, 2)
    assert len(position.ids) == KEPT
    assert all(position.is_new(str(n + 1)) for n in last)
    assert not position.is_new("99")
    assert Position().including("100", "102").is_new("99")
    assert not position.is_new("0" * 3 + "100")


def test_numbers_of_any_length_are_compared() -> None:
    """Ids of thousands of digits are no trouble."""
    position = Position().including(*(f"{n}" + "0" * 5000 for n in range(1, 40)))
    assert not position.is_new("5" + "0" * 5000)
    assert position.is_new("1" + "0" * 6000)


CURSORS = st.builds(
    WatchCursor,
    st.sampled_from(["web", "whatsapp"]),
    st.datetimes(timezones=st.just(UTC)),
    st.dictionaries(
        st.text(),
        st.builds(
            Position, st.none() | st.text(), st.none() | st.text(), st.lists(st.text()).map(tuple)
        ),
    ),
)


@given(CURSORS)
def test_a_cursor_travels(cursor: WatchCursor) -> None:
    """JSON, pickle and copy bring back an equal cursor."""
    assert WatchCursor.from_json(cursor.to_json()) == cursor
    assert WatchCursor.from_json(cursor.to_json().encode()) == cursor
    assert pickle.loads(pickle.dumps(cursor)) == copy.deepcopy(cursor) == cursor  # noqa: S301


def test_a_cursor_shows_no_numbers() -> None:
    """Its repr counts the clients and names none; one in a traceback is masked."""
    assert repr(Client("573000000001", Position())) == "<Client '57********01'>"
    cursor = WatchCursor("web", datetime(2026, 1, 1, tzinfo=UTC), {"573000000001": Position()})
    assert "<1 clients>" in repr(cursor)
    assert "573000000001" not in repr(cursor)
    assert isinstance(hash(cursor), int)


def test_news_of_a_client_that_failed_do_not_hurry_its_next_read() -> None:
    """A client that could not be read waits its time out, whatever the list says meanwhile."""
    client = Client("573000000001", Position())
    client.fail(now=100.0)
    due = client.due
    assert due > 100.0
    client.see("1", now=100.5)
    assert (client.due, client.since) == (due, 100.5)


GOOD = json.loads(WatchCursor("web", datetime(2026, 1, 1, tzinfo=UTC), {"1": Position()}).to_json())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        *(
            json.dumps(GOOD | change)
            for change in (
                {"version": 2},
                {"channel": 5},
                {"floor": "soon"},
                {"clients": []},
                {"clients": {"1": [None, 5, []]}},
                {"clients": {"1": [None]}},
                {"clients": {"1": [None, None, [5]]}},
            )
        ),
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    """A damaged file is a clear error, not a watch that begins anew by itself."""
    with pytest.raises(UsageError, match="no watch cursor"):
        WatchCursor.from_json(text)
