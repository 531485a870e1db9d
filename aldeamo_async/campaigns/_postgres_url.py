"""What the URL of a PostgreSQL ledger says: the server, the campaign in it, and how patient to be.

Rule 1: our own parameters are taken out; the rest is libpq's, and libpq has the last word on it.
Rule 2: the password goes into a ``Secret`` together with all of the URL, and nothing else shows
more than user, host, port and database.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from attrs import frozen

from .._errors import UsageError
from .._settings import Secret

SCHEMES: Final = ("postgresql://", "postgres://")
DEFAULT_CAMPAIGN: Final = "default"
CAMPAIGN_NAME_MAX: Final = 200  # characters; a name, not a text
# Seconds; a restart or a fail-over is over by then, and whoever watches has been told at once.
PATIENCE_SECONDS: Final = 600.0
LEASE_SECONDS: Final = 30.0  # three heartbeats
LEASE_SECONDS_MIN: Final = 1.0  # less, and a busy second looks like a death
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]:@]*)(:[0-9]*)?")


@frozen
class Address:
    """Where a ledger is: what to connect with, what to show of it, the campaign, and how long to
    wait for a server, and for a sign of life."""

    conninfo: Secret
    shown: str
    campaign: str
    patience: float
    lease: float = LEASE_SECONDS


def parse(url: str) -> Address:
    """Take a URL apart; raise ``UsageError``, without the URL, where that cannot be done."""
    parts = _split(url)
    if parts is None:
        raise UsageError(
            "The URL of the PostgreSQL server cannot be read; write "
            "postgresql://user:password@host:5432/database?campaign=promo, and percent-encode what "
            "is special in the password."
        )
    given = parse_qsl(parts.query, keep_blank_values=True)
    user = "" if parts.username is None else f"{parts.username}@"
    where = parts.netloc.rpartition("@")[2]
    own = {name: value for name, value in given if name in ("campaign", "patience", "lease")}
    rest = urlencode([item for item in given if item[0] not in own], quote_via=quote)
    # Put together by hand: `geturl()` forgets the slashes of a URL without a host.
    return Address(
        conninfo=Secret(f"postgresql://{parts.netloc}{parts.path}" + (f"?{rest}" if rest else "")),
        shown=f"postgresql://{user}{where}{parts.path}",
        campaign=_campaign(own.get("campaign", DEFAULT_CAMPAIGN)),
        patience=_seconds("patience", own.get("patience", str(PATIENCE_SECONDS)), 0.0),
        lease=_seconds("lease", own.get("lease", str(LEASE_SECONDS)), LEASE_SECONDS_MIN),
    )


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL, unless a piece of the password may have got into one of them."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    hosts = parts.netloc.rpartition("@")[2].split(",")
    strays = "@" in parts.path or parts.fragment
    return None if strays or not all(map(_HOST.fullmatch, hosts)) else parts


def _campaign(name: str) -> str:
    if not name.strip() or len(name) > CAMPAIGN_NAME_MAX or not name.isprintable():
        raise UsageError(
            f"campaign={name!r} names no campaign; write ?campaign=promo, with up to "
            f"{CAMPAIGN_NAME_MAX} printable characters."
        )
    return name


def _seconds(name: str, text: str, least: float) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not least <= seconds < float("inf"):
        raise UsageError(
            f"{name}={text!r} is no number of seconds from {least:g} on; write ?{name}=600."
        )
    return seconds
