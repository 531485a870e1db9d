"""``aldeamo users`` and ``aldeamo messages``: what the API holds.

Rule: the lists are the user's own data, so they are shown in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ._common import Common, common, common_options
from ._exit import explained
from ._show import print_lines, print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._client import AsyncBotsClient
    from .._models import Message, User


@click.command("users")
@common_options(hidden=True)
@click.argument("channel")
def users(channel: str) -> None:
    """List the users of CHANNEL: facebook, twitter, web or whatsapp."""

    async def read(client: AsyncBotsClient) -> list[User]:
        return await client.users(channel)

    columns = ("user_id", "name", "phone", "email", "date_created", "last_active")
    _list(read, f"Users of {channel}", columns)


@click.command("messages")
@common_options(hidden=True)
@click.argument("channel")
@click.argument("client_id")
def messages(channel: str, client_id: str) -> None:
    """List the messages of one client of CHANNEL; CLIENT_ID is a user's user_id."""

    async def read(client: AsyncBotsClient) -> list[Message]:
        return await client.messages(channel, client_id)

    _list(read, f"Messages of {client_id}", ("id", "time", "text"))


def _list(read: Callable[[AsyncBotsClient], Any], title: str, columns: Iterable[str]) -> None:
    options = common()
    with explained(as_json=options.json):
        nouns = _read(options, read)
        if options.json:
            print_lines(nouns)
        else:
            print_table(title, columns, nouns)


def _read(options: Common, read: Callable[[AsyncBotsClient], Any]) -> list[Any]:
    client = options.client()

    async def work() -> Any:
        async with client:
            return await read(client)

    nouns: list[Any] = options.run(work)
    return nouns
