"""One row of a list to one noun, by cattrs.

Rule 1: the table of fields below is the only place where a name of the wire meets a name of ours.
Rule 2: a field that the document does not know is kept in ``extra`` and counted; one that it knows
and that is not there is counted and ``None``, except ids, without which a row is no noun.
Rule 3: a row as documented is read by a function that needs every field and stops at the first
fault, for that one is quicker by a half; any other by one that names all faults at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
from attrs import NOTHING
from cattrs import ClassValidationError, Converter
from cattrs.gen import (
    make_dict_structure_fn_from_attrs,  # pyright: ignore[reportUnknownVariableType]  # list[Attribute]
    override,
)

from .._drift import Drift
from .._models import Message, User
from ._faults import Malformed
from ._fields import Fields
from ._kinds import is_object, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._settings import Dialect

    Readers = Mapping[type, Callable[[Any, int], Any]]

_RowT = TypeVar("_RowT", User, Message)

# Our name of a field to the wire's, where they differ.
_WIRE_NAMES: Final = {"text": "message"}


def make_readers(dialect: Dialect, drift: Drift) -> Readers:
    """Make the functions that read users and messages as ``dialect`` writes them.

    Each takes a row and its number, and raises ``Malformed`` with every fault of the row.
    """
    return {
        User: _reader(User, "GET /users", dialect, drift),
        Message: _reader(Message, "GET /messages", dialect, drift),
    }


def _hooks(noun: type, fields: Fields) -> Mapping[str, Callable[[Any, Any], Any]]:
    """Tell how each field of a noun is read."""
    ids = {"id": fields.id, "user_id": fields.id}
    if noun is Message:
        return {**ids, "text": fields.text, "time": fields.epoch}
    return {
        **ids,
        "name": fields.text,
        "email": fields.text,
        "phone": fields.text,
        "date_created": fields.date,
        "last_active": fields.date,
    }


def _reader(
    noun: type[_RowT], call: str, dialect: Dialect, drift: Drift
) -> Callable[[Any, int], _RowT]:
    """Make the function that turns one row into one noun."""
    fields = Fields(call, dialect.server_tz, drift)
    known = frozenset(_WIRE_NAMES.get(name, name) for name in _hooks(noun, fields))
    quick = _structure(noun, fields, documented=True)
    careful = _structure(noun, fields, documented=False)
    # Reads a row for the second time, so what it counts has been counted.
    again = _structure(noun, Fields(call, dialect.server_tz, Drift()), documented=False)

    def read(row: Any, number: int) -> _RowT:
        if not is_object(row):
            raise Malformed(f"data[{number}]: must be an object, not {kind_of(row)}")
        try:
            if row.keys() == known:
                return quick(row)
            found = careful(row)
        except (ClassValidationError, ValueError):
            raise Malformed(*_faults(again, row, f"data[{number}]")) from None
        found.extra.update({name: value for name, value in row.items() if name not in known})
        for name in row.keys() ^ known:
            fields.count(f"{'no' if name in known else 'unknown'} field {name}")
        return found

    return read


def _structure(noun: type[_RowT], fields: Fields, *, documented: bool) -> Callable[..., _RowT]:
    """Let cattrs write the function that makes a noun of an object."""
    hooks = _hooks(noun, fields)
    overrides: dict[str, Any] = {
        name: override(struct_hook=hook, rename=_WIRE_NAMES.get(name, name))
        for name, hook in hooks.items()
    }
    return make_dict_structure_fn_from_attrs(
        [
            field.evolve(default=NOTHING) if documented else field
            for field in attrs.fields(noun)
            if field.name in hooks  # "extra" is no field of the wire; the reader fills it
        ],
        noun,
        Converter(),
        _cattrs_detailed_validation=not documented,
        **overrides,
    )


def _faults(careful: Callable[..., object], row: dict[str, Any], path: str) -> list[str]:
    """List the faults of a bad row, in the names of the wire."""
    found: list[str] = []
    try:
        careful(row)
    except ClassValidationError as error:
        for fault, where in error.group_exceptions()[0]:
            what = "missing" if isinstance(fault, KeyError) else str(fault)
            found.append(f"{path}.{_WIRE_NAMES.get(where.name, where.name)}: {what}")
    return found
