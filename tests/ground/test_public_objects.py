"""Every public object: what it shows, and whether it can travel."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from enum import Enum
from types import UnionType
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import tenacity

import aldeamo_async
from aldeamo_async import (
    AldeamoError,
    ApiError,
    AsyncBotsClient,
    Attempt,
    AuthError,
    Campaign,
    CampaignError,
    ClientStats,
    DeadlineExceeded,
    DeliveryUnknown,
    Dialect,
    Drift,
    Evidence,
    LimiterStats,
    LoadReport,
    Message,
    NetworkError,
    NoAnswer,
    NotSent,
    Outcomes,
    Outgoing,
    Phase,
    RateLimited,
    ReadChannel,
    Receipt,
    Rejected,
    RetryPolicy,
    Rows,
    RunReport,
    Secret,
    SendChannel,
    SendWindow,
    Sent,
    Settings,
    SharedTokenBucket,
    Timeouts,
    TokenBucket,
    UnexpectedResponse,
    Unknown,
    UsageError,
    User,
    Watch,
    WatchCursor,
)
from aldeamo_async._errors import values_of
from aldeamo_async._watch._position import Position
from aldeamo_async._wire import users_request
from aldeamo_async.campaigns import (
    BadRow,
    CampaignStatus,
    MemoryLedger,
    PhaseTime,
    State,
)
from aldeamo_async.limits import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

KEY, PHONE, TEXT, NAME = "test-key", "573000000001", "Hola, tu cita es hoy", "Ana Luisa"
POST = "POST /messages"
ROW = Outgoing("sms", PHONE, TEXT)
TRIED = (Attempt(1, Evidence.MAYBE_SENT, Phase.READ, "reset", waited=0.5, took=1.5),)
PAGE = UnexpectedResponse(POST, 502, ("body: not JSON",), "text/html", "<h1>")
LOST = DeliveryUnknown(POST, Phase.DONE, "HTTP 502", http_status=502, answer=PAGE, attempts=TRIED)
NO = ApiError(POST, "no", 400, 7, {"status": False, "echo": TEXT, "to": PHONE}, attempts=TRIED)
STATUS = CampaignStatus(
    counts={State.SENT: 2}, aside={}, reasons={State.UNKNOWN: {"interrupted": 1}}, next_due=3.0
)
RAN = RunReport(
    sent=2,
    rejected=0,
    unknown=1,
    put_off=0,
    taken_over=1,
    attempts=3,
    seconds=1.5,
    rate=2.0,
    reasons={"ApiError codigo 7": 1},
    phases=(PhaseTime("mark", 0.5, 0.2),),
    stopped=None,
    status=STATUS,
)
BAD_ROWS = (BadRow(4, "no value for client_id"),)

VALUES: list[Any] = [
    AldeamoError(attempts=TRIED),
    NO,
    TRIED[0],
    AuthError(POST, "no", 401),
    CampaignError("The ledger is locked."),
    DeadlineExceeded(POST, Phase.LIMITER, "no permit", attempts=TRIED),
    LOST,
    Dialect(server_tz="America/Bogota"),
    Drift({"GET /users: unknown field tags": 2}),
    Evidence.UNSENT,
    LoadReport(rows=2, added=1, duplicates=0, rejected=1, bad_rows=BAD_ROWS),
    Message("10", PHONE, TEXT, datetime(2019, 5, 2), {"echo": TEXT}),
    NetworkError(POST, Phase.READ, "reset"),
    NoAnswer("GET /users", Phase.READ, "reset"),
    NotSent(POST, Phase.CONNECT, "refused"),
    ROW,
    Phase.LANE,
    RateLimited(POST, "slow", 429, retry_after=2.0),
    ReadChannel.WEB,
    Receipt("32", "Message sent", TRIED),
    Rejected(ROW, NO),
    RetryPolicy(attempts=2, wait=tenacity.nap.sleep_using_event),
    RAN,
    Secret(KEY),
    SendChannel.SMS,
    Sent(ROW, Receipt("32")),
    SendWindow.ley_2300(holidays={datetime(2026, 12, 8).date()}),
    Settings(KEY, Dialect(), 5, 7),
    Timeouts(1, 2, 3),
    PAGE,
    Unknown(ROW, LOST),
    UsageError("no"),
    User("1", PHONE, NAME, "ana@tenant.example", PHONE, None, None, {"nick": NAME}),
    WatchCursor("web", datetime(2026, 12, 8, tzinfo=UTC), {PHONE: Position(None, "7", ("8",))}),
]


async def _never(outgoing: Outgoing, permit: object) -> Any:
    raise AssertionError(outgoing, permit)


def client() -> AsyncBotsClient:
    """A client that made no call yet."""
    return AsyncBotsClient(KEY)


def bucket() -> TokenBucket:
    """A bucket that nobody waits for."""
    return TokenBucket(5)


def shared() -> SharedTokenBucket:
    """A limiter shared by many."""
    return SharedTokenBucket(MemoryStore(), 10)


def outcomes() -> Outcomes:
    """Outcomes that nobody opened."""
    return Outcomes(_never, bucket(), [ROW], concurrency=1, ordered=False)


def rows() -> Rows[User]:
    """Rows that nobody asked for yet."""
    request = users_request("web", Dialect(), Secret(KEY))
    return Rows(client()._engine, client()._terms, request, User)


def campaign() -> Campaign:
    """A campaign that nobody opened."""
    return Campaign.open(MemoryLedger(), client())


async def _watch() -> Watch:
    """A watch is made where its client lives: in an event loop."""
    async with client() as living:
        return living.watch("web", [PHONE])


def watch() -> Watch:
    """A watch that nobody opened."""
    return anyio.run(_watch)


LIVE: list[Callable[[], Any]] = [client, bucket, shared, outcomes, rows, campaign, watch]
STATS: list[Any] = [client().stats(), bucket().snapshot()]
NO_OBJECTS = {"Outcome", "Permit", "RateLimiter"}  # a union and two protocols


def again_by_pickle(value: Any) -> Any:
    """Through a pickle and back."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301


