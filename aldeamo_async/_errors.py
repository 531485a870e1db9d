"""The error tree, sorted by whose fault it was and whether a message may have gone out.

Rule 1: an error carries values; its text is made from them and says what to do next.
Rule 2: no error holds the API key, and every error pickles and copies by value.
Rule 3: what is not known is not claimed: only what provably did nothing says "nothing was
delivered".

    AldeamoError
    ├── UsageError            yours, before any I/O: nothing was sent
    ├── NetworkError          the network, with no complete answer
    │   ├── NotSent           provably unsent: safe to send again
    │   │   └── DeadlineExceeded   time ran out with nothing delivered; names the phase
    │   ├── NoAnswer          a read got no answer; reads deliver nothing, so read again
    │   └── DeliveryUnknown   a send may have arrived; never sent again by itself
    ├── ApiError              theirs: the API said no, in its own words
    │   ├── AuthError         the key was refused
    │   └── RateLimited       refused for now; says when to come back
    ├── UnexpectedResponse    an answer outside the contract: HTML, broken JSON, wrong shape
    └── CampaignError         a campaign's ledger is locked, foreign or damaged
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeVar

from attrs import define, field

from ._evidence import Attempt, Phase

_ErrorT = TypeVar("_ErrorT", bound="AldeamoError")

_PROBLEMS_SHOWN: Final = 5  # a line in a log; all of them are in ``problems``


def _revive(cls: type[_ErrorT], args: tuple[Any, ...], state: dict[str, Any]) -> _ErrorT:
    """Rebuild an error from its values, whatever its constructor asks for."""
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


def values_of(value: Any) -> Any:
    """Return what an error is made of, to compare two; by themselves errors compare by identity."""
    if isinstance(value, AldeamoError):
        return type(value), {name: values_of(held) for name, held in vars(value).items()}
    return value


def _tried(attempts: tuple[Attempt, ...]) -> str:
    """Say how often the call was tried, where that was more than once."""
    return f" after {len(attempts)} attempts" if len(attempts) > 1 else ""


@define(slots=False, eq=False)
class AldeamoError(Exception):
    """The root of every error of this library.

    ``attempts`` is the history of the call that failed, oldest first; empty where nothing was
    tried.
    """

    attempts: tuple[Attempt, ...] = field(default=(), kw_only=True)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by value: a keyword-only constructor would break the default way."""
        return _revive, (type(self), self.args, self.__dict__.copy())


@define(slots=False, eq=False)
class UsageError(AldeamoError):
    """The caller's mistake, found before any I/O: bad channel, empty text, closed client.

    Nothing was sent. Mend the call; trying again as it is cannot help.
    """

    problem: str

    def __str__(self) -> str:
        """Return the problem in words."""
        return self.problem


@define(slots=False, eq=False)
class NetworkError(AldeamoError):
    """The network gave no complete answer; the subclass says whether a message may have gone out.

    ``call`` is the call as the document names it (``POST /messages``), ``phase`` where the last
    attempt ended, ``reason`` what was seen there.
    """

    call: str
    phase: Phase
    reason: str


@define(slots=False, eq=False)
class NotSent(NetworkError):
    """The request provably never left this machine; it is safe to send it again."""

    def __str__(self) -> str:
        """Say that nothing went out, and what to look at."""
        return (
            f"{self.call} was not sent{_tried(self.attempts)}: {self.reason} "
            f"(phase: {self.phase}). Nothing left this machine, so trying again cannot deliver "
            "twice; check the network, the proxy and the base URL."
        )


@define(slots=False, eq=False)
class DeadlineExceeded(NotSent):
    """The time ran out with nothing delivered: a send that had not left, or a read.

    ``phase`` names what the time went into, or what could not fit into the time that was left.
    A send whose request may have left raises :class:`DeliveryUnknown` instead.
    """

    def __str__(self) -> str:
        """Say which phase used up the time."""
        return (
            f"{self.call} ran out of time in the phase {self.phase}{_tried(self.attempts)}: "
            f"{self.reason}. Nothing was delivered, so trying again cannot deliver twice; "
            "give the call a longer deadline, or send fewer at a time."
        )


@define(slots=False, eq=False)
class NoAnswer(NetworkError):
    """A read reached the server, or may have, and no complete answer came back."""

    def __str__(self) -> str:
        """Say that reading again is harmless."""
        return (
            f"{self.call} got no complete answer{_tried(self.attempts)}: {self.reason} "
            f"(phase: {self.phase}). A read delivers nothing; it is safe to read again."
        )


