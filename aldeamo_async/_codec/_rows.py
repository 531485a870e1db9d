"""One row of a list to one noun, by cattrs.

Rule 1: the table of fields below is the only place where a name of the wire meets a name of ours.
Rule 2: a field that the document does not know is kept in ``extra`` and counted; one that it knows
and that is not there is counted and ``None``, except ids, without which a row is no noun.
Rule 3: a good row is read by a function that stops at the first fault, for that one is quicker; a
bad one is read once more by one that names them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from cattrs import ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn, override

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


def _structure(noun: type[_RowT], fields: Fields, *, detailed: bool) -> Callable[..., _RowT]:
    """Let cattrs write the function that makes a noun of an object."""
    overrides: dict[str, Any] = {
        name: override(struct_hook=hook, rename=_WIRE_NAMES.get(name, name))
        for name, hook in _hooks(noun, fields).items()
    }
    overrides["extra"] = override(omit=True)  # no field of the wire; filled by the reader
    return make_dict_structure_fn(
        noun, Converter(), _cattrs_detailed_validation=detailed, **overrides
    )


def _reader(
    noun: type[_RowT], call: str, dialect: Dialect, drift: Drift
) -> Callable[[Any, int], _RowT]:
    """Make the function that turns one row into one noun."""
    fields = Fields(call, dialect.server_tz, drift)
    known = frozenset(_WIRE_NAMES.get(name, name) for name in _hooks(noun, fields))
    quick = _structure(noun, fields, detailed=False)
    # What it counts on its way has been counted.
    careful = _structure(noun, Fields(call, dialect.server_tz, Drift()), detailed=True)

    def read(row: Any, number: int) -> _RowT:
        if not is_object(row):
            raise Malformed(f"data[{number}]: must be an object, not {kind_of(row)}")
        try:
            found = quick(row)
        except (KeyError, ValueError):
            raise Malformed(*_faults(careful, row, f"data[{number}]")) from None
        if row.keys() != known:
            found.extra.update({name: value for name, value in row.items() if name not in known})
            for name in row.keys() ^ known:
                fields.count(f"{'no' if name in known else 'unknown'} field {name}")
        return found

    return read


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
