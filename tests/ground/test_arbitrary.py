"""Whatever a server answers: a model or a typed error, and nothing else.

Rule: the same examples in every run, so that a failure is the code's doing. For more, and new ones:
`ALDEAMO_EXAMPLES=100000 pytest tests/ground/test_arbitrary.py` (a run without the variable makes
10,000 through `decipher` for each call, and 300 through the client on each event loop).
"""

from __future__ import annotations

import json
import math
import os
import pickle
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from aldeamo_async import (
    ApiError,
    DeliveryUnknown,
    Dialect,
    Drift,
    Message,
    Outgoing,
    Receipt,
    Secret,
    UnexpectedResponse,
    User,
)
from aldeamo_async._codec import Codec, Malformed
from aldeamo_async._drift import NAMES_MAX
from aldeamo_async._retry import Verdict
from aldeamo_async._wire import (
    GET_USERS,
    POST_MESSAGES,
    WireRequest,
    WireResponse,
    decipher,
    messages_request,
    send_request,
    users_request,
)
from support.answers import MESSAGE, USER, Server, all_rows, connect, envelope

MORE = os.environ.get("ALDEAMO_EXAMPLES")
EXAMPLES = int(MORE or 10_000)
PARTS = 4  # which may run side by side, and cost less together than a draw of all at once
PROFILE = settings(
    derandomize=MORE is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = Secret("test-key")
TEXT = "Hola Ana, tu cita es hoy"
DRIFT = Drift()
CODECS = {
    dialect: Codec(dialect, DRIFT)
    for dialect in (
        Dialect(),
        Dialect(server_tz=UTC),
        Dialect(strict_data=True),
        Dialect(strict_envelope=True),
    )
}
REQUESTS = [
    users_request("web", Dialect(), SECRET),
    messages_request("web", 573000000001, Dialect(), SECRET),
    send_request(Outgoing("sms", "573000000001", TEXT), Dialect(), SECRET),
]

SCALARS: list[Any] = [
    *(None, True, False, 0, 1, -1, 32, 0.0, 1e308, float("nan"), float("inf"), 10**40),
    *("", " ", "0", "1", "true", "no", "32", "-5", "1556826151", "[]", "null", "[{", "\ud83d"),
    *("0000-00-00", "2019-05-02 19:04:49", "2019-05-02T19:04:49Z", "1556826151000"),
    *("test-key", "573000000001", 573000000001, TEXT, f"to 573000000001: {TEXT}", "Message sent"),
]
NESTED: list[Any] = [
    *([], {}, [[]], [None], [{}], [USER], [MESSAGE], [USER, MESSAGE], USER, {"0": USER}, {"a": 1}),
    *(json.dumps([USER]), json.dumps({"7": MESSAGE}), {"status": True}, {"": ""}),
]
NAMES = ["status", "codigo", "code", "message", "mensaje", "error", "data", "test-key", "x"]
FIELDS = [*USER, *MESSAGE, "tags", "573000000001"]

values = st.sampled_from([*SCALARS, *NESTED]) | st.text(max_size=9) | st.integers() | st.floats()
fields = st.lists(st.tuples(st.sampled_from(FIELDS), values), max_size=3).map(dict)
changes = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=2).map(dict)
rows = st.builds(
    lambda row, fields, lost: {name: row[name] for name in row if name != lost} | fields,
    st.sampled_from([USER, MESSAGE]),
    fields,
    st.sampled_from([*FIELDS, None, None]),
)
wholes = st.builds(
    lambda rows, changes, lost: {
        name: value for name, value in (envelope(rows) | changes).items() if name != lost
    },
    st.lists(rows, max_size=2) | values,
    changes,
    st.sampled_from(["status", "codigo", "message", "data", None, None, None, None]),
)


