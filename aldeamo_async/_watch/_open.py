"""From a client to a watch: what the two share, and what a watch has for itself.

Rule: a watch shares connections, limiter and counts with its client, and nothing else: retries of
its reads must not use up the retry budget of sends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from attrs import evolve

from .._errors import UsageError
from .._retry import RetryBudget
from .._wire import check_client_id
from ._polite import Polite

if TYPE_CHECKING:
    from .._call import Engine, Terms


def engine_for_watch(engine: Engine, terms: Terms) -> Engine:
    """Return an engine that stands back for whoever else uses the given one."""
    return evolve(engine, limiter=Polite(engine.limiter), budget=RetryBudget(terms.policy))


def check_client_ids(client_ids: Any) -> frozenset[str] | None:
    """Return the ids to watch as text; ``None`` is everybody."""
    if client_ids is None:
        return None
    if isinstance(client_ids, str | bytes) or not isinstance(client_ids, Iterable):
        raise UsageError("client_ids is a list of ids, such as ['573000000001'], or None for all.")
    return frozenset(map(check_client_id, cast("Iterable[object]", client_ids)))
