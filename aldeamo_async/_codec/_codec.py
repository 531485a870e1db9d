"""The codec: bodies in, nouns out, for one dialect.

Rule 1: a list of ``data`` may stand as a list or as what servers of this kind make of an empty or a keyed one.
Rule 2: a sent message is sent whether or not its id can be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar

from cattrs import BaseValidationError

from .._drift import Drift
from .._models import Message, User
from .._settings import Dialect
from ._envelope import Envelope, read_envelope, read_object
from ._faults import Malformed, faults_of
from ._fields import kind_of
from ._rows import make_converter

RowT = TypeVar("RowT", User, Message)


class Codec:
    """Reads answers as one dialect expects them, and counts in ``drift`` what it had to put up with."""

    def __init__(self, dialect: Dialect, drift: Drift) -> None:
        self._dialect = dialect
        self._drift = drift
        self._converter = make_converter(dialect, drift)

    def envelope(self, body: bytes, call: str) -> Envelope:
        """Read the outer object of an answer to ``call``, or raise ``Malformed``."""

        def count(oddity: str) -> None:
            self._drift.count(f"{call}: {oddity}")

        return read_envelope(read_object(body, count), count, strict=self._dialect.strict_envelope)

    def rows(self, data: Any, noun: type[RowT], call: str) -> Iterator[RowT]:
        """Read a list row by row; raise ``Malformed`` at the first bad one."""
        hook = self._converter.get_structure_hook(noun)
        for number, row in enumerate(self._list(data, call)):
            try:
                found = hook(row, noun)
            except (BaseValidationError, ValueError) as error:
                problems = faults_of(error, f"data[{number}]")
                raise Malformed(*problems) from None
            yield found

    def all_rows(self, data: Any, noun: type[RowT], call: str) -> list[RowT]:
        """Read a whole list; raise ``Malformed`` that names the faults of every row."""
        hook = self._converter.get_structure_hook(noun)
        found: list[RowT] = []
        problems: list[str] = []
        for number, row in enumerate(self._list(data, call)):
            try:
                found.append(hook(row, noun))
            except (BaseValidationError, ValueError) as error:
                problems += faults_of(error, f"data[{number}]")
        if problems:
            raise Malformed(*problems)
        return found

    def message_id(self, data: Any, call: str) -> str | None:
        """Read the id of a sent message: digits as text, else ``None`` (or ``Malformed`` under ``strict_data``)."""
        if isinstance(data, int) and not isinstance(data, bool):
            return str(data)
        if self._dialect.strict_data:
            raise Malformed(f"data: must be a whole number, not {kind_of(data)}")
        if isinstance(data, str) and data.isascii() and data.isdigit():
            self._drift.count(f"{call}: data is text")
            return data
        self._drift.count(f"{call}: data holds no id but {kind_of(data)}")
        return None

    def _list(self, data: Any, call: str) -> list[Any]:
        """Read ``data`` as the list it stands for, or raise ``Malformed``."""
        if isinstance(data, list):
            return data
        if self._dialect.strict_data:
            raise Malformed(f"data: must be a list, not {kind_of(data)}")
        self._drift.count(f"{call}: data is {kind_of(data)}")
        if isinstance(data, str) and data.strip():
            data = _inner_json(data)
        if data is None or data is False or data == "":
            return []
        if isinstance(data, dict) and all(key.isascii() and key.isdigit() for key in data):
            return list(data.values())
        if isinstance(data, list):
            return data
        raise Malformed(f"data: must be a list, not {kind_of(data)}")


def _inner_json(text: str) -> Any:
    """Decode a JSON text that stands inside a JSON text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("data: must be a list, not text") from None
