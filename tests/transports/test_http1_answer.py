"""Answers of HTTP/1.1 without sockets: cut anywhere, beside h11, and what is refused."""

from __future__ import annotations

import gzip
import re
import weakref
import zlib
from typing import TYPE_CHECKING

import h11
import httpx
import pytest
from attrs import field, frozen
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aldeamo_async._wire import Pairs
from aldeamo_async.transports import WireResponse
from aldeamo_async.transports._answer import decode
from aldeamo_async.transports._http1_answer import AnswerReader

if TYPE_CHECKING:
    from collections.abc import Iterable

CAP = 1_000_000
HEAD_MAX = 100 * 1024  # bytes, of h11 in httpcore and ours
PROFILE = settings(deadline=None, suppress_health_check=list(HealthCheck))
LINE = b"HTTP/1.1 200 OK\r\n"
PLAIN = LINE + b"content-length: 2\r\n\r\nab"
CHUNKED = LINE + b"transfer-encoding: chunked\r\n\r\n"


@frozen
class Read:
    """What became of the bytes of one connection."""

    answer: WireResponse | None
    keep: bool
    broken: bool
    reader: AnswerReader = field(eq=False, repr=False)


def read(pieces: Iterable[bytes], *, ended: bool = False, cap: int = CAP) -> Read:
    """Read as a connection does: until the answer, a breach, or the end."""
    reader = AnswerReader()
    reader.expect(cap)
    answer = None
    left = iter(pieces)
    for piece in left:
        answer = reader.feed(piece)
        if answer or reader.broken:
            break
    else:
        answer = reader.end() if ended else None
    return Read(answer, reader.keep and not any(left), reader.broken, reader)


def refused(raw: bytes, *, ended: bool = False, cap: int = CAP) -> bool:
    """Whether it is no answer, in one piece and byte by byte."""
    found = [read(pieces, ended=ended, cap=cap) for pieces in ([raw], map(bytes, zip(raw)))]
    return all(one.answer is None and one.broken for one in found)


# ── beside h11 ──


@frozen
class Told:
    """What h11, and with it httpx, makes of the same bytes."""

    status: int
    headers: Pairs
    body: bytes
    keep: bool


