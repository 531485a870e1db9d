"""Which base URLs are let through.

Rule: no error here quotes the URL, for people paste keys and passwords into URLs.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from .._errors import UsageError

DEFAULT_BASE_URL: Final = "https://apibot.aldeamo.com/bots"


def check_base_url(base_url: object, *, allow_insecure: bool) -> None:
    """Refuse a base URL that could not work, or that would send the key in the clear."""
    if not isinstance(base_url, str):
        raise UsageError(f"base_url must be text, not {type(base_url).__name__}.")
    if not base_url.isprintable() or any(mark in base_url for mark in " \\"):
        raise UsageError("base_url holds white space, a control character or a backslash.")
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its text may quote a password
        raise UsageError("base_url cannot be read as a URL: look at its host and port.") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise UsageError("base_url must begin with https:// and name a host.")
    if any(mark in base_url for mark in "?#") or "@" in parts.netloc:
        raise UsageError(
            "base_url must hold no query, fragment, user or password; the key has its own place."
        )
    if parts.scheme == "http" and not allow_insecure and not is_loopback(host):
        raise UsageError(
            "base_url is http://, which would send the key and every message in the clear; "
            "use https://, or set Dialect(allow_insecure=True) if the path is private."
        )


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
