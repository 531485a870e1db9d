"""The API key, kept so that nothing shows it.

Rule: only ``reveal()`` gives a secret out, and only the last step before the wire asks.
"""

from __future__ import annotations

import hmac
from typing import Any

from .._errors import UsageError


class Secret:
    """A text that never shows itself: ``repr`` and ``str`` are masked, ``reveal()`` gives it out.

    It pickles with its value, so that settings can cross to a worker process: treat the pickle as
    the key.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_octets(self), _octets(other))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> tuple[Any, ...]:
        return Secret, (self._value,)


def _octets(secret: Secret) -> bytes:
    return secret.reveal().encode("utf-8", "surrogatepass")


def _checked(value: object) -> str:
    if isinstance(value, str):
        return value
    raise UsageError(f"api_key must be text, not {type(value).__name__}.")


def as_secret(value: str | Secret) -> Secret:
    """Take an API key as given; refuse one that no server could have issued."""
    secret = value if isinstance(value, Secret) else Secret(_checked(value))
    text = secret.reveal()
    if not text.strip():
        raise UsageError("api_key is empty: pass the key, or set ALDEAMO_API_KEY.")
    if text != text.strip() or not text.isprintable():
        raise UsageError(
            "api_key begins or ends with white space, or holds a line break or control character: "
            "was it copied with a piece of its surroundings?"
        )
    return secret
