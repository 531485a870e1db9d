"""Texts as PostgreSQL can hold them, and back.

Rule: what goes in comes out the same, but for half a surrogate pair, which is no character:
PostgreSQL holds any text but a NUL, so a NUL is escaped, and so is the escape.
"""

from __future__ import annotations

import hashlib
from typing import Final

_ESCAPE: Final = "\ue000"  # of the private use area: nobody means anything by it
_NUL: Final = _ESCAPE + "0"
_ITSELF: Final = _ESCAPE + "1"


def stored(text: str) -> str:
    """Return a text as the database is given it."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode().replace(_ESCAPE, _ITSELF)
    return text.replace("\0", _NUL)


def given(text: str) -> str:
    """Return a text as it was given."""
    if _ESCAPE not in text:
        return text
    return text.replace(_NUL, "\0").replace(_ITSELF, _ESCAPE)


def ref_key(client_ref: str) -> str:
    """Return the key of a reference: as long as any other, since an index has no room for a long
    text."""
    return hashlib.sha256(client_ref.encode("utf-8", "replace")).hexdigest()[:32]