def told(raw: bytes, *, ended: bool) -> Told | None:
    """Read an answer as httpcore does; `None` where it is not complete or not HTTP."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MAX)
    connection.send(h11.Request(method="POST", target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    head: h11.Response | None = None
    body: list[bytes] = []
    try:
        connection.receive_data(raw)
        if ended:
            connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.InformationalResponse):
                return None  # it waits for more
    except h11.RemoteProtocolError:
        return None
    assert head is not None
    pairs = head.headers.raw_items()
    decoded = decode(b"".join(body), httpx.Headers(pairs).get("content-encoding"), CAP)
    assert decoded is not None
    return Told(
        head.status_code,
        tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs),
        decoded,
        # h11 keeps no connection of HTTP/1.0, whatever the server says of it.
        keep=not connection.trailing_data[0].strip(b"\r\n")
        and (connection.their_state is h11.DONE or head.http_version == b"1.0"),
    )


def agree(ours: Read, theirs: Told | None) -> bool:
    """Whether the two read the same, and we keep no connection that h11 would not."""
    if ours.answer is None or theirs is None:
        return ours.answer is theirs is None
    same = (ours.answer.status, ours.answer.headers, ours.answer.body)
    return same == (theirs.status, theirs.headers, theirs.body) and ours.keep <= theirs.keep


# ── answers that servers may send ──

NAMES = st.from_regex(r"\A[A-Za-z0-9!#$%&'*+.^_`|~-]{1,9}\Z")  # too short for one with a meaning
VALUES = st.from_regex(rb"\A([\x21-\x7e\x80-\xff]([ \t\x21-\x7e\x80-\xff]{0,12})?)?\Z")
SPACE = st.sampled_from([b"", b" ", b"\t", b"  "])


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


CODINGS = {
    b"gzip": gzipped,
    b"x-gzip": gzipped,
    b"GZIP": gzipped,
    b"deflate": zlib.compress,
    b"br": lambda body: body,
    b"gzip, gzip": lambda body: gzipped(gzipped(body)),
}


@st.composite
def headers(draw: st.DrawFn, most: int = 6) -> list[bytes]:
    """Header lines: any name, any bytes, empty values, space around them, names twice."""
    pairs = draw(st.lists(st.tuples(NAMES, VALUES), max_size=most))
    pairs += draw(st.lists(st.sampled_from(pairs), max_size=2)) if pairs else []
    return [
        b"%s:%s%s%s\r\n" % (name.encode(), draw(SPACE), value, draw(SPACE)) for name, value in pairs
    ]


@st.composite
def chunks(draw: st.DrawFn, body: bytes) -> bytes:
    """A body in chunks, with extensions and trailers."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(body) - 1)), max_size=4)))
    parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    ext = draw(st.sampled_from([b"", b";a=b", b';q="x y"']))
    size = draw(st.sampled_from([b"%x", b"%X", b"0%x"]))
    lines = [size % len(part) + ext + b"\r\n" + part + b"\r\n" for part in parts if part]
    return b"".join([*lines, b"0\r\n", *draw(headers(2)), b"\r\n"])


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bool]:
    """A valid answer, news before it, and whether the connection ends with it."""
    news = [
        b"HTTP/1.1 %d News\r\n%s\r\n" % (draw(st.sampled_from([100, 102, 103])), line)
        for line in draw(st.lists(st.sampled_from([b"", b"link: </a>\r\n"]), max_size=3))
    ]
    status = draw(st.sampled_from([200, 201, 202, 204, 304, 307, 400, 429, 500, 503, 999]))
    line = b"HTTP/%s %d%s\r\n" % (
        draw(st.sampled_from([b"1.1", b"1.1", b"1.0"])),
        status,
        draw(st.sampled_from([b"", b" ", b" OK", b" No, no \xe9"])),
    )
    head, body = draw(headers()), draw(st.binary(max_size=200))
    coding = draw(st.sampled_from([None, None, *CODINGS]))
    if coding is not None:
        head.append(b"Content-Encoding: %s\r\n" % coding)
        body = CODINGS[coding](body)
    how = draw(st.sampled_from(["length", "chunks", "end"]))
    if how == "length":
        head.append(b"Content-Length: %d\r\n" % len(body))
    elif how == "chunks":
        head.append(b"Transfer-Encoding: chunked\r\n")
        body = draw(chunks(body))
    if status in (204, 304):
        body = b""
    words = [None, None, b"close", b"keep-alive", b"Keep-Alive, X-Y", b""]
    if (word := draw(st.sampled_from(words))) is not None:
        head.append(b"Connection: %s\r\n" % word)
    head = draw(st.permutations(head))
    return b"".join([*news, line, *head, b"\r\n", body]), how == "end"


def cut(raw: bytes, places: Iterable[float]) -> list[bytes]:
    """Cut at these parts of the whole."""
    at = sorted(int(place * len(raw)) for place in places)
    return [raw[a:b] for a, b in zip([0, *at], [*at, len(raw)], strict=True) if a < b]


PLACES = st.lists(st.floats(0, 1), max_size=12)


@settings(PROFILE, max_examples=100)
@given(answers(), PLACES)
@example((LINE + b"x-a:\r\ncontent-length: 2\r\n\r\nab", False), [i / 40 for i in range(40)])
def test_valid_answers(valid: tuple[bytes, bool], places: list[float]) -> None:
    """However it is cut, an answer is read as h11 reads it whole."""
    raw, ended = valid
    ours = read(cut(raw, places), ended=ended)
    assert ours.answer is not None
    assert agree(ours, told(raw, ended=ended))
    assert ours == read([raw], ended=ended)


