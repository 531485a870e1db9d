"""Reading rows: CSV of every make, JSON lines, and what is wrong with a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from aldeamo_async._files import FileFault, Record, format_of, opened, records


def read(text: str | bytes, form: Any = None) -> list[Record]:
    return list(records(io.BytesIO(text.encode() if isinstance(text, str) else text), form))


def cells(text: str | bytes, form: Any = None) -> list[dict[str, Any]]:
    return [record.cells for record in read(text, form)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_as_spreadsheets_write_it(delimiter: str, end: str, mark: str) -> None:
    """Every delimiter, line end and byte order mark gives the same rows."""
    header = delimiter.join(["channel", " client_id ", "text"])
    row = delimiter.join(["sms", "573000000001", '"Hola, Ana; sí | ¿qué tal?"'])
    assert cells(mark + header + end + row + end) == [
        {"channel": "sms", "client_id": "573000000001", "text": "Hola, Ana; sí | ¿qué tal?"}
    ]


def test_rows_and_lines_are_counted() -> None:
    """Rows count from 1; a line is where the row begins, past blank lines and long texts."""
    found = read('\n\na,b\n1,"x\ny"\n\n,\n2,z\n')
    assert [(record.number, record.line, record.cells) for record in found] == [
        (1, 4, {"a": "1", "b": "x\ny"}),
        (2, 8, {"a": "2", "b": "z"}),
    ]
    assert {record.header for record in found} == {("a", "b")}


def test_excels_own_delimiter_line() -> None:
    """A first line `sep=;` names the delimiter and is not the header."""
    (record,) = read("sep=;\r\na;b\r\n1;2\r\n")
    assert (record.line, record.cells) == (3, {"a": "1", "b": "2"})
    assert read("sep=;\n") == []


def test_a_single_column_needs_no_delimiter() -> None:
    """A header of one column is read as such."""
    assert cells("client_id\n573000000001\n") == [{"client_id": "573000000001"}]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("1", "1 cells where the header has 2"),
        ("1,2,3", "3 cells where the header has 2"),
        ('1,"x" y', "not a row of CSV"),
        ('1,"x', "a quote that is not closed"),
    ],
)
def test_a_bad_line_is_one_bad_record(row: str, problem: str) -> None:
    """A row that cannot be read says why."""
    (record,) = read(f"a,b\n{row}\n")
    assert problem in str(record.problem)
    assert record.line == 2


def test_reading_goes_on_after_a_bad_line() -> None:
    """One bad line does not end the file."""
    assert [bool(record.problem) for record in read('a,b\n1,"x" y\n2,z\n')] == [True, False]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"a,a\n1,2\n", "names 'a' more than once"),
        (b'a,"b" c\n1,2\n', "header cannot be read"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-be").join([b"\xfe\xff", b""]), "UTF-16"),
        ("a,b\n1,x\n2,ñ\n".encode("cp1252"), "line 3: byte 0xF1 is not UTF-8"),
        ("año,b\n".encode("latin-1"), "line 1: byte 0xF1"),
        ('{"a": 1}\n{"a": "ñ"}\n'.encode("cp1252"), "line 2: byte 0xF1"),
        (b'[{"a": 1}]\n', "JSON array"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole(content: bytes, problem: str) -> None:
    """A file in another encoding or shape is refused, with the line and what to do."""
    with pytest.raises(FileFault, match=problem):
        read(content)


def test_json_lines() -> None:
    """Each line is an object; numbers stay numbers; blank lines count for nothing."""
    found = read('\n{"client_id": 573000000001}\n\n{"client_id": "2"}\n')
    assert [(record.number, record.line, record.cells) for record in found] == [
        (1, 2, {"client_id": 573000000001}),
        (2, 4, {"client_id": "2"}),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [("{", "not a line of JSON"), ("[1]", "not a JSON object"), ("7", "not a JSON object")],
)
def test_a_bad_line_of_json(line: str, problem: str) -> None:
    """A line that is no object is a bad record."""
    _, record = read('{"a": 1}\n' + line + "\n")
    assert problem in str(record.problem)


def test_json_that_is_nested_too_deeply() -> None:
    """A line that would exhaust the stack is a bad record."""
    _, record = read('{"a": 1}\n' + '{"a":' * 100_000 + "\n")
    assert "not a line of JSON" in str(record.problem)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.csv", "csv"),
        ("a.TSV", "csv"),
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.txt", None),
    ],
)
def test_the_suffix_tells_the_format(name: str, form: str | None) -> None:
    """Known suffixes decide; others leave it to the content."""
    assert format_of(Path(name)) == form


def test_the_format_can_be_said() -> None:
    """A format that is given wins over suffix and content."""
    assert cells('{"a"\n1\n', "csv") == [{'{"a"': "1"}]


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """A missing file is a fault with the system's own words."""
    with pytest.raises(FileFault, match="No such file"), opened(tmp_path / "none.csv", None):
        pass


def test_a_file_is_closed_when_its_reader_leaves_early(tmp_path: Path) -> None:
    """Leaving in the middle leaves no open file behind."""
    path = tmp_path / "a.txt"
    path.write_text("a,b\n1,2\n3,4\n")
    with opened(path, None) as found:
        assert next(found).cells == {"a": "1", "b": "2"}
    assert list(found) == []