@define(slots=False, eq=False)
class DeliveryUnknown(NetworkError):
    """A send may have been delivered, and nothing on this side can tell.

    The message is never sent again by itself: nine of ten such messages had arrived.
    ``http_status`` and ``answer`` are set when an answer came that proves nothing (a 502 page, a
    broken body); ``answer`` is then the error that describes it, with what came instead.
    """

    http_status: int | None = field(default=None, kw_only=True)
    answer: ApiError | UnexpectedResponse | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        """Say that the message may be out, and how to find out."""
        return (
            f"The fate of {self.call} is unknown{_tried(self.attempts)}: {self.reason} "
            f"(phase: {self.phase}). The message MAY have been delivered, so it was not sent again "
            "by itself; look at the recipient's conversation before you resend it."
        )


@define(slots=False, eq=False)
class ApiError(AldeamoError):
    """The API answered and said no: the request was not processed.

    With ``http_status`` 500 and above it is less: a server error in the API's own words, which does
    not say how far the request got. A send never raises that one; it is the ``answer`` of a
    :class:`DeliveryUnknown`.

    ``code`` is the answer's ``codigo`` (an ``int`` where it can be read as one), ``text`` its
    message without key, numbers or your text, ``raw`` the decoded JSON answer, key blanked, or
    ``None``.
    """

    call: str
    text: str
    http_status: int
    code: int | str | None = None
    raw: Any = field(default=None, repr=False)

    def __str__(self) -> str:
        """Quote the server, with its code and status."""
        code = "" if self.code is None else f", codigo {self.code}"
        said = f": {self.text}" if self.text else " and gave no reason"
        return (
            f"{self.call} was refused by the API{_tried(self.attempts)} "
            f"(HTTP {self.http_status}{code}){said.rstrip('.')}. {self._advice()}"
        )

    def _advice(self) -> str:
        if self.http_status >= 500:
            return "A server error does not say whether the request was processed."
        return f"{self._nothing_done()}; mend the request before you repeat it."

    def _nothing_done(self) -> str:
        return "Nothing was delivered" if self.call.startswith("POST") else "Nothing was read"


@define(slots=False, eq=False)
class AuthError(ApiError):
    """The API refused the key; every further call with it will fail as well."""

    def _advice(self) -> str:
        return (
            f"{self._nothing_done()}; check the API key, where it is placed (Dialect.auth_in), "
            "and whether a firewall stands in front of the API."
        )


@define(slots=False, eq=False)
class RateLimited(ApiError):
    """The API refused the request for now: HTTP 429, or 503 with ``Retry-After``.

    ``retry_after`` is the server's own wait in seconds, or ``None`` when it named none.
    """

    retry_after: float | None = field(default=None, kw_only=True)

    def _advice(self) -> str:
        wait = self.retry_after
        when = "later" if wait is None or math.isinf(wait) else f"in {wait:g} s"
        return f"{self._nothing_done()}; try again {when}, or at a lower rate (TokenBucket)."


@define(slots=False, eq=False)
class UnexpectedResponse(AldeamoError):
    """An answer outside the contract: HTML, broken JSON, a wrong shape, or one too large.

    A read raises it; for a send it is the ``answer`` of a :class:`DeliveryUnknown`. ``problems``
    lists the faults with their paths (``data[3].id: missing``), a hundred at most and then their
    number. ``snippet`` is what the server said, without key, numbers or texts.
    """

    call: str
    http_status: int
    problems: tuple[str, ...]
    content_type: str = ""
    snippet: str = ""

    def __str__(self) -> str:
        """List the first faults and show what came instead."""
        shown = "; ".join(self.problems[:_PROBLEMS_SHOWN])
        hidden = len(self.problems) - _PROBLEMS_SHOWN
        more = f"; and {hidden} more in .problems" if hidden > 0 else ""
        kind = f", {self.content_type}" if self.content_type else ""
        body = f" What came: {self.snippet}" if self.snippet else ""
        return (
            f"{self.call} answered outside the contract{_tried(self.attempts)} "
            f"(HTTP {self.http_status}{kind}): {shown}{more}. "
            f"Check the base URL and what stands between you and the API.{body}"
        )


@define(slots=False, eq=False)
class CampaignError(AldeamoError):
    """A campaign's ledger cannot be used: locked by another run, foreign, or damaged."""

    problem: str

    def __str__(self) -> str:
        """Return the problem in words."""
        return self.problem
