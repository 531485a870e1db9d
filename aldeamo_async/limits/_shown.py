"""What may be shown of the address of a store.

Rule: neither a password nor anything behind the path is shown; options can hold secrets too.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from .._errors import UsageError


def shown(url: str) -> str:
    """Return a URL without its password and options.

    Raises:
        UsageError: the URL cannot be taken apart; its text is not quoted.
    """
    try:
        parts = urlsplit(url)
        user = parts.username
        _ = parts.port
    except ValueError:
        raise UsageError(
            "the URL of a shared limit's store makes no sense: write it as "
            "valkey://user:password@host:6379/0 or postgresql://user:password@host/database"
        ) from None
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{f'{user}@' if user else ''}{host}{parts.path}"
