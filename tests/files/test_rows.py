"""From a record to a message, or to a bad row with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from aldeamo_async._files import BadRow, FileFault, Record, Row, RowMaker, Template
from aldeamo_async._models import Outgoing
from aldeamo_async._settings import Dialect

GOOD = {"channel": "sms", "client_id": "573000000001", "text": "Hola"}


def make(maker: RowMaker | None = None, /, **cells: Any) -> Row | BadRow:
    return (maker or RowMaker(Dialect())).make(Record(7, 8, cells))


def test_a_good_row_becomes_a_message() -> None:
    """The message carries the row's number as its reference; the user's own stays beside it."""
    row = make(**GOOD, client_ref=12)
    assert row == Row(7, 8, Outgoing("sms", "573000000001", "Hola", "7"), "12")


def test_the_channel_is_forgiving_about_case_and_space() -> None:
    """` SMS ` is sms."""
    row = make(**GOOD | {"channel": " SMS "})
    assert isinstance(row, Row)
    assert row.outgoing.channel == "sms"


@pytest.mark.parametrize("channel", [None, "", "  "])
def test_the_channel_option_fills_a_gap(channel: str | None) -> None:
    """--channel stands in where a row names none; a row's own channel wins."""
    maker = RowMaker(Dialect(), channel="web")
    filled, own = make(maker, **GOOD | {"channel": channel}), make(maker, **GOOD)
    assert isinstance(filled, Row)
    assert isinstance(own, Row)
    assert (filled.outgoing.channel, own.outgoing.channel) == ("web", "sms")


def test_the_template_makes_the_text() -> None:
    """--template builds the text from the row's columns."""
    row = make(RowMaker(Dialect(), template=Template("Hola {name}")), **GOOD | {"name": "Ana"})
    assert isinstance(row, Row)
    assert row.outgoing.text == "Hola Ana"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"channel": "fax"}, "Cannot send to the channel 'fax'"),
        ({"channel": 3}, "A channel is text"),
        ({"channel": None}, "no value for channel"),
        ({"client_id": None}, "no value for client_id"),
        ({"client_id": ""}, "no value for client_id"),
        ({"client_id": 5.73e11}, "not float"),
        ({"client_id": True}, "not bool"),
        ({"client_id": "5.73E+11"}, "shortened by a spreadsheet"),
        ({"client_id": " 5,73e11 "}, "shortened by a spreadsheet"),
        ({"client_id": "573000000001.0"}, "became a decimal number"),
        ({"client_id": "Ana"}, "phone number"),
        ({"text": None}, "no value for text"),
        ({"text": " "}, "empty"),
        ({"text": 5}, "not int"),
        ({"text": "\ud800"}, "surrogate"),
    ],
)
def test_a_bad_row_says_why(change: dict[str, Any], problem: str) -> None:
    """Each fault of a row is named, and what is known of the row is kept."""
    cells = GOOD | change
    row = make(**cells)
    assert isinstance(row, BadRow)
    assert problem in row.problem
    assert (row.number, row.line) == (7, 8)
    assert row.client_id == ("" if cells["client_id"] is None else str(cells["client_id"]))


def test_a_record_that_could_not_be_read_is_a_bad_row() -> None:
    """The reader's own finding is the row's problem."""
    row = RowMaker(Dialect()).make(Record(1, 2, problem="not JSON"))
    assert row == BadRow(1, 2, "not JSON")


def test_a_column_that_the_template_wants() -> None:
    """A row without a column of the template is bad, and says which."""
    row = make(RowMaker(Dialect(), "sms", Template("Hola {name}")), client_id="573000000001")
    assert isinstance(row, BadRow)
    assert row.problem == "no value for name"
    assert row.channel == "sms"


@pytest.mark.parametrize(
    ("maker", "header", "missing"),
    [
        (RowMaker(Dialect()), ("a", "client_id"), "channel, text"),
        (RowMaker(Dialect(), "sms", Template("{name}")), ("phone",), "client_id, name"),
    ],
)
def test_a_file_without_a_column_is_refused_at_once(
    maker: RowMaker, header: tuple[str, ...], missing: str
) -> None:
    """What every row would lack is said once, with what the file has."""
    with pytest.raises(FileFault, match=f"{missing} is missing"):
        maker.make(Record(1, 2, {}, header=header))


def test_a_file_with_its_columns_passes() -> None:
    """The header is looked at once, with the first row."""
    maker = RowMaker(Dialect())
    assert isinstance(maker.make(Record(1, 2, GOOD, header=tuple(GOOD))), Row)
    assert isinstance(maker.make(Record(2, 3, GOOD, header=("other",))), Row)
