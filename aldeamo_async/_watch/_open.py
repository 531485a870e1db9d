"""From a client's engine to a watch: its two reads, on terms of their own.

Rule: a watch shares connections, limiter and counts with its client, and nothing else: retries of
its reads must not use up the retry budget of sends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from attrs import evolve

from .._errors import UsageError
from .._models import Message, ReadChannel, User
from .._outcomes import read_all, read_each
from .._retry import RetryBudget
from .._wire import check_client_id, messages_request, users_request
from ._polite import Polite
from ._watch import Since, Watch

if TYPE_CHECKING:
    from .._call import Engine, Terms
    from ._pace import Pace


def open_watch(
    engine: Engine,
    terms: Terms,
    enter: Callable[[], None],
    channel: ReadChannel | str,
    client_ids: Iterable[str | int] | None,
    since: Since,
    pace: Pace,
) -> Watch:
    """Make a watch; ``enter`` says before each read whether the client may still be used."""
    settings = terms.settings
    own = evolve(engine, limiter=Polite(engine.limiter), budget=RetryBudget(terms.policy))
    users = users_request(channel, settings.dialect, settings.api_key)

    def read_users() -> AsyncIterator[User]:
        enter()
        return read_each(own, terms, users, User)

    async def read_messages(client_id: str) -> list[Message]:
        enter()
        try:
            request = messages_request(channel, client_id, settings.dialect, settings.api_key)
        except UsageError:  # an id that the API lists, and that cannot be asked for
            return []
        return await read_all(own, terms, request, Message)

    name = dict(users.params)["channel"]
    return Watch(read_users, read_messages, name, _ids(client_ids), since, pace)


def _ids(client_ids: Any) -> frozenset[str] | None:
    if client_ids is None:
        return None
    if isinstance(client_ids, str | bytes) or not isinstance(client_ids, Iterable):
        raise UsageError("client_ids is a list of ids, such as ['573000000001'], or None for all.")
    return frozenset(map(check_client_id, cast("Iterable[object]", client_ids)))
