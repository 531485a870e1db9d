"""The examination behind ``aldeamo doctor``: which way of speaking works, and what is seen on it.

Rule 1: reads only. Nothing here can send a message, whatever the API is like.
Rule 2: the key goes to the host that the user named and to no other.
Rule 3: people's data is counted, never kept.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit, urlunsplit

from attrs import define, evolve, field, frozen

from .._errors import AldeamoError, ApiError, AuthError, UnexpectedResponse
from .._retry import RetryPolicy
from .._settings import AuthPlacement, Dialect
from .._wire import GET_USERS, Exchange, Transport, WireRequest, WireResponse
from ._tls import Tls
from ._zone import Zone, estimate

if TYPE_CHECKING:
    from .._client import AsyncBotsClient
    from .._models import User
    from .._settings import Timeouts

# The paths of the document, tried on the host at hand when its own path answers as something else.
DOCUMENTED_PATHS: Final = ("/bots", "/api/admin/index.php/express")
# A way that does not work answers with HTML as a broken gateway does: one more try, and no waiting.
_POLICY: Final = RetryPolicy(attempts=2, wait=lambda _: 0.1)
SAMPLED: Final = 10  # clients whose messages are read for the time zone


@frozen
class Glance:
    """One exchange as the doctor sees it; ``skew`` is the server's clock against ours, in s."""

    call: str
    seconds: float
    skew: float | None


class Seeing:
    """A transport that keeps time and headers of what another one brings, and no bodies."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.aclose = inner.aclose
        self.glances: list[Glance] = []

    async def exchange(self, request: WireRequest, timeouts: Timeouts) -> Exchange:
        """Carry the request, and take note of a complete answer."""
        began = time.perf_counter()
        result = await self._inner.exchange(request, timeouts)
        if isinstance(result, WireResponse) and result.status == 200:
            took = time.perf_counter() - began
            skew = _skew(result.header("date"), took)
            self.glances.append(Glance(request.endpoint.call, took, skew))
        return result


def _skew(date: str | None, took: float) -> float | None:
    """Compare an answer's ``Date``, in whole seconds, with this clock half-way through."""
    try:
        then = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return then.timestamp() + 0.5 - (datetime.now(UTC).timestamp() - took / 2)


@frozen
class Try:
    """One way of speaking, and the error it ended in; ``None`` where it works."""

    dialect: Dialect
    error: AldeamoError | None


@define
class Findings:
    """All that was found; ``works`` is the dialect to use, or ``None``."""

    channel: str
    tls: Tls | None = None
    tries: list[Try] = field(factory=list[Try])
    works: Dialect | None = None
    users: int = 0
    glances: list[Glance] = field(factory=list[Glance])
    failed_reads: int = 0
    zone: Zone | None = None
    drift: dict[str, int] = field(factory=dict[str, int])

    @property
    def error(self) -> AldeamoError | None:
        """Why nothing works: the first refusal of a key where there was one, else the first no."""
        errors = [found.error for found in self.tries if found.error is not None]
        refused = [error for error in errors if isinstance(error, AuthError)]
        return None if self.works else next(iter([*refused, *errors]), None)

    @property
    def latencies(self) -> list[float]:
        """Seconds of each read of the users, shortest first."""
        return sorted(glance.seconds for glance in self.glances if glance.call == GET_USERS)

    @property
    def skew(self) -> float | None:
        """Seconds by which the server's clock is ahead: the median of what its answers said."""
        known = sorted(glance.skew for glance in self.glances if glance.skew is not None)
        return known[len(known) // 2] if known else None

    @property
    def suggestion(self) -> Dialect | None:
        """The dialect to paste: what works, with the zone where that is sure and has a name."""
        if self.works is None or self.zone is None or not self.zone.sure:
            return self.works
        return evolve(self.works, server_tz=self.zone.name) if self.zone.name else self.works


async def examine(
    client: AsyncBotsClient, seeing: Seeing, dialect: Dialect, found: Findings, reads: int
) -> Findings:
    """Try the documented ways until one works, and look around on that one."""
    users = await _first_that_works(client, dialect, found)
    if found.works is not None:
        found.users = len(users)
        # What was answered to the ways that do not work says nothing about the one that does.
        del seeing.glances[:-1]
        speaker = client.with_options(dialect=found.works)
        for _ in range(reads - 1):
            try:
                await speaker.users(found.channel)
            except AldeamoError:
                found.failed_reads += 1
        found.zone = estimate(await _pairs(speaker, users, found))
    found.glances = seeing.glances
    found.drift = dict(client.drift)
    return found


async def _first_that_works(
    client: AsyncBotsClient, dialect: Dialect, found: Findings
) -> list[User]:
    for base_url in _bases(dialect.base_url):
        answered_as_api = False
        for place in _places(dialect.auth_in):
            way = evolve(dialect, base_url=base_url, auth_in=place)
            try:
                users = await client.with_options(dialect=way, retry=_POLICY).users(found.channel)
            except (ApiError, UnexpectedResponse) as error:
                found.tries.append(Try(way, error))
                answered_as_api |= not _is_elsewhere(error)
            except AldeamoError as error:
                # The network, or the command line: another place for the key would not mend it.
                found.tries.append(Try(way, error))
                return []
            else:
                found.tries.append(Try(way, None))
                found.works = way
                return users
        if answered_as_api:
            return []
    return []


def _is_elsewhere(error: ApiError | UnexpectedResponse) -> bool:
    """Tell whether an answer looks as if the API were not under this path."""
    return isinstance(error, UnexpectedResponse) or error.http_status in (404, 405)


def _places(configured: str) -> tuple[AuthPlacement, ...]:
    """Return the order: as the document's link has it first. A GET knows no other three."""
    first = configured if configured == "query" else "params"
    return cast("AuthPlacement", first), "header", "header+params"


def _bases(base_url: str) -> list[str]:
    """Return the base URL as given, then the documented paths on the same host."""
    parts = urlsplit(base_url)
    others = [urlunsplit((parts.scheme, parts.netloc, path, "", "")) for path in DOCUMENTED_PATHS]
    return list(dict.fromkeys([base_url.rstrip("/"), *others]))


async def _pairs(
    client: AsyncBotsClient, users: list[User], found: Findings
) -> list[tuple[datetime, datetime]]:
    """Return the last sign of life and the last message of those who were active of late."""
    # As the server wrote it: a zone that was set with --server-tz is what is being checked.
    dated = [
        (user.last_active.replace(tzinfo=None), user.user_id)
        for user in users
        if user.last_active is not None
    ]
    dated.sort(reverse=True)
    pairs: list[tuple[datetime, datetime]] = []
    for last_active, user_id in dated[:SAMPLED]:
        try:
            messages = await client.messages(found.channel, user_id)
        except AldeamoError:
            found.failed_reads += 1
            continue
        times = [message.time for message in messages if message.time is not None]
        if times:
            pairs.append((last_active, max(times)))
    return pairs
