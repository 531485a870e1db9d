"""The codec: bodies in, nouns out, for one dialect.

Rule 1: a list of ``data`` may stand as a list or as what servers of this kind make of an empty or a
keyed one.
Rule 2: a sent message is sent whether or not its id can be read.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from .._models import Message, User
from ._envelope import Envelope, read_envelope, read_object
from ._faults import Malformed
from ._json import loads
from ._kinds import is_list, is_object, is_whole, kind_of
from ._page import Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._drift import Drift
    from .._settings import Dialect
    from ._rows import Readers

RowT = TypeVar("RowT", User, Message)


class Codec:
    """Reads answers as one dialect expects them; ``drift`` counts what it had to put up with."""

    def __init__(self, dialect: Dialect, drift: Drift) -> None:
        self._dialect = dialect
        self._drift = drift

    @cached_property
    def _readers(self) -> Readers:
        # Made when the first list comes: a send need wait neither for this nor for cattrs.
        from ._rows import make_readers

        return make_readers(self._dialect, self._drift)

    def envelope(self, body: bytes, call: str) -> Envelope:
        """Read the outer object of an answer to ``call``, or raise ``Malformed``."""

        def count(oddity: str) -> None:
            self._drift.count(f"{call}: {oddity}")

        return read_envelope(read_object(body, count), count, strict=self._dialect.strict_envelope)

    def rows(self, data: Any, noun: type[RowT], call: str) -> Iterator[RowT]:
        """Read a list row by row; raise ``Malformed`` at the first bad one."""
        return self.nouns(self._list(data, call), noun, 0)

    def nouns(self, rows: Iterable[Any], noun: type[RowT], first: int) -> Iterator[RowT]:
        """Read rows that follow one another in a list, the first of them number ``first``."""
        read = self._readers[noun]
        for number, row in enumerate(rows, first):
            yield read(row, number)

    def page(self, data: Any, noun: type[RowT], call: str) -> Page[RowT]:
        """Read a whole list, a stretch at a time. It uses ``data`` up."""
        return Page(self._list(data, call), self._readers[noun])

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
        return loads(text)
    except (ValueError, RecursionError):
        raise Malformed("data: must be a list, not text") from None
