"""The client: opens, closes, and hands on. What a call does is decided on the floors below.

Rule 1: making a client does no I/O and needs no running loop; the first call opens it.
Rule 2: a view made by ``with_options`` shares connections, limiter, retry budget and counts with
its client.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from attrs import evolve

from ._bulk import Outcomes
from ._call import Engine, Terms
from ._codec import Codec
from ._drift import Drift
from ._errors import UsageError
from ._given import as_pace, checked
from ._home import ClientHome
from ._models import Message, Outgoing, ReadChannel, Receipt, SendChannel, Sent, User
from ._observer import Observer, tell
from ._outcomes import send
from ._reading import Rows, read_all
from ._retry import RetryBudget, RetryPolicy
from ._settings import DEFAULT_BASE_URL, Dialect, HttpxTimeout, Secret, Settings, Timeouts
from ._stats import ClientStats, look_at, stats_of
from ._watch import Pace, Watch, WatchCursor, check_client_ids, engine_for_watch
from ._wire import messages_request, users_request
from .transports import as_transport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable
    from datetime import datetime
    from types import TracebackType

    from ._source import Source
    from .limits import RateLimiter

KEY_VARIABLE: Final = "ALDEAMO_API_KEY"
URL_VARIABLE: Final = "ALDEAMO_BASE_URL"


class AsyncBotsClient:
    """The Aldeamo BOTS API for asyncio and trio: read users and messages, send one message or many.

    Make one for each application and close it at the end (``async with`` or ``aclose()``); it is
    cheap until its first call, and every task of one event loop may share it.

    Args:
        api_key: the key that the platform gave you. It is kept as a ``Secret`` and never shown.
        base_url: where the API is, path prefix included; by default
            ``https://apibot.aldeamo.com/bots``.
        dialect: how to speak where the API's document is silent.
        timeout: seconds for each phase of one attempt, an ``httpx.Timeout``, or ``None`` for the
            defaults (connect 5, write 10, read 30).
        deadline: seconds for one whole call: limiter, connection, every attempt and the waits
            between them.
        retry: what is tried again, how often and how patiently.
        limiter: what paces the requests; by default nothing until the API first refuses, then what
            it will bear.
        max_connections: requests on the wire at one time.
        transport: any ``httpx.AsyncBaseTransport``, or a transport of the port in
            ``aldeamo_async.transports``.
        verify: ``True``, a path to CA certificates, or an ``ssl.SSLContext`` (TLS 1.2 at least).
        proxy: the proxy's URL; by default the environment decides, unless ``trust_env`` is
            ``False``.
        observer: who is told what becomes of each call, such as
            ``aldeamo_async.telemetry.OpenTelemetry()``.

    Raises:
        UsageError: a setting that cannot work, at once.
    """

    _owner: bool = True  # a view made by with_options owns nothing

    def __init__(
        self,
        api_key: str | Secret,
        *,
        base_url: str | None = None,
        dialect: Dialect | None = None,
        timeout: float | HttpxTimeout | Timeouts | None = None,
        deadline: float = 60.0,
        retry: RetryPolicy | None = None,
        limiter: RateLimiter | None = None,
        max_connections: int | None = None,
        transport: object | None = None,
        verify: bool | str | os.PathLike[str] | ssl.SSLContext | None = None,
        proxy: str | None = None,
        trust_env: bool | None = None,
        observer: Observer | None = None,
    ) -> None:
        dialect = Dialect() if dialect is None else checked("dialect", dialect, Dialect)
        if base_url is not None:
            dialect = evolve(dialect, base_url=base_url)
        settings = Settings(api_key=api_key, dialect=dialect, timeouts=timeout, deadline=deadline)
        policy = RetryPolicy() if retry is None else checked("retry", retry, RetryPolicy)
        carrier = as_transport(
            transport,
            max_connections=max_connections,
            verify=verify,
            proxy=proxy,
            trust_env=trust_env,
        )
        self._drift = Drift()
        self._terms = Terms(settings, policy, Codec(dialect, self._drift))
        pace = as_pace(limiter, policy, observer)
        self._engine = Engine(carrier, pace, RetryBudget(policy), observer=observer)
        if observer is not None:
            tell(observer.joined, look_at(self._engine, stats_of))
        self._home = ClientHome()

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """Make a client with the key from ``ALDEAMO_API_KEY`` and, if set, ``ALDEAMO_BASE_URL``.

        ``options`` are those of the constructor, and win over the environment; so does the base URL
        of a ``dialect`` that names one.
        """
        key = options.pop("api_key", None) or os.environ.get(KEY_VARIABLE)
        if not key:
            raise UsageError(f"No API key: set {KEY_VARIABLE}, or pass api_key.")
        base_url = os.environ.get(URL_VARIABLE)
        if base_url and not _names_base_url(options.get("dialect")):
            options.setdefault("base_url", base_url)
        return cls(key, **options)

    # ── reading ──

    async def users(self, channel: ReadChannel | str) -> list[User]:
        """Return every user of a channel (``GET /users``; the API has no pages).

        Raises:
            UsageError: a channel that cannot be read, before any I/O.
            NotSent, NoAnswer, DeadlineExceeded: the network, after the retries.
            ApiError, UnexpectedResponse: the API's no, or an answer outside the contract.
        """
        self._home.enter()
        request = users_request(channel, self._settings.dialect, self._settings.api_key)
        return await read_all(self._engine, self._terms, request, User)

    def iter_users(self, channel: ReadChannel | str) -> Rows[User]:
        """Iterate over the users of a channel while they come in, in constant memory.

        ``async with client.iter_users("whatsapp") as users:`` where you may leave early; ``async
        for`` alone where you do not. Raises as ``users`` does.
        """
        self._home.enter()
        request = users_request(channel, self._settings.dialect, self._settings.api_key)
        return Rows(self._engine, self._terms, request, User)

    async def messages(self, channel: ReadChannel | str, client_id: str | int) -> list[Message]:
        """Return every message of one client (``GET /messages``).

        ``client_id`` is ``User.user_id``. Raises as ``users`` does.
        """
        self._home.enter()
        request = messages_request(
            channel, client_id, self._settings.dialect, self._settings.api_key
        )
        return await read_all(self._engine, self._terms, request, Message)

    def iter_messages(self, channel: ReadChannel | str, client_id: str | int) -> Rows[Message]:
        """Iterate over the messages of one client while they come in, as ``iter_users`` does."""
        self._home.enter()
        request = messages_request(
            channel, client_id, self._settings.dialect, self._settings.api_key
        )
        return Rows(self._engine, self._terms, request, Message)

    def watch(
        self,
        channel: ReadChannel | str,
        client_ids: Iterable[str | int] | None = None,
        since: WatchCursor | datetime | None = None,
        *,
        every: float = 5.0,
        idle_max: float | None = None,
        jitter: float = 0.1,
    ) -> Watch:
        """Watch a channel for new messages, each handed out once; the API has no webhook.

        Use it as ``async with client.watch("whatsapp") as messages:`` and iterate over
        ``messages``. Each round reads the users, and then the messages of those whose
        ``last_active`` has moved: one request at a time, behind the sends of the same limiter.

        Args:
            channel: a channel that can be read.
            client_ids: the ``User.user_id`` of those to watch; by default all.
            since: ``messages.cursor`` of an earlier watch, a time (aware), or ``None`` for what
                comes after the ``async with`` is entered; that takes a read of each client that was
                active in the last day.
            every: seconds between two rounds while messages come.
            idle_max: seconds between two rounds when nothing has come for long; by default 60.
            jitter: the part of an interval by which it varies.

        Raises:
            UsageError: an argument that cannot work, at once.

        Opening raises as ``users`` does; so does an iteration until the first list has come. Later
        on a read that fails is tried again by itself, and only a refused key (``AuthError``) or ten
        lists of users in a row that failed are raised; iterating again goes on.
        """
        self._home.enter()
        request = users_request(channel, self._settings.dialect, self._settings.api_key)
        own = self.with_options()
        own._engine = engine_for_watch(self._engine, self._terms)
        return Watch(
            partial(own.iter_users, channel),
            partial(own.messages, channel),
            dict(request.params)["channel"],
            check_client_ids(client_ids),
            since,
            Pace(every, idle_max, jitter),
        )

    # ── sending ──

    async def send(self, channel: SendChannel | str, client_id: str | int, text: str) -> Receipt:
        """Send one message (``POST /messages``); return the API's receipt.

        To bound the time, use ``deadline``: a cancellation from outside leaves the message's fate
        unknown.

        Raises:
            UsageError: bad input, before any I/O.
            NotSent, DeadlineExceeded: nothing left this machine; safe to send again.
            ApiError: the API said no (``AuthError``, ``RateLimited``); nothing was delivered.
            DeliveryUnknown: the message may have been delivered; it was not, and must not blindly
            be, sent again.
        """
        self._home.enter()
        outcome = await send(self._engine, self._terms, Outgoing(channel, client_id, text))
        if isinstance(outcome, Sent):
            return outcome.receipt
        raise outcome.error

    def send_many(
        self, source: Source, *, concurrency: int = 100, ordered: bool = False
    ) -> Outcomes:
        """Send every message of an iterable or async iterable of ``Outgoing``, in constant memory.

        Use it as ``async with client.send_many(source) as outcomes:`` and iterate over
        ``outcomes``: each message's ``Sent``, ``Rejected`` or ``Unknown``, as they complete.
        ``concurrency`` is the number of messages in flight. ``ordered`` keeps the messages of each
        client in the source's order. A message's deadline begins when the limiter lets it go, so a
        slow rate makes none of them late.

        Raises:
            UsageError: a source or concurrency that cannot work. Nothing is raised for a single
            message.
        """
        self._home.enter()
        return Outcomes(
            partial(send, self._engine, self._terms),
            self._engine.limiter,
            source,
            concurrency=concurrency,
            ordered=ordered,
        )

    # ── options and state ──

    def with_options(
        self,
        *,
        timeout: float | HttpxTimeout | Timeouts | None = None,
        deadline: float | None = None,
        retry: RetryPolicy | None = None,
        dialect: Dialect | None = None,
    ) -> Self:
        """Return a view with other options, on the same connections, limiter, budget and counts.

        What is not given stays as it is. Closing a view closes nothing; close the client.
        """
        terms = self._terms
        settings, policy, codec = terms.settings, terms.policy, terms.codec
        if timeout is not None:
            settings = evolve(settings, timeouts=timeout)
        if deadline is not None:
            settings = evolve(settings, deadline=deadline)
        if dialect is not None:
            settings = evolve(settings, dialect=checked("dialect", dialect, Dialect))
            codec = Codec(dialect, self._drift)
        if retry is not None:
            policy = checked("retry", retry, RetryPolicy)
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view._owner = False
        view._terms = Terms(settings, policy, codec)
        return view

    @property
    def drift(self) -> Drift:
        """What the API did that its document does not say: counts by name."""
        return self._drift

    def stats(self) -> ClientStats:
        """Return the present numbers; cheap enough for every health check."""
        return stats_of(self._engine)

    @property
    def _settings(self) -> Settings:
        return self._terms.settings

    # ── open and close ──

    async def aclose(self) -> None:
        """Close every connection; calling it again does nothing.

        Let your calls finish first: one that is cut off on the wire ends as delivery unknown.
        """
        if self._owner and not self._home.closed:
            self._home.enter()
            self._home.closed = True
            await self._engine.transport.aclose()

    async def __aenter__(self) -> Self:
        self._home.enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = "closed" if self._home.closed else "open" if self._home.bound else "new"
        base_url, in_flight = self._settings.dialect.base_url, self._engine.tally.in_flight
        return f"AsyncBotsClient({base_url!r}, {state}, {in_flight} in flight)"

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "A client holds live connections and cannot be copied or pickled; "
            "make one in each process from its key."
        )


def _names_base_url(dialect: object) -> bool:
    return isinstance(dialect, Dialect) and dialect.base_url != DEFAULT_BASE_URL


def engine_of(client: AsyncBotsClient) -> tuple[Engine, Terms]:
    """Return what the floors above send with; refuse a closed client, or one of another loop."""
    # The campaigns' door into the client: they pace and send as it does, on the same connections.
    client._home.enter()  # pyright: ignore[reportPrivateUsage]
    return client._engine, client._terms  # pyright: ignore[reportPrivateUsage]


def abandon(client: AsyncBotsClient) -> None:
    """Count a client as closed without its event loop: for a transport that holds no connection."""
    client._home.closed = True  # pyright: ignore[reportPrivateUsage]
