"""New messages as they come: the async iterator of ``client.watch``.

Rule 1: one request at a time: a watch never holds more than one connection, or one place in the
line of the limiter.
Rule 2: nothing runs between two messages: what is read is read for the one who asks for the next.
Rule 3: the cursor takes a message in when the next one is asked for, or on ``done()``: what was
handed out and not finished is handed out again after a restart.
Rule 4: a failed read loses nothing: the client stays due, and the others are read.
"""

from __future__ import annotations

import logging
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, TypeAlias

import anyio
from anyio.lowlevel import checkpoint
from attrs import evolve

from .._errors import AldeamoError, AuthError, UsageError
from .._redact import mask_id
from .._wire import check_client_id
from ._cursor import WatchCursor
from ._roster import Client, Found, Roster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

    from .._models import Message, User
    from ._pace import Pace

Since: TypeAlias = WatchCursor | datetime | None

log = logging.getLogger("aldeamo_async")

OPENING_PASSES: Final = 3  # over the clients that an opening watch has to read
# Lists in a row that fail before the error is raised; with the pauses growing, some minutes.
FAILED_LISTS_MAX: Final = 10
# What was there before a watch that wants only news and was never read: with the clock of this
# machine less than that wrong, neither is news taken for old nor old for news.
OLD: Final = timedelta(hours=12)


class Watch:
    """The new messages of a channel: an async context manager and iterator, without end.

    For one reader at a time. A message that was handed out is finished when the next one is asked
    for, or by ``done()``; ``cursor`` is the position after the last finished one.
    """

    def __init__(
        self,
        read_users: Callable[[], AsyncIterator[User]],
        read_messages: Callable[[str], Awaitable[list[Message]]],
        channel: str,
        client_ids: frozenset[str] | None,
        since: Since,
        pace: Pace,
    ) -> None:
        self._read_users = read_users
        self._read_messages = read_messages
        self._channel = channel
        cursor = _start(since, channel)
        self._roster = Roster(cursor.clients, cursor.floor, client_ids)
        self._since = since
        self._pace = pace
        self._due: deque[Client] = deque()
        self._found: deque[Found] = deque()
        self._in_hand: Found | None = None
        self._begun = False  # whether a list of users has come
        self._failed_lists = 0
        self._is_open = False
        self._is_read = False

    def __repr__(self) -> str:
        state = "open" if self._is_open else "closed" if self._begun else "new"
        return f"<Watch {self._channel}, {state}, {len(self._roster)} clients>"

    def __reduce__(self) -> NoReturn:
        raise UsageError("A watch cannot be copied or pickled; its cursor can, and has it all.")

    @property
    def cursor(self) -> WatchCursor:
        """The position after the last finished message; save it, and go on with ``since=cursor``.

        A copy of the position of each client: some 10 us for 1,000 clients.
        """
        return WatchCursor(self._channel, self._roster.floor, self._roster.positions())

    def done(self) -> WatchCursor:
        """Finish the message in hand, if there is one, and return the cursor after it."""
        self._finish()
        return self.cursor

    def _finish(self) -> None:
        if self._in_hand is not None:
            client, found, self._in_hand = self._in_hand.client, self._in_hand, None
            position = client.position.including(found.message.id)
            active = position.active if found.active is None else found.active
            client.position = evolve(position, active=active)

    async def __aenter__(self) -> Self:
        if self._is_open:
            raise UsageError("This watch is open already; for another one call client.watch again.")
        if not self._begun and not isinstance(self._since, WatchCursor):
            await self._begin()
        self._is_open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_open = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if not self._is_open:
            raise UsageError("Read a watch inside of its 'async with client.watch(...) as ...'.")
        if self._is_read:
            raise UsageError("A watch has one reader, and another task waits for its next message.")
        self._is_read = True
        try:
            await checkpoint()
            self._finish()
            while not self._found:
                await self._advance()
        finally:
            self._is_read = False
        self._in_hand = self._found.popleft()
        return self._in_hand.message

    async def _begin(self) -> None:
        """Take the first list, and pass over what is there already if only news is wanted."""
        # An empty list is rare in earnest, and would make everybody look new later on.
        sights = await self._list() or await self._list()
        late = self._roster.begin(sights, anyio.current_time())
        if self._since is None:
            for _ in range(OPENING_PASSES):
                late = [client for client in late if not await self._pass_over(client)]
        else:
            self._due.extend(late)
        self._begun = True

    async def _advance(self) -> None:
        """Make one request: of the next client that is due, or of the next round's list."""
        if not self._due:
            await self._round()
            return
        client = self._due.popleft()
        began = anyio.current_time()
        rows = await self._rows(client)
        if rows is not None:
            now = anyio.current_time()
            self._found.extend(self._roster.read(client, rows, began, now))
            if self._found:
                self._pace.hurry(now)

    async def _pass_over(self, client: Client) -> bool:
        began = anyio.current_time()
        rows = await self._rows(client)
        return rows is not None and self._roster.pass_over(
            client, rows, began, anyio.current_time()
        )

    async def _round(self) -> None:
        """Wait for the next round and take its list."""
        await anyio.sleep_until(self._pace.at)
        self._pace.begin(anyio.current_time())
        try:
            sights = await self._list()
        except (UsageError, AuthError):
            raise
        except AldeamoError as error:
            self._failed_lists += 1
            if not self._begun or self._failed_lists % FAILED_LISTS_MAX == 0:
                raise
            log.warning("watch: the users could not be listed: %s", error)
            return
        self._begun, self._failed_lists = True, 0
        now = anyio.current_time()
        self._due.extend(self._roster.note(sights, now))
        if any(client.sight is not None and not client.failures for client in self._due):
            self._pace.hurry(now)

    async def _list(self) -> dict[str, str | None]:
        """Read each ``last_active`` as text, without a zone: it is compared, never counted."""
        sights: dict[str, str | None] = {}
        async for user in self._read_users():
            date = user.last_active
            sights[user.user_id] = None if date is None else str(date.replace(tzinfo=None))
        return sights

    async def _rows(self, client: Client) -> list[Message] | None:
        """Read a client's messages; ``None`` where that failed, and the client is put off."""
        try:
            check_client_id(client.name)
        except UsageError:  # the API lists an id that cannot be asked for
            return []
        try:
            return await self._read_messages(client.name)
        except (UsageError, AuthError):
            raise
        except AldeamoError as error:
            self._roster.fail(client, anyio.current_time())
            log.info("watch: the messages of %s come later: %s", mask_id(client.name), error)
            return None


def _start(since: Any, channel: str) -> WatchCursor:
    """Return the cursor that a watch begins with."""
    if isinstance(since, WatchCursor):
        if since.channel != channel:
            raise UsageError(f"since is a cursor of {since.channel!r}, and this is {channel!r}.")
        return since
    if since is None:
        return WatchCursor(channel, datetime.now(UTC) - OLD)
    if not isinstance(since, datetime) or since.tzinfo is None:
        raise UsageError(
            "since is a cursor of an earlier watch, a datetime with a time zone such as "
            "datetime.now(UTC), or None for from now on."
        )
    return WatchCursor(channel, since.astimezone(UTC))
