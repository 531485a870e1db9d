"""What may be shown of the address of a store.

Rule: neither a password nor anything behind the path is shown; options can hold secrets too.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from .._errors import UsageError


def shown(url: str) -> str:
    """Return a URL without its password and options.

    Raises:
        UsageError: the URL cannot be taken apart; its text is not quoted.
    """
    parts = _parts(url)
    if parts is None:  # made here: an error of the parser would stay attached, and quotes the URL
        raise UsageError(
            "the URL of a shared limit's store makes no sense: write it as "
            "valkey://user:password@host:6379/0 or postgresql://user:password@host/database"
        )
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{f'{parts.username}@' if parts.username else ''}{host}{parts.path}"


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts
