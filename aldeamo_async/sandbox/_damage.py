"""What broken servers do to an answer: to its `data`, or to the bytes of its body.

Law: pure functions at module level, so that a fault that names one can be compared and pickled.
"""

from __future__ import annotations

import json
from typing import Any, cast

PHP_NOTICE = (
    b"<br />\n<b>Notice</b>:  Undefined index: channel in <b>/srv/express.php</b>"
    b" on line <b>42</b><br />\n"
)
BOM = b"\xef\xbb\xbf"
_IDS = frozenset({"id", "user_id"})


def as_word(data: Any) -> object:
    """Return a word in place of the data."""
    return "ok"


def as_object(data: Any) -> object:
    """Return a list as an object with the keys "0", "1", ...; anything else as its only item."""
    if not isinstance(data, list):
        return {"0": data}
    rows = cast("list[dict[str, Any]]", data)
    return {str(index): row for index, row in enumerate(rows)}


def as_null(data: Any) -> object:
    """Return None in place of the data."""
    return None


def as_false(data: Any) -> object:
    """Return False in place of the data."""
    return False


def as_json_text(data: Any) -> object:
    """Return the data as JSON inside a string."""
    return json.dumps(data)


def as_ids_in_int(data: Any) -> object:
    """Return rows whose ids are numbers; anything else unchanged."""
    if not isinstance(data, list):
        return data
    rows = cast("list[dict[str, Any]]", data)
    return [{k: int(v) if k in _IDS else v for k, v in row.items()} for row in rows]


def cut(body: bytes) -> bytes:
    """Return the first two thirds of the body."""
    return body[: len(body) * 2 // 3]


def add_bom(body: bytes) -> bytes:
    """Return the body behind a UTF-8 byte order mark."""
    return BOM + body


def add_php_notice(body: bytes) -> bytes:
    """Return the body behind a notice as PHP prints it."""
    return PHP_NOTICE + body
