"""A text made from columns: ``Hola {name}``.

Rule: a field is a plain column name and nothing else. No attribute, index, conversion or format is
followed, so a template cannot reach into the program.
"""

from __future__ import annotations

from string import Formatter
from typing import TYPE_CHECKING

from .._errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


class MissingColumn(Exception):
    """A row has no value for a field of the template."""


class Template:
    """A parsed template. ``columns`` are the names that it needs, each once."""

    def __init__(self, source: str) -> None:
        try:
            pieces = list(Formatter().parse(source))
        except ValueError as error:
            raise UsageError(
                f"The template cannot be read: {error}. Write {{column}} for a column and {{{{ "
                f"for a brace."
            ) from None
        self._pieces = [(literal, _plain(*field)) for literal, *field in pieces]
        self.columns = tuple(dict.fromkeys(name for _, name in self._pieces if name is not None))

    def fill(self, cells: Mapping[str, object]) -> str:
        """Return the text for one row. Raises `MissingColumn` with the names of what it lacks."""
        missing = [name for name in self.columns if cells.get(name) is None]
        if missing:
            raise MissingColumn(", ".join(missing))
        return "".join(
            literal + ("" if name is None else str(cells[name])) for literal, name in self._pieces
        )


def _plain(name: str | None, spec: str | None, conversion: str | None) -> str | None:
    """Return the column that a field names; refuse a field that does more than that."""
    if name is None:
        return None
    if not name:
        raise UsageError("The template has an empty field {}; name a column, such as {name}.")
    if spec or conversion or any(mark in name for mark in ".[]{}"):
        raise UsageError(
            f"The template field {name!r} does more than name a column; only plain {{column}} "
            f"fields are allowed."
        )
    return name
