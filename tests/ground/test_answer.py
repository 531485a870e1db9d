"""Unit tests of how an exchange is judged, and how the answer is put into words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aldeamo_async import (
    ApiError,
    AuthError,
    Dialect,
    Drift,
    Evidence,
    Outgoing,
    Phase,
    RateLimited,
    Secret,
    UnexpectedResponse,
)
from aldeamo_async._codec import Codec
from aldeamo_async._retry import Verdict
from aldeamo_async._wire import (
    Finding,
    MaybeSent,
    Unsent,
    WireResponse,
    decipher,
    send_request,
    unsent,
    users_request,
)
from support.answers import USER, envelope

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = "test-key"
TEXT = "Hola Ana, tu cita es el lunes"
DIALECT = Dialect()
SEND = send_request(Outgoing("sms", "573000000001", TEXT), DIALECT, Secret(KEY))
READ = users_request("web", DIALECT, Secret(KEY))


def judged(body: Any, status: int = 200, request: Any = SEND, **headers: str) -> Finding:
    """Decipher one complete answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return decipher(request, WireResponse(status, pairs, raw), Codec(DIALECT, Drift()), NOW)


YES = {"status": True, "codigo": 0}
BODIES: dict[str, Any] = {
    "yes": YES,
    "yes in other words": {"status": "1", "codigo": "0"},
    "yes without a code": {"status": 1},
    "no by status": YES | {"status": False},
    "no by code": YES | {"codigo": 5},
    "no by both": {"status": "false", "code": "E1"},
    "no with a broken code": {"status": 0, "codigo": []},
    "yes with a broken code": YES | {"codigo": []},
    "neither": {"codigo": 0},
    "a list": [YES],
    "html": b"<html>",
    "cut off": b'{"status": true, "codigo": 0, "da',
    "latin-1": '{"status": true, "codigo": 0, "message": "envío"}'.encode("latin-1"),
    "utf-16": '{"status": true, "codigo": 0}'.encode("utf-16"),
    "php notice": b"<br />Notice: x<br />" + json.dumps(YES).encode(),
    "nothing": b"",
}
TABLE = """
                        200      204      301      400      429      500      502      503
yes                     ok       ok       unknown  rejected refused  unknown  unknown  unknown
yes in other words      ok       ok       unknown  rejected refused  unknown  unknown  unknown
yes without a code      ok       ok       unknown  rejected refused  unknown  unknown  unknown
no by status            rejected rejected unknown  rejected refused  unknown  unknown  unknown
no by code              rejected rejected unknown  rejected refused  unknown  unknown  unknown
no by both              rejected rejected unknown  rejected refused  unknown  unknown  unknown
no with a broken code   rejected rejected unknown  rejected refused  unknown  unknown  unknown
yes with a broken code  unknown  unknown  unknown  rejected refused  unknown  unknown  unknown
neither                 unknown  unknown  unknown  rejected refused  unknown  unknown  unknown
a list                  unknown  unknown  unknown  rejected refused  unknown  unknown  unknown
html                    unknown  unknown  unknown  rejected refused  unknown  unknown  unknown
cut off                 unknown  unknown  unknown  rejected refused  unknown  unknown  unknown
latin-1                 unknown  unknown  unknown  rejected refused  unknown  unknown  unknown
utf-16                  unknown  unknown  unknown  rejected refused  unknown  unknown  unknown
php notice              unknown  unknown  unknown  rejected refused  unknown  unknown  unknown
nothing                 unknown  unknown  unknown  rejected refused  unknown  unknown  unknown
"""
HEAD, *LINES = [line for line in TABLE.splitlines() if line]
CELLS = [
    (line[:24].strip(), int(status), verdict)
    for line in LINES
    for status, verdict in zip(HEAD.split(), line[24:].split(), strict=True)
]


def test_the_table_has_every_body() -> None:
    """No body of the table is left unjudged."""
    assert {name for name, _, _ in CELLS} == set(BODIES)


