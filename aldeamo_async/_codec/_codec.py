"""The codec: bodies in, nouns out, for one dialect.

Rule 1: a list of ``data`` may stand as a list or as what servers of this kind make of an empty or a
keyed one.
Rule 2: a sent message is sent whether or not its id can be read.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cattrs import ClassValidationError

from .._models import Message, User
from ._envelope import Envelope, read_envelope, read_object
from ._faults import Malformed, faults_of
from ._kinds import is_list, is_object, is_whole, kind_of
from ._rows import WIRE_NAMES, make_converter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cattrs import Converter

    from .._drift import Drift
    from .._settings import Dialect

RowT = TypeVar("RowT", User, Message)

# A page of 100,000 bad rows is one fault, repeated; an error must still fit into a log.
FAULTS_MAX: Final = 100


class Codec:
    """Reads answers as one dialect expects them; ``drift`` counts what it had to put up with."""

    def __init__(self, dialect: Dialect, drift: Drift) -> None:
        self._dialect = dialect
        self._drift = drift

    @cached_property
    def _converter(self) -> Converter:
        # Made when the first list comes: it takes a millisecond, which a send need not wait for.
        return make_converter(self._dialect, self._drift)

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
            except (ClassValidationError, ValueError) as error:
                raise Malformed(*faults_of(error, f"data[{number}]", WIRE_NAMES)) from None
            yield found

    def all_rows(self, data: Any, noun: type[RowT], call: str) -> list[RowT]:
        """Read a whole list; raise ``Malformed`` with the first hundred faults of all its rows."""
        hook = self._converter.get_structure_hook(noun)
        found: list[RowT] = []
        problems: list[str] = []
        for number, row in enumerate(self._list(data, call)):
            try:
                found.append(hook(row, noun))
            except (ClassValidationError, ValueError) as error:
                problems += faults_of(error, f"data[{number}]", WIRE_NAMES)
        if len(problems) > FAULTS_MAX:
            problems[FAULTS_MAX:] = [f"data: {len(problems) - FAULTS_MAX} more faults"]
        if problems:
            raise Malformed(*problems)
        return found

    def message_id(self, data: Any, call: str) -> str | None:
        """Read the id of a sent message as text; what is neither a number nor digits is ``None``.

        Under ``strict_data`` only a number is an id, and all else is ``Malformed``.
        """
        if is_whole(data):
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
        if is_list(data):
            return data
        if self._dialect.strict_data:
            raise Malformed(f"data: must be a list, not {kind_of(data)}")
        self._drift.count(f"{call}: data is {kind_of(data)}")
        if isinstance(data, str):
            data = _inner_json(data) if data.strip() else None
        if data is None or data is False:
            return []
        if is_object(data) and all(key.isascii() and key.isdigit() for key in data):
            return list(data.values())
        if is_list(data):
            return data
        raise Malformed(f"data: must be a list, not {kind_of(data)}")


def _inner_json(text: str) -> Any:
    """Decode the JSON that stands inside a text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("data: must be a list, not text") from None
