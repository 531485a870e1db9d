"""The outer object of every answer: ``status``, ``codigo``, ``message``, ``data``.

Rule 1: success is ``status`` that means yes and a ``codigo`` that is absent or 0; nothing else is.
Rule 2: what the document does not show but a server of its kind does is read and counted; ``strict_envelope`` turns
all of that into faults.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from attrs import field, frozen

from ._faults import Malformed
from ._fields import kind_of

_BOM: Final = b"\xef\xbb\xbf"
_STATUS_WORDS: Final = {"1": True, "true": True, "0": False, "false": False}
_TEXT_KEYS: Final = ("message", "mensaje", "error")

Count = Callable[[str], None]


@frozen
class Envelope:
    """An answer's outer object. ``ok`` is ``None`` where ``status`` is missing or cannot be read."""

    ok: bool | None
    code: int | str | None
    text: str = field(repr=False)
    data: Any = field(repr=False)
    raw: dict[str, Any] = field(repr=False)


def read_object(body: bytes, count: Count) -> dict[str, Any]:
    """Decode a body that must be one JSON object; a byte order mark before it is tolerated."""
    if body.startswith(_BOM):
        count("the body begins with a byte order mark")
    try:
        found = json.loads(body)
    except RecursionError:
        raise Malformed("body: nested too deeply") from None
    except ValueError:
        raise Malformed("body: empty" if not body.strip() else "body: not JSON") from None
    if not isinstance(found, dict):
        raise Malformed(f"body: must be an object, not {kind_of(found)}")
    return found


def read_envelope(raw: dict[str, Any], count: Count, *, strict: bool) -> Envelope:
    """Read the four members of the outer object."""
    if strict:
        _check_documented(raw)
    return Envelope(_status(raw, count), _code(raw, count), _text(raw, count), raw.get("data"), raw)


def _check_documented(raw: dict[str, Any]) -> None:
    """Raise ``Malformed`` for each member that does not stand exactly as documented."""
    wanted = {"status": bool, "codigo": int, "message": str}
    problems = [
        f"{name}: must be {kind_of(kind())}, not {kind_of(raw[name])}" if name in raw else f"{name}: missing"
        for name, kind in wanted.items()
        if type(raw.get(name)) is not kind
    ]
    if "data" not in raw:
        problems.append("data: missing")
    if problems:
        raise Malformed(*problems)


def _status(raw: dict[str, Any], count: Count) -> bool | None:
    value = raw.get("status")
    if isinstance(value, bool):
        return value
    word = str(value).lower() if isinstance(value, str | int) else ""
    if word in _STATUS_WORDS:
        count(f"status is {kind_of(value)}")
    return _STATUS_WORDS.get(word)


def _code(raw: dict[str, Any], count: Count) -> int | str | None:
    name = "codigo" if "codigo" in raw else "code"
    value = raw.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Malformed(f"{name}: must be a whole number, not {kind_of(value)}")
    if name == "code":
        count("code stands for codigo")
    if isinstance(value, str):
        count("codigo is text")
        value = int(value) if value.isascii() and value.isdigit() and len(value) < 19 else value
    if value != 0:
        count(f"codigo {value}")
    return value


def _text(raw: dict[str, Any], count: Count) -> str:
    for name in _TEXT_KEYS:
        value = raw.get(name)
        if isinstance(value, str) and value:
            if name != "message":
                count(f"{name} stands for message")
            return value
    return ""
