"""The e-mail client: opens, closes, and hands on.

Rule 1: making a client does no I/O and needs no running loop; the first e-mail opens it.
Rule 2: a password is a ``Secret`` from the first line on, and only the login itself asks for it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from .._bulk import Outcomes
from .._errors import UsageError
from .._home import ClientHome
from .._models import Outcome, Outgoing, Receipt, Sent
from .._observer import Observer, tell
from .._retry import RetryBudget, RetryPolicy
from .._settings import HttpxTimeout, Secret, Timeouts, as_timeouts, positive_seconds
from .._stats import ClientStats
from ..limits import Permit, RateLimiter, TokenBucket
from ..limits._observed import ObservedLimiter
from ._letter import OutgoingEmail, sender_of
from ._lines import Lines
from ._server import server_at
from ._submission import Post, send

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Callable
    from types import TracebackType

    from .._source import Source

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
        policy = RetryPolicy() if retry is None else retry
        pace = _as_limiter(limiter, policy)
        if observer is not None:
            pace = ObservedLimiter(pace, _as_observer(observer))
        self._server = server
        self._post = Post(
            lines=Lines(server, _whole(max_connections)),
            sender=sender_of(sender),
            limiter=pace,
            policy=policy,
            budget=RetryBudget(policy),
            timeouts=TIMEOUTS if timeout is None else as_timeouts(timeout),
            deadline=positive_seconds("deadline", deadline),
            observer=observer,
        )
        if observer is not None:
            tell(observer.joined, _look_at(self._post))
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

        async def send_one(outgoing: Outgoing, permit: Permit) -> Outcome:
            return await send(self._post, outgoing, permit)

        self._home.enter()
        return Outcomes(
            send_one, self._post.limiter, source, concurrency=concurrency, ordered=ordered
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
    tally = post.tally
    return ClientStats(
        in_flight=tally.in_flight,
        sent=tally.sent,
        rejected=tally.rejected,
        unknown=tally.unknown,
        reads=tally.reads,
        retries=tally.retries,
        cancelled=tally.cancelled,
        budget_left=post.budget.left,
        limiter=post.limiter.snapshot(),
        lanes=post.lines.stats(),
    )


def _look_at(post: Post) -> Callable[[], ClientStats | None]:
    """Return a look that does not keep the client alive, and is ``None`` once it is gone."""
    weak = weakref.ref(post)

    def look() -> ClientStats | None:
        living = weak()
        return None if living is None else _stats_of(living)

    return look


def post_of(client: AsyncEmailClient) -> Post:
    """Return what the floors above send with; refuse a closed client, or one of another loop."""
    # The campaigns' door into the client, as `engine_of` is that of AsyncBotsClient.
    client._home.enter()  # pyright: ignore[reportPrivateUsage]
    return client._post  # pyright: ignore[reportPrivateUsage]


def _as_limiter(value: Any, policy: Any) -> RateLimiter:
    """Check policy and limiter; by default one that is open until the server first refuses."""
    if not isinstance(policy, RetryPolicy):
        raise UsageError(f"retry must be a RetryPolicy, not {type(policy).__name__}.")
    if value is None:
        return TokenBucket(float("inf"), freeze_max=policy.retry_after_max)
    # A class has the methods of a limiter and is none.
    if isinstance(value, type) or not isinstance(value, RateLimiter):
        raise UsageError(f"limiter must be a RateLimiter such as TokenBucket(20), not {value!r}.")
    return value


def _as_observer(value: Any) -> Observer:
    if not isinstance(value, Observer):
        raise UsageError(f"observer must be an Observer, not {type(value).__name__}.")
    return value


def _whole(count: Any) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UsageError(f"max_connections must be a whole number above 0, not {count!r}.")
    return count
