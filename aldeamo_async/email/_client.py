"""The e-mail client: opens, closes, and hands on.

Rule 1: making a client does no I/O and needs no running loop; the first e-mail opens it.
Rule 2: a password is a ``Secret`` from the first line on, and only the login itself asks for it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, Self

from .._bulk import Outcomes
from .._errors import UsageError
from .._given import as_pace, checked
from .._home import ClientHome
from .._models import Receipt, Sent
from .._observer import Observer, tell
from .._retry import RetryBudget, RetryPolicy
from .._settings import HttpxTimeout, Secret, Timeouts, as_timeouts, positive_seconds
from .._stats import ClientStats, counted, look_at
from ..transports._lanes import whole
from ._letter import OutgoingEmail, sender_of
from ._lines import Lines
from ._server import server_at
from ._submission import Post, send

if TYPE_CHECKING:
    import os
    import ssl
    from types import TracebackType

    from .._source import Source
    from ..limits import RateLimiter

# Connections; mail servers allow an account a few (Postfix 50, others 10 or fewer) and then refuse.
MAX_CONNECTIONS: Final = 10
# Seconds. RFC 5321 (4.5.3.2) has a relay wait for minutes; a caller that has a deadline does not.
TIMEOUTS: Final = Timeouts(connect=10.0, read=60.0, write=60.0)


class AsyncEmailClient:
    """Sends e-mail by SMTP submission, on asyncio and trio, and never the same one twice by itself.

    Make one for each application and close it at the end (``async with`` or ``aclose()``). The
    server's address and the credentials come from your provider; Aldeamo's document gives none.

    Args:
        host: the mail server's name; its certificate must be for this name.
        port: 465 or 587 by default, as ``tls`` says.
        sender: ``ana@tenant.example`` or ``Ana <ana@tenant.example>``.
        username: for the login; with ``password``, or neither.
        password: kept as a ``Secret`` and never shown.
        tls: ``"implicit"`` (TLS from the first byte) or ``"starttls"``, which is then mandatory; by
            default ``"starttls"`` on ports 587 and 25, else ``"implicit"``. TLS 1.2 is the floor.
        verify: ``True``, a path to CA certificates, or an ``ssl.SSLContext``.
        timeout: seconds for each phase, or ``None`` for connect 10, read 60, write 60.
        deadline: seconds for one e-mail: limiter, connection, every attempt and the waits between.
        retry: what is tried again, how often and how patiently.
        limiter: what paces the e-mails; by default nothing until the server first refuses.
        max_connections: connections to the server at one time.
        local_hostname: how this side greets (``EHLO``).
        observer: who is told what becomes of each e-mail, such as
            ``aldeamo_async.telemetry.OpenTelemetry()``; no address, subject or text goes to it.

    Raises:
        UsageError: a setting that cannot work, at once.
    """

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        sender: str,
        username: str | None = None,
        password: str | Secret | None = None,
        tls: str | None = None,
        verify: bool | str | os.PathLike[str] | ssl.SSLContext = True,
        timeout: float | HttpxTimeout | Timeouts | None = None,
        deadline: float = 120.0,
        retry: RetryPolicy | None = None,
        limiter: RateLimiter | None = None,
        max_connections: int = MAX_CONNECTIONS,
        local_hostname: str = "[127.0.0.1]",
        observer: Observer | None = None,
    ) -> None:
        server = server_at(
            host,
            port,
            tls,
            username=username,
            password=password,
            verify=verify,
            local_hostname=local_hostname,
        )
        policy = RetryPolicy() if retry is None else checked("retry", retry, RetryPolicy)
        pace = as_pace(limiter, policy, observer)
        self._server = server
        self._post = Post(
            lines=Lines(server, whole(max_connections)),
            sender=sender_of(sender),
            limiter=pace,
            policy=policy,
            budget=RetryBudget(policy),
            timeouts=TIMEOUTS if timeout is None else as_timeouts(timeout),
            deadline=positive_seconds("deadline", deadline),
            observer=observer,
        )
        if observer is not None:
            tell(observer.joined, look_at(self._post, _stats_of))
        self._home = ClientHome("AsyncEmailClient")

    async def send(self, to: str, subject: str, text: str, html: str | None = None) -> Receipt:
        """Send one e-mail; return the receipt, whose ``message_id`` is its ``Message-ID``.

        To bound the time, use ``deadline``: a cancellation from outside may leave the e-mail's fate
        unknown.

        Raises:
            UsageError: bad input, before any I/O.
            EmailNotSent, DeadlineExceeded: the e-mail did not go out; safe to send again.
            EmailRejected: the server said no (``EmailAuthError``, ``EmailRefused``).
            EmailUnknown: it may have been delivered; it must not blindly be sent again.
        """
        self._home.enter()
        outcome = await send(self._post, OutgoingEmail(to, subject, text, html))
        if isinstance(outcome, Sent):
            return outcome.receipt
        raise outcome.error

    def send_many(
        self, source: Source, *, concurrency: int = MAX_CONNECTIONS, ordered: bool = False
    ) -> Outcomes:
        """Send every ``OutgoingEmail`` of an iterable or async iterable, in constant memory.

        It is used and behaves as ``AsyncBotsClient.send_many``.
        """
        self._home.enter()
        return Outcomes(
            partial(send, self._post),
            self._post.limiter,
            source,
            concurrency=concurrency,
            ordered=ordered,
        )

    def stats(self) -> ClientStats:
        """Return the present numbers; ``lanes`` are the connections to the mail server."""
        return _stats_of(self._post)

    async def aclose(self) -> None:
        """Take leave of the server and close every connection; calling it again does nothing."""
        if not self._home.closed:
            self._home.enter()
            self._home.closed = True
            await self._post.lines.aclose()

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
        place = f"{self._server.host}:{self._server.port}"
        return f"AsyncEmailClient({place!r}, {self._server.tls}, {state})"

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "A client holds live connections and cannot be copied or pickled; "
            "make one in each process."
        )


def _stats_of(post: Post) -> ClientStats:
    return counted(post.tally, post.budget, post.limiter, post.lines.stats())


def post_of(client: AsyncEmailClient) -> Post:
    """Return what the floors above send with; refuse a closed client, or one of another loop."""
    # The campaigns' door into the client, as `engine_of` is that of AsyncBotsClient.
    client._home.enter()  # pyright: ignore[reportPrivateUsage]
    return client._post  # pyright: ignore[reportPrivateUsage]
