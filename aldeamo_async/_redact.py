"""What may be shown of other people's data, in errors, reprs and log lines.

Rule 1: a phone number or client id keeps its first and last two characters; a short one keeps none.
Rule 2: a text is shown as its length and a short digest, enough to tell two texts apart.
Rule 3: an API key is never shown at all, not even in part.
Rule 4: a server's words are shown as one short line, in which nothing above can be read.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_MARK: Final = "***"
PRIVATE_MARK: Final = "<hidden>"
VALUE_MARK: Final = '"…"'
SNIPPET_CHARS: Final = 200  # characters; enough for the title of an HTML error page
MASKED_ID_CHARS_MIN: Final = 8  # characters; with fewer, four shown ones would be more than half
# Characters; a shorter text ("ok", "si") hides nothing and would blot out every second word.
PRIVATE_CHARS_MIN: Final = 4
# Characters in a row; databases and gateways echo texts cut short. A shorter run is any word.
PRIVATE_RUN_CHARS: Final = 12
KEY_RUN_CHARS: Final = 6
# Seven digits is the shortest subscriber number of the countries served. Dates and addresses are
# masked along with them: a rule that lets those through lets a number written like one through too.
_PHONE_LIKE: Final = re.compile(r"\+?\(?\d(?:[ .()-]{0,2}\d){6,}")
# A quoted text, also one that is cut off. Where JSON has a value it is found by what stands before
# it, so that a stray quotation mark in the noise around does not turn values into names.
_QUOTED: Final = r'"(?:[^"\\]|\\.)*(?:"(?!\s*:)|\\?\Z)'
_JSON_VALUE: Final = re.compile(rf"([:\[,]\s*){_QUOTED}", re.DOTALL)
_LONE_TEXT: Final = re.compile(rf"(?<![=\w]){_QUOTED}", re.DOTALL)  # not an attribute in HTML


def mask_id(value: object) -> str:
    """Show a client id or phone number as ``57********01``; ``None`` stays ``None``."""
    if value is None:
        return "None"
    text = _text_of(value)
    if len(text) < MASKED_ID_CHARS_MIN:
        return repr("*" * len(text))
    return repr(f"{text[:2]}{'*' * (len(text) - 4)}{text[-2:]}")


def mask_text(value: object) -> str:
    """Show a text as ``<4 chars, sha256 70c07ec1>``; ``None`` stays ``None``."""
    if value is None:
        return "None"
    text = _text_of(value)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"<{len(text)} chars, sha256 {digest}>"


def mask_mapping(value: dict[str, object]) -> str:
    """Show the field names of a mapping, not what stands in them."""
    return f"<fields: {snippet_of(', '.join(map(str, value))) or 'none'}>"


def _text_of(value: object) -> str:
    """Return a value as text, whatever a caller put where a text belongs; a repr must not fail."""
    try:
        return str(value)
    except ValueError:  # Python writes out no number of more than 4,300 digits
        return type(value).__name__


def hide_values(body: str) -> str:
    """Leave of a JSON body, whole or broken, its names and numbers; other text stays as it is."""
    return _LONE_TEXT.sub(VALUE_MARK, _JSON_VALUE.sub(rf"\g<1>{VALUE_MARK}", body))


def hide_key(text: str, key: str) -> str:
    """Blank the key, in each of the spellings in which a server may echo it."""
    return _hide(text, key, KEY_MARK) if key else text


def snippet_of(text: str, *, key: str = "", private: Iterable[str] = ()) -> str:
    """Cut a server's text down to one short line without the key, numbers or private texts.

    ``private`` are the texts of the message at hand, which an error page may echo back, whole or in
    part.
    """
    line = " ".join(hide_key(text, key).encode("utf-8", "replace").decode().split())
    pieces = [" ".join(piece.split()) for piece in private if len(piece) >= PRIVATE_CHARS_MIN]
    for piece in pieces:
        line = _hide(line, piece, PRIVATE_MARK)
    line = _hide_runs(line[: 2 * SNIPPET_CHARS], key, KEY_MARK, KEY_RUN_CHARS)
    for piece in pieces:
        line = _hide_runs(line, piece, PRIVATE_MARK, PRIVATE_RUN_CHARS)
    line = _PHONE_LIKE.sub(lambda found: mask_id(found[0]).strip("'"), line)
    return line if len(line) <= SNIPPET_CHARS else line[: SNIPPET_CHARS - 1] + "…"


def _spellings(piece: str) -> set[str]:
    """Return a piece as it is, and as URLs, HTML and JSON write it."""
    in_json = json.dumps(piece)[1:-1]
    return {
        piece,
        quote(piece, errors="replace"),
        quote(piece, safe="", errors="replace"),
        quote_plus(piece, errors="replace"),
        html.escape(piece),
        in_json,
        in_json.replace("/", "\\/"),
        json.dumps(piece, ensure_ascii=False)[1:-1],
    }


def _hide(text: str, piece: str, mark: str) -> str:
    """Replace every whole piece."""
    for spelling in sorted(_spellings(piece), key=len, reverse=True):
        text = text.replace(spelling, mark)
    return text


def _hide_runs(line: str, piece: str, mark: str, run: int) -> str:
    """Replace what is left of a piece: every stretch of at least ``run`` of its characters."""
    runs = {
        spelling[start : start + run]
        for spelling in _spellings(piece)
        for start in range(len(spelling) - run + 1)
    }
    shown, hidden_to = "", 0
    for at in range(len(line)):
        if line[at : at + run] in runs:
            shown += mark if at > hidden_to or not at else ""
            hidden_to = at + run
        elif at >= hidden_to:
            shown += line[at]
    return shown