@pytest.mark.slow
@settings(PROFILE, max_examples=1_000)
@given(answers(), PLACES)
def test_valid_answers_by_the_thousand(valid: tuple[bytes, bool], places: list[float]) -> None:
    """The same, many times."""
    raw, ended = valid
    ours = read(cut(raw, places), ended=ended)
    assert ours.answer is not None
    assert agree(ours, told(raw, ended=ended))


# ── answers that are not quite right ──

SLIPS = st.sampled_from(
    [
        *(bytes([one]) for one in b"\r\n: \t09a\0\1\x7f\xff,;-+"),
        *(b"\r\n", b"HTTP", b"gzip, ", b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n"),
    ]
)
SPOILS = st.lists(st.tuples(st.floats(0, 1), SLIPS, st.integers(0, 2)), min_size=1, max_size=3)
# What llhttp lets pass and h11 does not: empty lines before an answer, control characters in the
# words after a status. Nobody looks at either.
LAXER = re.compile(rb"(\A|\n)[\r\n]+HTTP/|HTTP/\d\.\d \d{3} [^\r\n]*[\x00\x0b\x0c]", re.DOTALL)


def spoil(raw: bytes, spoils: Iterable[tuple[float, bytes, int]]) -> bytes:
    """Put something in at these parts of the whole, in place of so many bytes."""
    for place, slip, gone in spoils:
        at = int(place * len(raw))
        raw = raw[:at] + slip + raw[at + gone :]
    return raw


def never_a_wrong_answer(raw: bytes, pieces: list[bytes], *, ended: bool) -> None:
    ours, theirs = read(pieces, ended=ended), told(raw, ended=ended)
    if ours.answer is not None and not (theirs is None and LAXER.search(raw)):
        assert agree(ours, theirs)


@settings(PROFILE, max_examples=100)
@given(answers(), SPOILS, PLACES)
def test_spoilt_answers(
    valid: tuple[bytes, bool], spoils: list[tuple[float, bytes, int]], places: list[float]
) -> None:
    """Whatever comes, what is taken for an answer is the one that h11 reads."""
    raw = spoil(valid[0], spoils)
    never_a_wrong_answer(raw, cut(raw, places), ended=valid[1])


@pytest.mark.slow
@settings(PROFILE, max_examples=1_000)
@given(answers(), SPOILS, PLACES)
def test_spoilt_answers_by_the_thousand(
    valid: tuple[bytes, bool], spoils: list[tuple[float, bytes, int]], places: list[float]
) -> None:
    """The same, many times."""
    raw = spoil(valid[0], spoils)
    never_a_wrong_answer(raw, cut(raw, places), ended=valid[1])


STRICTER = {
    "a header in two lines": LINE + b"x-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\nab",
    "lines that end with LF alone": PLAIN.replace(b"\r\n", b"\n"),
    "a control character in a header": LINE + b"x-a: a\1b\r\ncontent-length: 2\r\n\r\nab",
    "HTTP/1.2": PLAIN.replace(b"HTTP/1.1", b"HTTP/1.2"),
    "two lengths that are the same": LINE + b"content-length: 2\r\n" * 2 + b"\r\nab",
    "a list of lengths that are the same": LINE + b"content-length: 2, 2\r\n\r\nab",
    "a length and chunks": LINE
    + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "space after the size of a chunk": CHUNKED + b"2 \r\nab\r\n0\r\n\r\n",
    "news with a body that has a length": b"HTTP/1.1 150 News\r\ncontent-length: 5\r\n\r\n" + PLAIN,
}


@pytest.mark.parametrize("raw", STRICTER.values(), ids=STRICTER)
def test_stricter_than_h11(raw: bytes) -> None:
    """What h11 takes and llhttp does not is no answer: nobody guesses whether it was sent."""
    assert told(raw, ended=True) is not None
    assert refused(raw)


@pytest.mark.parametrize(
    "raw",
    [b"\r\n\r\n" + PLAIN, PLAIN.replace(b"OK", b"O\x0bK")],
    ids=["empty lines before it", "a control character in the words after the status"],
)
def test_laxer_than_h11(raw: bytes) -> None:
    """What nobody looks at may be anything."""
    assert told(raw, ended=True) is None
    assert read([raw]) == read([PLAIN])


REFUSED = {
    "nothing like HTTP": b"SSH-2.0-OpenSSH\r\n",
    "another protocol": b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
    + PLAIN,
    "another protocol, unnamed": b"HTTP/1.1 101 Switching\r\n\r\n" + PLAIN,
    "a length that is none": LINE + b"content-length: +2\r\n\r\nab",
    "a size of a chunk that is none": CHUNKED + b"x\r\nab",
    "a chunk that is longer": CHUNKED + b"2\r\nabc",
    "chunks of a coding": LINE + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "chunks twice": LINE + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n2\r\nab\r\n0\r\n\r\n",
    "another coding of the transfer": LINE + b"transfer-encoding: identity\r\n\r\nab",
    "a status below 100": PLAIN.replace(b"200", b"099"),
    "a status of four digits": PLAIN.replace(b"200", b"2000"),
    "a space before the colon": LINE + b"content-length : 2\r\n\r\nab",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_refused(raw: bytes) -> None:
    """What is no answer for h11 is none here."""
    assert told(raw, ended=True) is None
    assert refused(raw, ended=True)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        LINE[:9],
        LINE,
        LINE + b"content-length: 2\r\n",
        PLAIN[:-2],
        PLAIN[:-1],
        CHUNKED,
        CHUNKED + b"2\r\nab\r\n",
        CHUNKED + b"2\r\nab\r\n0\r\n",
        CHUNKED + b"2\r\nab\r\n0\r\nx-a: 1\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + LINE,
    ],
)
def test_half_an_answer(raw: bytes) -> None:
    """A connection that ends in the middle of an answer brought none."""
    assert told(raw, ended=True) is None
    assert read([raw], ended=True).answer is None


