"""What may be shown of other people's data, in errors, reprs and log lines.

Rule 1: a phone number or client id keeps its first and last two characters, nothing between.
Rule 2: a text is shown as its length and a short digest, enough to tell two texts apart.
Rule 3: an API key is never shown at all, not even in part.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

KEY_MARK = "***"
SNIPPET_CHARS = 200  # characters; enough for the title of an HTML error page
PRIVATE_CHARS_MIN = 4  # characters; a shorter text ("ok", "si") hides nothing and would blot out every second word
# Seven digits is the shortest subscriber number of the countries served. A date is masked along with them:
# a rule that lets dates through lets a number written like one through as well.
_PHONE_LIKE = re.compile(r"\+?\d(?:[ -]?\d){6,}")


def mask_id(value: object) -> str:
    """Show a client id or phone number as ``57********01``; ``None`` stays ``None``."""
    if value is None:
        return "None"
    text = str(value)
    if len(text) <= 4:
        return repr("*" * len(text))
    return repr(f"{text[:2]}{'*' * (len(text) - 4)}{text[-2:]}")


def mask_text(value: object) -> str:
    """Show a text as ``<4 chars, sha256 70c07ec1>``; ``None`` stays ``None``."""
    if value is None:
        return "None"
    text = str(value)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"<{len(text)} chars, sha256 {digest}>"


def mask_mapping(value: dict[str, object]) -> str:
    """Show the field names of a mapping, not what stands in them."""
    return f"<fields: {', '.join(map(str, value)) or 'none'}>"


def snippet_of(text: str, *, key: str = "", private: Iterable[str] = ()) -> str:
    """Cut a server's text down to one short line without the key, numbers or private texts.

    ``private`` are the texts of the message at hand, which an error page may echo back.
    """
    for piece in private:
        if len(piece) >= PRIVATE_CHARS_MIN:
            text = _replace(text, piece, mask_text(piece))
    line = " ".join(_replace(text, key, KEY_MARK).split())
    line = _PHONE_LIKE.sub(lambda found: mask_id(found[0]).strip("'"), line)
    return line if len(line) <= SNIPPET_CHARS else line[: SNIPPET_CHARS - 1] + "…"


def _replace(text: str, piece: str, mark: str) -> str:
    """Replace a piece in each of the spellings in which a server may echo it."""
    if not piece:
        return text
    for spelling in {piece, quote(piece), quote(piece, safe=""), quote_plus(piece)}:
        text = text.replace(spelling, mark)
    return text