@pytest.mark.parametrize(("body", "status", "verdict"), CELLS)
@pytest.mark.parametrize("request_", [SEND, READ], ids=["send", "read"])
def test_a_verdict_rests_on_status_and_envelope(
    body: str, status: int, verdict: str, request_: Any
) -> None:
    """Each body with each status has the verdict of the table, with envelope or error to it."""
    finding = judged(BODIES[body], status, request_)
    assert (finding.verdict, finding.evidence, finding.phase) == (
        verdict,
        Evidence.ANSWERED,
        Phase.DONE,
    )
    assert finding.status == status
    assert (finding.envelope is None) is (verdict != "ok")
    kinds = {"ok": type(None), "rejected": ApiError, "refused": RateLimited}
    if verdict == "unknown":
        spoken = status >= 300 and body.startswith("no ")
        assert type(finding.error) is (ApiError if spoken else UnexpectedResponse)
    else:
        assert type(finding.error) is kinds[verdict]


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        ("0.5", 0.5),
        (" 7 ", 7),
        ("Sun, 01 Mar 2026 12:00:09 GMT", 9),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_says_when_to_come_back(status: int, retry_after: str, seconds: float) -> None:
    """`Retry-After` in seconds, decimals or as a date makes 503 a refusal like 429."""
    finding = judged(b"", status, Retry_After=retry_after)
    assert (finding.verdict, finding.retry_after) == (Verdict.REFUSED, seconds)
    assert isinstance(finding.error, RateLimited)
    assert finding.error.retry_after == seconds


@pytest.mark.parametrize("retry_after", ["soon", "-1", "1e3", "", "nan", "7, 8"])
def test_an_unreadable_wait_is_none(retry_after: str) -> None:
    """A `Retry-After` that cannot be read names no wait, so a 503 with it proves nothing."""
    assert judged(b"", 503, retry_after=retry_after).verdict is Verdict.UNKNOWN
    finding = judged(b"", 429, retry_after=retry_after)
    assert (finding.verdict, finding.retry_after) == (Verdict.REFUSED, None)


def test_a_date_is_measured_on_the_server_s_clock() -> None:
    """A date in `Retry-After` counts from the answer's own `Date`, whatever the clock here says."""
    times = {
        "date": "Sun, 01 Mar 2020 12:00:00 GMT",
        "retry_after": "Sun, 01 Mar 2020 12:01:00 GMT",
    }
    assert judged(b"", 429, **times).retry_after == 60
    assert NOW - datetime(2020, 3, 1, tzinfo=UTC) > timedelta(days=1000)


def test_the_first_of_several_headers_counts() -> None:
    """Names of headers are read in any case, and of several the first counts."""
    answer = WireResponse(429, (("RETRY-AFTER", "3"), ("Retry-After", "4")), b"")
    assert answer.header("retry-after") == "3"
    assert answer.header("date") is None


def test_without_an_answer_the_evidence_decides() -> None:
    """What provably did not leave is unsent, what may have left unknown; no error is made yet."""
    codec = Codec(DIALECT, Drift())
    gone = decipher(SEND, MaybeSent(Phase.READ, "reset", timed_out=True), codec, NOW)
    assert gone == Finding(
        Verdict.UNKNOWN, Evidence.MAYBE_SENT, Phase.READ, "reset", timed_out=True
    )
    kept = decipher(SEND, Unsent(Phase.CONNECT, "refused"), codec, NOW)
    assert kept == unsent(Phase.CONNECT, "refused", timed_out=False)
    assert (kept.verdict, kept.evidence) == (Verdict.UNSENT, Evidence.UNSENT)


def test_an_answer_too_large_is_no_answer() -> None:
    """A body past the cap proves nothing for a send, and says which switch to turn."""
    answer = WireResponse(200, (), b"", oversized=True)
    finding = decipher(SEND, answer, Codec(DIALECT, Drift()), NOW)
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.reason == "HTTP 200, body: larger than Dialect.max_response_bytes"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (YES, 200, "ok"),
        (YES | {"codigo": 5}, 200, "HTTP 200, codigo 5"),
        ({"status": False}, 200, "HTTP 200"),
        ({"status": False, "codigo": 5}, 500, "HTTP 500"),
        (b"<html>", 502, "HTTP 502"),
        (b"<html>", 200, "HTTP 200, body: not JSON"),
        (b" \n", 200, "HTTP 200, body: empty"),
        (b"\xff{}", 200, "HTTP 200, body: not UTF-8"),
        (b"[" * 100_000, 200, "HTTP 200, body: nested too deeply"),
        (b"9" * 5000, 200, "HTTP 200, body: not JSON"),
        (b'"Ana"', 200, "HTTP 200, body: must be an object, not text"),
        (b"null", 200, "HTTP 200, body: must be an object, not null"),
        ({}, 200, "HTTP 200, status: missing, or neither yes nor no"),
        (
            {"status": True, "codigo": ""},
            200,
            "HTTP 200, codigo: must be a whole number, not empty",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_reason_says_how_it_ended(body: Any, status: int, reason: str) -> None:
    """The reason of an attempt is short, says what was wrong, and quotes nobody."""
    assert judged(body, status).reason == reason


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b""),
        (403, b"<h1>Forbidden</h1>"),
        (200, {"status": False, "error": "Invalid API key"}),
        (400, {"status": False, "message": "missing auth"}),
        (400, b"Unknown api_key."),
    ],
    ids=str,
)
def test_a_refused_key_is_an_auth_error(status: int, body: Any) -> None:
    """401, 403, and a no that names the key, are about the key."""
    assert type(judged(body, status).error) is AuthError


