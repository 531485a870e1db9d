"""Which clients can send a campaign.

Rule: the e-mail room is loaded only for a client that is none of the BOTS API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .._client import AsyncBotsClient
from .._errors import UsageError
from ._bots import BotsSender

if TYPE_CHECKING:
    from ..email import AsyncEmailClient
    from ._sender import Sender

Client: TypeAlias = "AsyncBotsClient | AsyncEmailClient"


def check_client(client: object) -> None:
    """Refuse what is no client; no I/O, and no event loop is needed."""
    if isinstance(client, AsyncBotsClient):
        return
    from ..email import AsyncEmailClient

    if not isinstance(client, AsyncEmailClient):
        raise UsageError(
            "A campaign is sent by an AsyncBotsClient or an AsyncEmailClient, not "
            f"{type(client).__name__}."
        )


def sender_of(client: Client) -> Sender:
    """Return a client as a campaign sees it; raise ``UsageError`` if it is closed."""
    if isinstance(client, AsyncBotsClient):
        return BotsSender.of(client)
    from ._email import EmailSender

    return EmailSender.of(client)
