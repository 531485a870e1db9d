"""Unit tests of the error tree and its texts."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest

import aldeamo_async
from aldeamo_async import (
    AldeamoError,
    ApiError,
    Attempt,
    AuthError,
    CampaignError,
    DeadlineExceeded,
    DeliveryUnknown,
    Evidence,
    NoAnswer,
    NotSent,
    Phase,
    RateLimited,
    UnexpectedResponse,
    UsageError,
)
from aldeamo_async._errors import values_of
from support.workers import fail_with

POST, GET = "POST /messages", "GET /users"
TWICE = tuple(Attempt(n, Evidence.MAYBE_SENT, Phase.READ, "reset") for n in (1, 2))
PAGE = UnexpectedResponse(POST, 502, ("body: not JSON",), "text/html", "<h1>")

# What each error says to somebody tired: what happened, may it be out, what next.
TEXTS: list[tuple[AldeamoError, str]] = [
    (UsageError("A message's text is empty."), "A message's text is empty."),
    (CampaignError("The ledger is locked."), "The ledger is locked."),
    (
        NotSent(POST, Phase.CONNECT, "connection refused"),
        (
            "POST /messages was not sent: connection refused (phase: connect). Nothing left this "
            "machine, so trying again cannot deliver twice; check the "
            "network, the proxy and the base "
            "URL."
        ),
    ),
    (
        DeadlineExceeded(POST, Phase.LIMITER, "no permit"),
        (
            "POST /messages ran out of time in the phase limiter: no "
            "permit. Nothing was delivered, so "
            "trying again cannot deliver twice; give the call a longer "
            "deadline, or send fewer at a "
            "time."
        ),
    ),
    (
        NoAnswer(GET, Phase.READ, "reset", attempts=TWICE),
        (
            "GET /users got no complete answer after 2 attempts: reset "
            "(phase: read). A read delivers "
            "nothing; it is safe to read again."
        ),
    ),
    (
        DeliveryUnknown(POST, Phase.READ, "reset", attempts=TWICE[:1]),
        (
            "The fate of POST /messages is unknown: reset (phase: read). The message MAY have been "
            "delivered, so it was not sent again by itself; look at the recipient's conversation "
            "before you resend it."
        ),
    ),
    (
        ApiError(POST, "No such client.", 400, 12),
        (
            "POST /messages was refused by the API (HTTP 400, codigo "
            "12): No such client. Nothing was "
            "delivered; mend the request before you repeat it."
        ),
    ),
    (
        ApiError(GET, "", 404),
        (
            "GET /users was refused by the API (HTTP 404) and gave no "
            "reason. Nothing was read; mend "
            "the request before you repeat it."
        ),
    ),
    (
        ApiError(POST, "Broken", 500),
        (
            "POST /messages was refused by the API (HTTP 500): Broken. A server error does not say "
            "whether the request was processed."
        ),
    ),
    (
        AuthError(GET, "Invalid API key", 403),
        (
            "GET /users was refused by the API (HTTP 403): Invalid API "
            "key. Nothing was read; check "
            "the API key, where it is placed (Dialect.auth_in), and "
            "whether a firewall stands in front "
            "of the API."
        ),
    ),
    (
        RateLimited(POST, "Slow", 429, retry_after=2.5, attempts=TWICE),
        (
            "POST /messages was refused by the API after 2 attempts (HTTP 429): Slow. Nothing was "
            "delivered; try again in 2.5 s, or at a lower rate (TokenBucket)."
        ),
    ),
    (
        RateLimited(POST, "Slow", 429),
        (
            "POST /messages was refused by the API (HTTP 429): Slow. "
            "Nothing was delivered; try again "
            "later, or at a lower rate (TokenBucket)."
        ),
    ),
    (
        UnexpectedResponse(GET, 200, tuple(f"data[{n}].id: missing" for n in range(7))),
        (
            "GET /users answered outside the contract (HTTP 200): data[0].id: missing; data[1].id: "
            "missing; data[2].id: missing; data[3].id: missing; data[4].id: missing; and 2 more in "
            ".problems. Check the base URL and what stands between you and the API."
        ),
    ),
    (
        PAGE,
        (
            "POST /messages answered outside the contract (HTTP 502, "
            "text/html): body: not JSON. Check "
            "the base URL and what stands between you and the API. What came: <h1>"
        ),
    ),
]


@pytest.mark.parametrize(("error", "text"), TEXTS, ids=lambda value: type(value).__name__)
def test_an_error_reads_like_help(error: AldeamoError, text: str) -> None:
    """An error says what happened, whether the message may be out, and what to do next."""
    assert str(error) == text


def test_every_error_has_its_text_here() -> None:
    """The texts above are those of every error that can be raised."""
    public = {getattr(aldeamo_async, name) for name in aldeamo_async.__all__}
    errors = {kind for kind in public if isinstance(kind, type) and issubclass(kind, AldeamoError)}
    assert errors - {aldeamo_async.AldeamoError, aldeamo_async.NetworkError} == {
        type(error) for error, _ in TEXTS
    }


def test_the_tree_of_the_docstring_is_the_tree() -> None:
    """Every error stands in the drawing, below its parent."""
    drawing = aldeamo_async._errors.__doc__ or ""
    lines = [line for line in drawing.splitlines() if "─" in line]
    indents: dict[str, int] = {}
    for line in lines:
        name = line.replace("│", " ").split("─ ")[1].split()[0]
        indents[name] = line.index(name)
        parent = getattr(aldeamo_async, name).__mro__[1].__name__
        assert indents.get(parent, 4) < indents[name]
    assert {type(error).__name__ for error, _ in TEXTS} <= set(indents)


class OwnError(UsageError):
    """A user's own error, whose constructor asks for something else."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} is bad")
        self.row = row


@pytest.mark.parametrize(
    "error",
    [
        *(error for error, _ in TEXTS),
        DeliveryUnknown(POST, Phase.DONE, "HTTP 502", http_status=502, answer=PAGE, attempts=TWICE),
        ApiError(POST, "no", 400, "E1", {"status": False}, attempts=TWICE),
        OwnError(7),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_pickles_by_value(error: AldeamoError, protocol: int) -> None:
    """Through every pickle protocol an error keeps type, values, attempts, args and notes."""
    error = copy.copy(error)
    error.add_note("in row 7")
    again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301
    assert values_of(again) == values_of(error)
    assert (str(again), repr(again), [*map(values_of, again.args)]) == (
        str(error),
        repr(error),
        [*map(values_of, error.args)],
    )
    assert again.__notes__ == error.__notes__


@pytest.mark.slow
def test_an_error_crosses_a_process_pool() -> None:
    """A pool brings a worker's error back whole, and does not hang."""
    error = DeliveryUnknown(
        POST, Phase.DONE, "HTTP 502", http_status=502, answer=PAGE, attempts=TWICE
    )
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        caught = pool.submit(fail_with, error).exception(timeout=60)
    assert values_of(caught) == values_of(error)
