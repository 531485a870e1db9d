"""The kinds of JSON values, by the names that a reader of JSON knows.

Rule: a value is named, never quoted.
"""

from __future__ import annotations

from types import NoneType
from typing import Any, Final, TypeGuard

_KINDS: Final[dict[type, str]] = {
    NoneType: "null",
    bool: "boolean",
    int: "number",
    float: "decimal number",
    str: "text",
    list: "list",
    dict: "object",
}


def kind_of(value: object) -> str:
    """Name a JSON value's type without quoting the value."""
    return _KINDS[type(value)]


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether a JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Tell whether a JSON value is a list."""
    return isinstance(value, list)


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether a JSON value is a whole number; ``true`` is none, whatever Python says."""
    return type(value) is int
