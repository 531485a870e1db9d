"""The outer object of every answer: ``status``, ``codigo``, ``message``, ``data``.

Rule 1: success is ``status`` that means yes and a ``codigo`` that is absent or 0; nothing else is.
Rule 2: a no is a no in any form; only a yes may have ``problems`` that spoil it.
Rule 3: what the document does not show but a server of its kind does is read and counted;
``strict_envelope`` turns all of that into problems.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from attrs import field, frozen

from ._faults import Malformed
from ._json import loads
from ._kinds import is_object, kind_of

_BOM: Final = b"\xef\xbb\xbf"
_WHITE: Final = b" \t\r\n"
_STATUS_WORDS: Final = {"1": True, "true": True, "0": False, "false": False}
_TEXT_KEYS: Final = ("message", "mensaje", "error")
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
# What a code looks like; any other text under that name is prose, and not shown in a count.
_CODE_LIKE: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")

Count = Callable[[str], None]


@frozen
class Envelope:
    """An answer's outer object.

    ``ok`` is ``None`` where ``status`` is missing or cannot be read. ``problems`` are the faults,
    each behind its path, that keep a yes from being believed.
    """

    ok: bool | None
    code: int | str | None
    text: str = field(repr=False)
    data: Any = field(repr=False)
    raw: dict[str, Any] = field(repr=False)
    problems: tuple[str, ...] = ()

    @property
    def says_no(self) -> bool:
        """Whether the API said no, by ``status`` or by ``codigo``."""
        return self.ok is False or self.code not in (None, 0)

    @property
    def says_yes(self) -> bool:
        """Whether the API said yes, and nothing in the answer contradicts it."""
        return self.ok is True and not self.says_no and not self.problems


def read_object(body: bytes, count: Count) -> dict[str, Any]:
    """Decode a body that must be one JSON object in UTF-8.

    Byte order marks before it are tolerated: a PHP server writes one for each of its files that has
    one.
    """
    begins = begin_of(body)
    if _BOM in body[: len(body) - len(begins)]:
        count("the body begins with a byte order mark")
    if not begins:
        raise Malformed("body: empty")
    try:
        found = loads(begins)
    except RecursionError:
        raise Malformed("body: nested too deeply") from None
    except UnicodeDecodeError:
        raise Malformed("body: not UTF-8") from None
    except ValueError:
        raise Malformed("body: not JSON") from None
    if not is_object(found):
        raise Malformed(f"body: must be an object, not {kind_of(found)}")
    return found


def begin_of(body: bytes) -> bytes:
    """Return a body without the white space and byte order marks before it."""
    return body.lstrip(_BOM + _WHITE)


def read_envelope(raw: dict[str, Any], count: Count, *, strict: bool) -> Envelope:
    """Read the four members of the outer object."""
    ok = _status(raw, count)
    code, problems = _code(raw, count)
    if strict:
        problems = _undocumented(raw)
    elif ok is None:
        problems = ("status: missing, or neither yes nor no", *problems)
    return Envelope(ok, code, _text(raw, count), raw.get("data"), raw, problems)


def _undocumented(raw: dict[str, Any]) -> tuple[str, ...]:
    """List each member that does not stand exactly as documented."""
    wanted = {"status": bool, "codigo": int, "message": str}
    problems = [
        f"{name}: must be {kind_of(kind())}, not {kind_of(raw[name])}"
        for name, kind in wanted.items()
        if name in raw and type(raw[name]) is not kind
    ]
    return (*problems, *(f"{name}: missing" for name in (*wanted, "data") if name not in raw))


def _status(raw: dict[str, Any], count: Count) -> bool | None:
    value = raw.get("status")
    if isinstance(value, bool):
        return value
    if not isinstance(value, str | int):
        return None
    found = _STATUS_WORDS.get(str(value).strip().lower())
    if found is not None:
        count(f"status is {kind_of(value)}")
    return found


def _code(raw: dict[str, Any], count: Count) -> tuple[int | str | None, tuple[str, ...]]:
    """Read ``codigo``, or ``code`` in its place, with what is wrong with it."""
    name = "code" if raw.get("codigo") is None else "codigo"
    value = raw.get(name)
    if value is None:
        return None, ()
    if name == "code":
        count("code stands for codigo")
    if isinstance(value, str):
        count("codigo is text")
        value = _number_or_text(value.strip())
    if value == "" or not isinstance(value, str | int) or isinstance(value, bool):
        kind = "empty" if value == "" else kind_of(value)
        return None, (f"{name}: must be a whole number, not {kind}",)
    if value != 0:
        count(f"codigo {value if _CODE_LIKE.fullmatch(str(value)) else 'of another form'}")
    return value, ()


def _number_or_text(value: str) -> int | str:
    return int(value) if _WHOLE.fullmatch(value) else value


def _text(raw: dict[str, Any], count: Count) -> str:
    for name in _TEXT_KEYS:
        value = raw.get(name)
        if isinstance(value, str) and value:
            if name != "message":
                count(f"{name} stands for message")
            return value
    return ""