def written(whole: Any, how: str) -> bytes:
    """A value as a server may write it, soundly or not."""
    text = json.dumps(whole)
    return {
        "json": text.encode(),
        "utf-8": json.dumps(whole, ensure_ascii=False).encode("utf-8", "surrogatepass"),
        "utf-16": text.encode("utf-16"),
        "latin-1": json.dumps(whole, ensure_ascii=False).encode("latin-1", "replace"),
        "marked": b"\xef\xbb\xbf" + text.encode(),
        "cut off": text[: len(text) * 2 // 3].encode(),
        "after a notice": f"<br /><b>Notice</b>: x in y {text}".encode(),
        "twice": (text + text).encode(),
    }[how]


MANNERS = ["json"] * 6 + [
    "utf-8",
    "utf-16",
    "latin-1",
    "marked",
    "cut off",
    "after a notice",
    "twice",
]
bodies = (
    st.builds(written, wholes | wholes | wholes | values, st.sampled_from(MANNERS)) | st.binary()
)
statuses = st.sampled_from([200, 201, 204, 302, 400, 401, 403, 429, 500, 502, 503]) | st.integers(
    100, 599
)
# A number of seconds is told as the server gave it. Hypothesis draws from the literals of what is
# loaded, and so may draw the client of these tests as one.
headers = st.lists(
    st.tuples(
        st.sampled_from(["retry-after", "Retry-After", "date", "content-type", "x"]),
        st.sampled_from(["1", "0.5", "-1", "nan", "9" * 400, "text/html", "Sun, 01 Mar 2026"])
        | st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    ).filter(lambda pair: pair[0].lower() != "retry-after" or "573000000001" not in pair[1]),
    max_size=3,
)


def check_error(error: ApiError | UnexpectedResponse | DeliveryUnknown) -> None:
    """An error prints, pickles, and shows nothing private."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    words = f"{error} {error!r} {again}"
    assert words.encode()
    assert "test-key" not in words
    assert "573000000001" not in words
    if error.call == POST_MESSAGES:
        assert TEXT not in words


def check_rows(codec: Codec, data: Any, noun: type[Any], call: str) -> None:
    """Data is a list of nouns, or `Malformed` with paths; at once and row by row alike."""
    try:
        found = list(codec.rows(data, noun, call))
    except Malformed as fault:
        assert fault.problems  # noqa: PT017
        with pytest.raises(Malformed):
            all_rows(codec, data, noun, call)
    else:
        assert {type(row) for row in found} <= {noun}
        assert repr(all_rows(codec, data, noun, call)) == repr(found)


def check_send(codec: Codec, data: Any) -> None:
    """The id of a sent message is text or `None`, and `Malformed` by strict reading alone."""
    try:
        message_id = codec.message_id(data, "POST /messages")
    except Malformed as fault:
        message_id = fault.problems[0]
        assert (
            Codec(Dialect(), Drift()).message_id(data, "POST /messages") is None or data.isdigit()
        )
    assert message_id is None or isinstance(message_id, str)


def check_finding(request: WireRequest, answer: WireResponse, dialect: Dialect) -> None:
    """One answer to one call is a finding with a readable envelope, or with a typed error."""
    codec = CODECS[dialect]
    finding = decipher(request, answer, codec, NOW)
    assert repr(finding).encode()
    if finding.error is not None:
        assert finding.verdict is not Verdict.OK
        assert isinstance(finding.error, ApiError | UnexpectedResponse)
        check_error(finding.error)
    else:
        assert finding.verdict is Verdict.OK
        assert 200 <= answer.status < 300
        assert finding.envelope is not None
        check_data(codec, finding.envelope.data, request.endpoint.call)


def check_data(codec: Codec, data: Any, call: str) -> None:
    """The data of a success can be read, or is `Malformed`."""
    if call == POST_MESSAGES:
        check_send(codec, data)
    else:
        check_rows(codec, data, User if call == GET_USERS else Message, call)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_any_answer_is_deciphered(part: int) -> None:
    """Each of 10,000 answers, to each of the three calls, is a model or a typed error."""

    @seed(part if MORE is None else os.urandom(8))
    @settings(PROFILE, max_examples=math.ceil(EXAMPLES / PARTS))
    @given(dialect=st.sampled_from([*CODECS]), status=statuses, pairs=headers, body=bodies)
    def examine(dialect: Dialect, status: int, pairs: Any, body: bytes) -> None:
        answer = WireResponse(status, tuple(pairs), body)
        for request in REQUESTS:
            check_finding(request, answer, dialect)

    examine()
    assert 10 < len(DRIFT) <= NAMES_MAX + 1
    assert "573000000001" not in repr(DRIFT)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_any_answer_through_the_client(backend: str) -> None:
    """Through the whole client each answer is what the signature says, or an error of its list."""

    @settings(PROFILE, max_examples=min(EXAMPLES, 300))
    @given(status=st.integers(200, 599), pairs=headers, body=bodies)
    def examine(status: int, pairs: Any, body: bytes) -> None:
        async def ask() -> None:
            server = Server(body, status, pairs)
            async with connect(server) as client:
                calls: list[tuple[Any, type[Any]]] = [
                    (client.users("web"), list),
                    (client.messages("web", 573000000001), list),
                    (client.send("sms", "573000000001", TEXT), Receipt),
                ]
                for call, kind in calls:
                    try:
                        assert isinstance(await call, kind)
                    except (ApiError, UnexpectedResponse, DeliveryUnknown) as error:
                        check_error(error)
                assert len(server.seen) == 3

        anyio.run(ask, backend=backend)

    examine()


@pytest.mark.slow
def test_examples_reach_every_verdict() -> None:
    """The answers that are tried hold successes, refusals and noise, and not noise alone."""
    seen: set[Verdict] = set()

    @settings(PROFILE, max_examples=400)
    @given(status=statuses, body=bodies)
    def collect(status: int, body: bytes) -> None:
        request = users_request("web", Dialect(), SECRET)
        answer = WireResponse(status, (), body)
        seen.add(decipher(request, answer, Codec(Dialect(), Drift()), NOW).verdict)

    collect()
    assert seen == {Verdict.OK, Verdict.REJECTED, Verdict.REFUSED, Verdict.UNKNOWN}
