"""Unit tests of what becomes of rows, fields and ids, and of what is counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from aldeamo_async import Dialect, Drift, Message, User
from aldeamo_async._codec import Codec, Malformed
from support.answers import MESSAGE, USER, all_rows, envelope

USERS, MESSAGES, SEND = "GET /users", "GET /messages", "POST /messages"


class Reader:
    """A codec and what it counted."""

    def __init__(self, **dialect: Any) -> None:
        self.drift = Drift()
        self.codec = Codec(Dialect(**dialect), self.drift)

    def users(self, *rows: Any) -> list[User]:
        return all_rows(self.codec, list(rows), User, USERS)

    def user(self, **changes: Any) -> User:
        return self.users(USER | changes)[0]


def test_a_documented_answer_makes_no_drift() -> None:
    """Everything as documented is read whole, and nothing is counted."""
    reader = Reader()
    body = json.dumps(envelope([USER])).encode()
    found = reader.codec.envelope(body, USERS)
    assert (found.ok, found.code, found.text) == (True, 0, "Message sent")
    assert all_rows(reader.codec, found.data, User, USERS) == [
        User(
            id="1",
            user_id="50700000001",
            name="Ana",
            email=None,
            phone="50700000001",
            date_created=datetime(2019, 5, 2, 19, 4, 49),
            last_active=datetime(2019, 9, 9, 17, 20, 59),
        )
    ]
    assert all_rows(reader.codec, [MESSAGE], Message, MESSAGES) == [
        Message("10", "50700000001", "Hola bot", datetime(2019, 5, 2, 19, 42, 31, tzinfo=UTC))
    ]
    assert reader.codec.message_id(32, SEND) == "32"
    assert reader.drift == {}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("90071992547409931", "90071992547409931"),
        ("12345678901234567", "12345678901234567"),
        ("9" * 4000, "9" * 4000),
        ("-5", "-5"),
        ("0", "0"),
    ],
    ids=lambda text: text[:20],
)
def test_a_long_id_is_never_a_float(number: str, text: str) -> None:
    """An id that came as a number keeps every digit, through JSON and back."""
    reader = Reader()
    body = f'{{"status": true, "data": [{{"id": {number}, "user_id": {number}}}]}}'.encode()
    [user] = all_rows(reader.codec, reader.codec.envelope(body, USERS).data, User, USERS)
    assert (user.id, user.user_id) == (text, text)
    body = f'{{"status": true, "data": {number}}}'.encode()
    assert reader.codec.message_id(reader.codec.envelope(body, SEND).data, SEND) == text


@pytest.mark.parametrize("wrong", [None, True, 10.0, 1e20, [], {}], ids=repr)
def test_what_is_no_id_is_a_fault(wrong: Any) -> None:
    """An id that is null, a decimal number or no scalar is a fault with its path."""
    with pytest.raises(Malformed) as caught:
        Reader().users(USER | {"id": wrong})
    [problem] = caught.value.problems
    assert problem.startswith("data[0].id: an id must be text or a whole number, not ")


def test_every_bad_row_is_named() -> None:
    """All faults of all rows come at once, in the names of the wire, and quote no value."""
    rows = [
        {"id": "1"},
        MESSAGE,
        {"message": ["Hola"], "user_id": 5.5},
        "Hola",
        MESSAGE | {"message": {"Ana": 1}},
    ]
    codec = Reader().codec
    with pytest.raises(Malformed) as caught:
        all_rows(codec, list(rows), Message, MESSAGES)
    assert caught.value.problems == (
        "data[0].user_id: missing",
        "data[2].id: missing",
        "data[2].user_id: an id must be text or a whole number, not decimal number",
        "data[2].message: must be text or null, not list",
        "data[3]: must be an object, not text",
        "data[4].message: must be text or null, not object",
    )
    rows_one_by_one = codec.rows(rows[1:], Message, MESSAGES)
    assert next(rows_one_by_one).id == "10"
    with pytest.raises(Malformed, match=r"data\[1\]\.id: missing"):
        next(rows_one_by_one)


def test_a_page_of_faults_still_fits_into_a_log() -> None:
    """Past a hundred faults the rest is a number."""
    with pytest.raises(Malformed) as caught:
        Reader().users(*[None] * 1000)
    assert len(caught.value.problems) == 101
    assert caught.value.problems[-1] == "data: 900 more faults"


def test_oddities_are_tolerated_and_counted() -> None:
    """Each oddity has a short name and a count, and costs nothing but its value."""
    reader = Reader()
    user = reader.user(id=1, name=5, last_active="2019-05-02", tags=[], vip=True)
    assert (user.id, user.name, user.last_active) == ("1", "5", datetime(2019, 5, 2))
    assert user.extra == {"tags": [], "vip": True}
    without = {name: value for name, value in USER.items() if name != "email"}
    [user] = reader.users(without | {"vip": False})
    assert user.email is None
    assert reader.drift == {
        "GET /users: an id is a number": 1,
        "GET /users: a text is a number": 1,
        "GET /users: a date has another form": 1,
        "GET /users: unknown field tags": 1,
        "GET /users: unknown field vip": 2,
        "GET /users: no field email": 1,
    }


@pytest.mark.parametrize(
    ("date", "read", "count"),
    [
        ("2019-05-02 19:04:49", datetime(2019, 5, 2, 19, 4, 49), None),
        ("2019-05-02T19:04:49", datetime(2019, 5, 2, 19, 4, 49), "a date has another form"),
        (
            "2019-05-02T19:04:49Z",
            datetime(2019, 5, 2, 19, 4, 49, tzinfo=UTC),
            "a date has another form",
        ),
        ("0000-00-00 00:00:00", None, None),
        ("", None, None),
        (None, None, None),
        ("2019-02-30 00:00:00", None, "a date cannot be read"),
        (1556826151, None, "a date cannot be read"),
        ([], None, "a date cannot be read"),
        ("\ud83d", None, "a date cannot be read"),
    ],
    ids=repr,
)
def test_a_date_is_read_or_none(date: Any, read: datetime | None, count: str | None) -> None:
    """A date in the documented form is read, in another read and counted, else `None`."""
    reader = Reader()
    assert reader.user(last_active=date).last_active == read
    assert reader.drift == ({f"GET /users: {count}": 1} if count else {})


def test_a_date_that_names_its_zone_keeps_it() -> None:
    """`server_tz` is for dates without a zone."""
    reader = Reader(server_tz="America/Bogota")
    user = reader.user(date_created="2019-05-02 19:04:49+00:00")
    assert user.date_created == datetime(2019, 5, 2, 19, 4, 49, tzinfo=UTC)
    assert user.last_active is not None
    assert str(user.last_active.tzinfo) == "America/Bogota"


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        ({"status": 1}, ["status is number"]),
        ({"status": "true"}, ["status is text"]),
        ({"codigo": "0"}, ["codigo is text"]),
        ({"codigo": ..., "code": 0}, ["code stands for codigo"]),
        ({"codigo": 5}, ["codigo 5"]),
        ({"codigo": "E-1"}, ["codigo is text", "codigo E-1"]),
        ({"codigo": "Llame al 573000000001"}, ["codigo is text", "codigo of another form"]),
        ({"message": ..., "mensaje": "Enviado"}, ["mensaje stands for message"]),
        ({"message": "", "error": "No"}, ["error stands for message"]),
        ({"message": ...}, []),
    ],
    ids=str,
)
def test_oddities_of_the_envelope_are_counted(answer: dict[str, Any], counts: list[str]) -> None:
    """What an envelope says in other words is counted under the call that it answers."""
    reader = Reader()
    reader.codec.envelope(json.dumps(envelope(1, **answer)).encode(), SEND)
    assert reader.drift == {f"POST /messages: {count}": 1 for count in counts}


def test_what_stands_for_data_is_counted() -> None:
    """A list or id in another shape is counted by its kind."""
    reader = Reader()
    all_rows(reader.codec, {"0": USER}, User, USERS)
    all_rows(reader.codec, None, User, USERS)
    reader.codec.message_id("32", SEND)
    reader.codec.message_id(False, SEND)
    assert reader.drift == {
        "GET /users: data is object": 1,
        "GET /users: data is null": 1,
        "POST /messages: data is text": 1,
        "POST /messages: data holds no id but boolean": 1,
    }


def test_the_last_of_two_equal_names_counts() -> None:
    """Of a name that stands twice in an object the last counts, as in every JSON reader."""
    found = Reader().codec.envelope(b'{"status": false, "status": true}', SEND)
    assert found.says_yes


def test_half_an_emoji_is_kept_as_it_came() -> None:
    """A lone surrogate is kept, and our own words about it can still be printed."""
    reader = Reader()
    body = b'{"status": true, "data": [{"id": "\\ud83d", "user_id": "\xed\xa0\xbd", "\\ud83d": 1}]}'
    [user] = all_rows(reader.codec, reader.codec.envelope(body, USERS).data, User, USERS)
    assert (user.id, user.user_id) == ("\ud83d", "\ud83d")
    assert "GET /users: unknown field ?" in reader.drift
    assert f"{reader.drift!r}".encode()
    assert Reader().codec.envelope(b'{"status": true, "message": "\\ud83d"}', SEND).text == "\ud83d"


def test_numbers_that_json_does_not_know() -> None:
    """`NaN` and `Infinity`, which some writers emit, are values like other garbage."""
    reader = Reader()
    found = reader.codec.envelope(b'{"status": true, "codigo": NaN, "data": Infinity}', SEND)
    assert not found.says_yes
    assert not found.says_no
    assert reader.codec.message_id(found.data, SEND) is None
