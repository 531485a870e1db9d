"""The BOTS client as a campaign sees it.

Rule: on the way of a message nothing is added to what the client does; rows stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from .._call import Engine, Terms
from .._client import AsyncBotsClient, engine_of
from .._errors import CampaignError, UsageError
from .._files import Template
from .._outcomes import send
from ._load import EntryMaker
from ._words import EMAIL, REFUSED_KEY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from .._models import Outcome, Outgoing
    from ..limits import Permit, RateLimiter
    from ._nouns import Job

# Seconds; an outage or a limit without a number is rarely over sooner, and a campaign has time.
_REFUSED_SECONDS: Final = 30.0


@frozen
class BotsSender:
    """A ``Sender`` over the connections, limiter and options of an ``AsyncBotsClient``."""

    client: AsyncBotsClient
    engine: Engine
    terms: Terms
    at_once: int | None = None
    refused_seconds: float = _REFUSED_SECONDS
    refused_key: str = REFUSED_KEY

    @classmethod
    def of(cls, client: AsyncBotsClient) -> BotsSender:
        """Take a client as it is now; raise ``UsageError`` if it is closed."""
        return cls(client, *engine_of(client))

    @property
    def limiter(self) -> RateLimiter:
        """See ``Sender.limiter``."""
        return self.engine.limiter

    def once(self) -> BotsSender:
        """See ``Sender.once``."""
        policy = evolve(self.terms.policy, attempts=1)
        return evolve(self, terms=evolve(self.terms, policy=policy))

    def is_gone(self) -> bool:
        """See ``Sender.is_gone``."""
        try:
            engine_of(self.client)
        except UsageError:
            return True
        return False

    def send(self, outgoing: Outgoing, permit: Permit) -> Awaitable[Outcome]:
        """See ``Sender.send``."""
        return send(self.engine, self.terms, outgoing, permit)

    def maker(self, channel: str | None, template: str | None) -> EntryMaker:
        """See ``Sender.maker``."""
        fill = None if template is None else Template(template)
        return EntryMaker(self.terms.settings.dialect, channel, fill)

    def check(self, channel: str) -> None:
        """See ``Sender.check``."""
        if channel == EMAIL:
            raise CampaignError(
                "This campaign holds e-mails, which an AsyncBotsClient cannot send; open it with "
                "an AsyncEmailClient. Nothing of this was sent."
            )

    def jobs(self, claimed: Sequence[Job]) -> Sequence[Job]:
        """See ``Sender.jobs``."""
        for job in claimed:
            self.check(job.outgoing.channel)
        return claimed
