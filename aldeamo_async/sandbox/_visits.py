"""Who may visit the inbox, and what a visitor may bring.

Law: nobody gets in by a name that somebody else could point at this machine (DNS rebinding), and
nothing is changed for a page that is not the inbox itself (forged requests).
"""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from ._people import READ_CHANNELS

if TYPE_CHECKING:
    from starlette.requests import Request

LONGEST_TEXT = 4000  # characters that a user may write at once; WhatsApp allows 4,096
_LONGEST_ID = 20  # digits; those of Facebook have 17
_LARGEST = 64 * 1024  # bytes of a request's body: the longest text with every character escaped
# What a browser says of a request that its user, or the page itself, made.
_OWN_SITES = (None, "same-origin", "none")


class Refused(Exception):
    """The inbox says no: the HTTP status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def check(request: Request) -> None:
    """Raise `Refused` for a visitor who must not be let in."""
    host = request.headers.get("host", "")
    if not _is_address(host):
        raise Refused(
            403, "Open the inbox by localhost or by an IP address: a name can be pointed anywhere."
        )
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        raise Refused(403, "This request comes from another page than the inbox.")
    if request.method != "GET" and request.headers.get("sec-fetch-site") not in _OWN_SITES:
        raise Refused(403, "This request comes from another site than the inbox.")


def _is_address(host: str) -> bool:
    """Return whether a `Host` header names this machine in a way that no DNS server decides."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False


async def document(request: Request) -> dict[str, object]:
    """Return the JSON object that a visitor brings. Raises `Refused`."""
    # A form of another page cannot have this type without asking first, and nobody answers that.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused(415, "The body must be application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST:
            raise Refused(413, f"The body must be {_LARGEST} bytes at most.")
    try:
        found: object = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not JSON.") from None
    if not isinstance(found, dict):
        raise Refused(400, "The body must be a JSON object.")
    return cast("dict[str, object]", found)


def said(brought: dict[str, object]) -> tuple[str, str, str]:
    """Return the channel, the user's id and the text of what a user shall write."""
    channel, client_id, text = (brought.get(key) for key in ("channel", "client_id", "text"))
    if channel not in READ_CHANNELS:
        raise Refused(400, f"Users write on {', '.join(READ_CHANNELS)} only.")
    if not (isinstance(client_id, str) and client_id.isascii() and client_id.isdigit()):
        raise Refused(400, "A client id is made of digits.")
    if len(client_id) > _LONGEST_ID:
        raise Refused(400, f"A client id has {_LONGEST_ID} digits at most.")
    if not (isinstance(text, str) and text.strip()):
        raise Refused(400, "Write something first.")
    if len(text) > LONGEST_TEXT:
        raise Refused(400, f"A text has {LONGEST_TEXT} characters at most.")
    return str(channel), client_id, text