ROADS = [again_by_pickle, copy.copy, copy.deepcopy]


def name_of(value: Any) -> str:
    """The class of a value, or a function's name, for the names of tests."""
    return getattr(value, "__name__", type(value).__name__)


def test_every_public_class_is_here() -> None:
    """No public class is left out: each is a value, a live object, or no object at all."""
    made = {type(value).__name__ for value in [*VALUES, *STATS, *(make() for make in LIVE)]}
    assert made | NO_OBJECTS == set(aldeamo_async.__all__)
    assert isinstance(aldeamo_async.Outcome, UnionType)
    assert {type(stats) for stats in STATS} == {ClientStats, LimiterStats}


@pytest.mark.parametrize("road", ROADS, ids=name_of)
@pytest.mark.parametrize("value", [*VALUES, *STATS], ids=name_of)
def test_a_value_travels_whole(value: Any, road: Callable[[Any], Any]) -> None:
    """Pickled or copied, a value is equal to itself; an error keeps its values and attempts."""
    again = road(value)
    assert type(again) is type(value)
    assert values_of(again) == values_of(value)
    assert (repr(again), str(again)) == (repr(value), str(value))


@pytest.mark.parametrize("road", [again_by_pickle, copy.deepcopy], ids=name_of)
@pytest.mark.parametrize("make", LIVE, ids=name_of)
def test_a_live_object_refuses_to_travel(
    make: Callable[[], Any], road: Callable[[Any], Any]
) -> None:
    """What holds connections or permits says that it cannot be copied, and what to do instead."""
    with pytest.raises(UsageError, match="copied"):
        road(make())


@pytest.mark.parametrize("value", [*VALUES, *STATS, *(make() for make in LIVE)], ids=name_of)
def test_nothing_private_shows(value: Any) -> None:
    """Key, numbers, names and texts are in no `repr` and no `str`, alone or inside another."""
    words = f"{value!r} {value} {[value]!r} {vars(type(value)).get('__doc__')}"
    for private in (KEY, PHONE, TEXT, NAME, "ana@"):
        assert private not in words


@pytest.mark.parametrize("value", [*VALUES, *STATS], ids=name_of)
def test_a_value_shows_where_users_find_it(value: Any) -> None:
    """A class names the package as its home, in tracebacks as in pickles."""
    assert type(value).__module__ == "aldeamo_async"
    assert isinstance(value, Enum) or type(value).__name__ in repr(value)


@pytest.mark.parametrize(
    "value",
    [value for value in VALUES if not isinstance(value, Exception | Enum | Drift | Secret)],
    ids=name_of,
)
def test_a_value_cannot_be_changed(value: Any) -> None:
    """A noun is frozen."""
    first = type(value).__attrs_attrs__[0].name
    with pytest.raises(AttributeError):
        setattr(value, first, None)
