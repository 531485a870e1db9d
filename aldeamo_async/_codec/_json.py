"""JSON to Python values, by msgspec where it is installed (extra ``json``).

Rule: the same text gives the same values, or the same fault, with msgspec and without it. msgspec
reads less than the standard library does (no ``NaN``, no half of an emoji, no number beyond a
double), and nothing differently; so what it refuses, the standard library decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeAlias

_Loads: TypeAlias = Callable[[bytes | str], Any]

# Bytes; below it msgspec saves less than its import has cost, and a send has nothing to import for.
_WORTH_IT_FROM: Final = 16_384


def loads(text: bytes | str) -> Any:
    """Decode JSON in UTF-8, where half an emoji may stand as it is.

    Raises ``UnicodeDecodeError``, another ``ValueError`` for what is not JSON, or
    ``RecursionError``.
    """
    return plain_loads(text) if len(text) < _WORTH_IT_FROM else _fast_loads()(text)


def plain_loads(text: bytes | str) -> Any:
    """Decode with the standard library."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogatepass")
    return json.loads(text)


def json_library() -> str:
    """Name what decodes long answers: ``msgspec`` or ``json``."""
    return "json" if _fast_loads() is plain_loads else "msgspec"


@cache
def _fast_loads() -> _Loads:
    """Return the fastest decoder that is installed."""
    try:
        import msgspec
    except ImportError:
        return plain_loads
    decode = msgspec.json.Decoder().decode
    refusals = (msgspec.DecodeError, ValueError, RecursionError)

    def fast_loads(text: bytes | str) -> Any:
        try:
            return decode(text)
        except refusals:
            return plain_loads(text)

    return fast_loads