@pytest.mark.parametrize(
    "text", ["Invalid OAuth access token", "Invalid channel", "The author is unknown", "auth"]
)
def test_another_refusal_is_not_about_the_key(text: str) -> None:
    """A page's token, an author or a channel is not the API key."""
    assert type(judged({"status": False, "message": text}).error) is ApiError


def test_a_server_error_never_blames_the_key() -> None:
    """A 500 that talks of the key proves nothing, and is no `AuthError`."""
    finding = judged({"status": False, "error": "Invalid API key"}, 500)
    assert (finding.verdict, type(finding.error)) == (Verdict.UNKNOWN, ApiError)


def shown(finding: Finding) -> str:
    """Everything of a finding that anybody could print, but for the caller's own raw answer."""
    return f"{finding!r} {finding.error!r} {finding.error}"


ECHO = f"to 573000000001: {TEXT} ({KEY})"


@pytest.mark.parametrize("status", [200, 400, 429, 500, 502])
@pytest.mark.parametrize(
    "body",
    [
        {"status": False, "message": ECHO},
        {"status": False, "codigo": ECHO},
        {"status": 7, "error": ECHO},
        {"message": ECHO},
        f"<h1>{ECHO}</h1>".encode(),
        ("x" * 65_500 + ECHO).encode(),
        f'{{"status": true, "message": "{ECHO}'.encode(),
        json.dumps(ECHO).encode(),
        json.dumps([ECHO]).encode(),
    ],
    ids=lambda body: str(body)[:20],
)
def test_no_echo_shows(body: Any, status: int) -> None:
    """Key, number and text that a server echoes are in no error, reason or repr."""
    words = shown(judged(body, status, content_type=ECHO))
    for private in (KEY, "573000000001", TEXT, "Hola Ana, tu cita"):
        assert private not in words


def test_no_echo_shows_in_a_receipt() -> None:
    """The sentence of a success is made safe as well; the documented ones stay as they are."""
    envelope_ = judged(YES | {"message": ECHO}).envelope
    assert envelope_ is not None
    assert envelope_.text == "to <hidden>: <hidden> (***)"
    documented = judged(envelope(32)).envelope
    assert documented is not None
    assert documented.text == "Message sent"


def test_rows_do_not_show_in_the_error_of_a_cut_list() -> None:
    """A list that breaks off half-way shows its names of fields, and nobody's data."""
    whole = json.dumps(envelope([USER])).encode()
    for end in range(len(whole)):
        error = judged(whole[:end], 200, READ).error
        assert isinstance(error, UnexpectedResponse)
        assert "Ana" not in str(error)
        assert "50700000001" not in str(error)


def test_the_raw_answer_is_kept_without_the_key() -> None:
    """`raw` is the whole answer with the key blanked in names, texts and numbers."""
    request = users_request("web", DIALECT, Secret("12345"))
    body = {"status": False, "a12345": ["12345", 12345, {"n": None}], "f": 1.5}
    error = judged(body, 400, request).error
    assert isinstance(error, ApiError)
    assert error.raw == {"status": False, "a***": ["***", "***", {"n": None}], "f": 1.5}


def test_a_raw_answer_without_end_is_cut() -> None:
    """Nesting beyond what Python can copy is cut, so that the error still pickles."""
    deep = b'{"status": false, "deep": ' + b'[{"a":' * 200 + b"1" + b"}]" * 200 + b"}"
    error = judged(deep, 400).error
    assert isinstance(error, ApiError)
    assert str(error.raw).count("[") < 50


def test_a_redirect_is_named() -> None:
    """A redirect is not followed, and the error says so."""
    error = judged(b"", 302, READ, location=f"https://tenant.example/?auth={KEY}").error
    assert isinstance(error, UnexpectedResponse)
    assert error.problems == ("HTTP 302: a redirect, and none is followed", "body: empty")
    assert "tenant" not in str(error)


def test_an_envelope_speaks_for_itself() -> None:
    """Of an answer with a status the API's own sentence is shown, not the JSON around it."""
    error = judged({"status": True, "codigo": [], "message": "Half done"}).error
    assert isinstance(error, UnexpectedResponse)
    assert error.snippet == "Half done"
