"""One row of a list to one noun, by cattrs.

Rule 1: the table of fields below is the only place where a name of the wire meets a name of ours.
Rule 2: a field that the document does not know is kept in ``extra`` and counted; one that it knows
and that is not there is counted and ``None``, except ids, without which a row is no noun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from .._models import Message, User
from ._fields import Fields
from ._kinds import is_object, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._drift import Drift
    from .._settings import Dialect

_RowT = TypeVar("_RowT", User, Message)

# Our name of a field to the wire's, where they differ.
WIRE_NAMES: Final = {"text": "message"}


def make_converter(dialect: Dialect, drift: Drift) -> Converter:
    """Make the one converter that reads users and messages as ``dialect`` writes them."""
    converter = Converter()
    user = Fields("GET /users", dialect.server_tz, drift)
    message = Fields("GET /messages", dialect.server_tz, drift)
    of_user = {
        "id": user.id,
        "user_id": user.id,
        "name": user.text,
        "email": user.text,
        "phone": user.text,
        "date_created": user.date,
        "last_active": user.date,
    }
    of_message = {
        "id": message.id,
        "user_id": message.id,
        "text": message.text,
        "time": message.epoch,
    }
    converter.register_structure_hook(User, _hook(User, converter, user, of_user))
    converter.register_structure_hook(Message, _hook(Message, converter, message, of_message))
    return converter


def _hook(
    noun: type[_RowT],
    converter: Converter,
    fields: Fields,
    readers: Mapping[str, Callable[[Any, Any], Any]],
) -> Callable[[Any, Any], _RowT]:
    """Make the function that turns one row into one noun."""
    overrides: dict[str, Any] = {
        name: override(struct_hook=reader, rename=WIRE_NAMES.get(name, name))
        for name, reader in readers.items()
    }
    overrides["extra"] = override(omit=True)  # no field of the wire; filled below
    known = frozenset(WIRE_NAMES.get(name, name) for name in readers)
    structure = make_dict_structure_fn(noun, converter, **overrides)

    def read(row: Any, _: Any) -> _RowT:
        if not is_object(row):
            raise ValueError(f"must be an object, not {kind_of(row)}")
        found = structure(row, noun)
        if row.keys() != known:
            found.extra.update({name: value for name, value in row.items() if name not in known})
            for name in row.keys() ^ known:
                fields.count(f"{'no' if name in known else 'unknown'} field {name}")
        return found

    return read