# ── one answer, and nothing but that ──


@pytest.mark.parametrize(
    "after",
    [b"H", b"garbage", PLAIN, LINE + b"content-encoding: gzip\r\ncontent-length: 9\r\n\r\n"],
)
@pytest.mark.parametrize("first", [PLAIN, CHUNKED + b"2\r\nab\r\n0\r\n\r\n"])
def test_what_follows(first: bytes, after: bytes) -> None:
    """What comes behind an answer changes nothing of it, and ends the connection."""
    alone, both = read([first]), read([first + after])
    assert alone.keep
    assert both.answer == alone.answer
    assert not both.keep
    assert both.broken


def test_an_answer_that_nobody_asked_for() -> None:
    """What comes before the request is not taken for its answer."""
    reader = AnswerReader()
    assert reader.feed(PLAIN) is None
    assert reader.broken
    assert not reader.keep


def test_one_answer_after_another() -> None:
    """Nothing of an answer is left for the next: no trailer, no coding, no size, no keeping."""
    reader = AnswerReader()
    for raw, headers, body in (
        (PLAIN, 1, b"ab"),
        (CHUNKED + b"2\r\nab\r\n0\r\nx-a: 1\r\ncontent-encoding: gzip\r\n\r\n", 1, b"ab"),
        (PLAIN, 1, b"ab"),
        (
            LINE + b"content-encoding: gzip\r\ncontent-length: 22\r\n\r\n" + gzip.compress(b"ab"),
            2,
            b"ab",
        ),
        (b"HTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\n" + PLAIN, 1, b"ab"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 0, b""),
        (LINE + b"Transfer-Encoding: Chunked \r\n\r\n2\r\nab\r\n0\r\n\r\n", 1, b"ab"),
        (PLAIN, 1, b"ab"),
    ):
        reader.expect(100)
        answer = reader.feed(raw)
        assert answer is not None
        assert (len(answer.headers), answer.body, answer.oversized) == (headers, body, False)
        assert reader.keep
    reader.expect(2)
    assert not reader.keep
    answer = reader.feed(PLAIN.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    assert answer is not None
    assert not reader.keep


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nconnection: x-y, Close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n", True),
        (b"HTTP/2.0 200 OK\r\n", False),
    ],
)
def test_keeping(head: bytes, *, keep: bool) -> None:
    """A connection serves again where its answer says so."""
    found = read([head + b"content-length: 2\r\n\r\nab"])
    assert found.answer is not None
    assert found.keep is keep


def test_nothing_is_kept_of_an_answer() -> None:
    """A connection at rest does not hold on to the megabytes that it brought."""
    found = read([PLAIN])
    assert found.answer is not None
    shadow = weakref.ref(found.answer)
    reader = found.reader
    del found
    assert shadow() is None
    assert not reader._parts
    assert reader.keep


# ── no more than the cap ──


@pytest.mark.parametrize(
    ("raw", "ended"),
    [
        (LINE + b"content-length: 101\r\n\r\n" + b" " * 101, False),
        (CHUNKED + b"32\r\n%b\r\n33\r\n%b\r\n0\r\n\r\n" % (b" " * 50, b" " * 51), False),
        (LINE + b"\r\n" + b" " * 101, True),
        (LINE + b"content-encoding: gzip\r\n\r\n" + gzip.compress(b" " * 101), True),
    ],
    ids=["length", "chunks", "end", "gzip"],
)
def test_the_cap(raw: bytes, *, ended: bool) -> None:
    """A byte too many is an answer without a body; a connection with more to come is not kept."""
    for pieces in ([raw], [raw[:-1], raw[-1:]], [*map(bytes, zip(raw))]):
        over = read(pieces, ended=ended, cap=100)
        assert over.answer == WireResponse(200, over.answer.headers, b"", oversized=True)
        assert not over.keep
        fitting = read(pieces, ended=ended, cap=101)
        assert fitting.answer is not None
        assert fitting.answer.body == b" " * 101


def test_the_rest_of_a_body_over_the_cap() -> None:
    """It is dropped as it comes, and never part of another answer."""
    reader = AnswerReader()
    for raw in (PLAIN, LINE + b"content-length: 1000000\r\n\r\n" + b" " * 11):
        reader.expect(10)
        answer = reader.feed(raw)
    assert answer is not None
    assert answer.oversized
    assert not reader.keep
    for _ in range(100):
        assert reader.feed(b" " * 1000) is None
    assert not reader._parts


# ── no endless head ──


def drip(head: bytes, line: bytes) -> int:
    """How many bytes of this line, again and again, are read until it is enough."""
    reader = AnswerReader()
    reader.expect(CAP)
    assert reader.feed(head) is None
    for count in range(1, 2 * HEAD_MAX // len(line)):
        assert reader.feed(line) is None
        if reader.broken:
            return count * len(line)
    return 0


@pytest.mark.parametrize(
    ("head", "line"),
    [
        (LINE, b"x-a: 1\r\n"),
        (LINE + b"x-a: ", b"1"),
        (b"HTTP/1.1 200 O", b"K"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
        (b"", b"\r\n"),
        (CHUNKED + b"2\r\nab\r\n0\r\n", b"x-a: 1\r\n"),
        (CHUNKED + b"2\r\nab\r\n0\r\nx-a: ", b"1"),
        (CHUNKED + b"2;", b"a"),
    ],
    ids=["head", "header", "status", "news", "nothing", "trailers", "trailer", "extension"],
)
def test_an_endless_head(head: bytes, line: bytes) -> None:
    """What has no end is broken off after as many bytes as h11 takes."""
    assert abs(drip(head, line) - HEAD_MAX) <= 100


def test_a_long_head_and_a_long_body() -> None:
    """A head that fits is read, and a body has no such bound, however small its chunks."""
    head = LINE + b"x-a: %b\r\ntransfer-encoding: chunked\r\n\r\n" % (b"1" * (HEAD_MAX - 200))
    pieces = [head, *(piece for _ in range(20_000) for piece in (b"1;a=b\r\n", b"1", b"\r\n"))]
    found = read([*pieces, b"0\r\n\r\n"])
    assert found.answer is not None
    assert found.answer.body == b"1" * 20_000
    assert found.keep
