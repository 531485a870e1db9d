"""The vocabulary of what can go wrong: every fault the sandbox can play, as a value.

Law: a fault says what the client sees and whether a send is delivered all the same; it does
nothing itself. The doors (`_transport`, `_server`) play it, and the delivery log is the judge.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, ClassVar, TypedDict, Unpack

from attrs import evolve, field, fields, frozen

from . import _damage as damage

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=UTF-8"

# Longer than any sensible read timeout, short enough that a forgotten one ends by itself.
HANG_SECONDS = 60.0


class Moment(IntEnum):
    """The points of one exchange, in order, at which a fault can hang or drop it."""

    CONNECT = 0
    """There is no connection yet."""
    ACCEPT = 1
    """Connected; nothing of the request was read."""
    HEAD = 2
    """The request line and headers were read, the body was not."""
    BODY = 3
    """The whole request was read; a send is not delivered yet."""
    EFFECT = 4
    """A send is delivered; nothing was answered yet."""
    ANSWER = 5
    """Half of the answer's body was sent."""
    END = 6
    """The whole answer was sent."""


class Changes(TypedDict, total=False):
    """What `Fault.with_` can change."""

    retry_after: float | str | None
    as_date: bool
    seconds: float
    status: int
    effect: bool
    reset: bool
    drip: int


@frozen(repr=False)
class Fault:
    """One thing that goes wrong in one exchange.

    Take a ready one, and change its figures with `with_`:
    `Fault.RATE_LIMITED`, `Fault.HANG_AFTER_EFFECT.with_(seconds=2)`.
    Each says in `sees` what the client sees, and in `effect` whether a send is delivered.
    Times are in seconds. `Fault.every()` lists them all.
    """

    name: str
    sees: str
    effect: bool
    """Whether a send is delivered, if the client waits until then."""
    status: int | None = field(default=None, kw_only=True)
    """HTTP status of an answer in place of the API's own; None leaves the API's own."""
    body: bytes = field(default=b"", kw_only=True)
    """The body that goes with `status`."""
    content_type: str = field(default=JSON, kw_only=True)
    """The content type that goes with `status`."""
    retry_after: float | str | None = field(default=None, kw_only=True)
    """Seconds for the `Retry-After` header, or its text as given; None sends no header."""
    as_date: bool = field(default=False, kw_only=True)
    """Send `retry_after` as the HTTP date that many seconds from now."""
    reshape: Callable[[Any], object] | None = field(default=None, kw_only=True)
    """Turns the answer's `data` into another shape."""
    mangle: Callable[[bytes], bytes] | None = field(default=None, kw_only=True)
    """Turns the answer's body into other bytes."""
    hang: Moment | None = field(default=None, kw_only=True)
    """Where the exchange stands still for `seconds`."""
    drop: Moment | None = field(default=None, kw_only=True)
    """Where the connection ends."""
    reset: bool = field(default=True, kw_only=True)
    """Whether a dropped connection is reset (RST) or closed in good order (FIN)."""
    seconds: float = field(default=0.0, kw_only=True)
    """How long to hang; with `drip`, the wait before each piece."""
    drip: int = field(default=0, kw_only=True)
    """Bytes of body in each piece; 0 sends the body in one piece."""

    def with_(self, **changes: Unpack[Changes]) -> Fault:
        """Return the same fault with other figures. Raises TypeError for an unknown one."""
        return evolve(self, **changes)

    @classmethod
    def every(cls) -> tuple[Fault, ...]:
        """Return every ready fault, in the order of the catalogue."""
        return tuple(value for value in vars(cls).values() if isinstance(value, Fault))

    def __repr__(self) -> str:
        ready = getattr(Fault, self.name, self)
        names = [attribute.name for attribute in fields(Fault)]
        changed = [name for name in names if getattr(self, name) != getattr(ready, name)]
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in changed)
        return f"Fault.{self.name}" + (f".with_({shown})" if shown else "")

    RATE_LIMITED: ClassVar[Fault]
    RATE_LIMITED_DECIMAL: ClassVar[Fault]
    RATE_LIMITED_DATE: ClassVar[Fault]
    RATE_LIMITED_BARE: ClassVar[Fault]
    UNAVAILABLE: ClassVar[Fault]
    UNAVAILABLE_BARE: ClassVar[Fault]
    SERVER_ERROR: ClassVar[Fault]
    BAD_GATEWAY: ClassVar[Fault]
    BAD_GATEWAY_DELIVERED: ClassVar[Fault]
    STATUS_FALSE: ClassVar[Fault]
    CODIGO_ERROR: ClassVar[Fault]
    TRUNCATED_JSON: ClassVar[Fault]
    NOT_JSON: ClassVar[Fault]
    EMPTY_BODY: ClassVar[Fault]
    BOM: ClassVar[Fault]
    PHP_NOTICE: ClassVar[Fault]
    DATA_TEXT: ClassVar[Fault]
    DATA_OBJECT: ClassVar[Fault]
    DATA_NULL: ClassVar[Fault]
    DATA_FALSE: ClassVar[Fault]
    DATA_JSON_TEXT: ClassVar[Fault]
    IDS_INT: ClassVar[Fault]
    HANG_CONNECT: ClassVar[Fault]
    HANG_BEFORE_EFFECT: ClassVar[Fault]
    HANG_AFTER_EFFECT: ClassVar[Fault]
    CONNECTION_REFUSED: ClassVar[Fault]
    DROP_AT_ACCEPT: ClassVar[Fault]
    DROP_BEFORE_BODY: ClassVar[Fault]
    DROP_AFTER_BODY: ClassVar[Fault]
    DROP_AFTER_EFFECT: ClassVar[Fault]
    DROP_MID_ANSWER: ClassVar[Fault]
    CLOSE_AFTER_ANSWER: ClassVar[Fault]
    DRIP: ClassVar[Fault]


CALM = Fault("CALM", "the API's own answer", True)
"""Nothing goes wrong; what weather gives between two faults."""


def _answer(name: str, status: int, sees: str, **more: Any) -> None:
    """Add a fault that puts another answer in place of the API's own."""
    more.setdefault("effect", False)
    setattr(Fault, name, Fault(name, f"{status}, {sees}", status=status, **more))


def _other(name: str, sees: str, effect: bool, **more: Any) -> None:
    """Add a fault that spoils the API's own answer, or the connection."""
    setattr(Fault, name, Fault(name, sees, effect, **more))


_SLOW_DOWN = b'{"status":false,"error":"Too many requests"}'
_REFUSED = b'{"status":false,"codigo":7,"message":"Message not sent","data":null}'
_CONTRADICTION = b'{"status":true,"codigo":7,"message":"Message not sent","data":null}'


def _page(title: str) -> dict[str, Any]:
    html = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return {"body": html.encode(), "content_type": HTML}


_answer("RATE_LIMITED", 429, "Retry-After in whole seconds", body=_SLOW_DOWN, retry_after=1)
_answer("RATE_LIMITED_DECIMAL", 429, "Retry-After: 0.5", body=_SLOW_DOWN, retry_after=0.5)
_answer(
    "RATE_LIMITED_DATE", 429, "Retry-After as an HTTP date two seconds ahead",
    body=_SLOW_DOWN, retry_after=2, as_date=True,
)  # fmt: skip
_answer("RATE_LIMITED_BARE", 429, "without Retry-After", body=_SLOW_DOWN)
_answer("UNAVAILABLE", 503, "HTML, Retry-After: 1", retry_after=1, **_page("Unavailable"))
_answer("UNAVAILABLE_BARE", 503, "HTML, without Retry-After", **_page("Unavailable"))
_answer("SERVER_ERROR", 500, "HTML", **_page("Internal Server Error"))
_answer("BAD_GATEWAY", 502, "HTML", **_page("Bad Gateway"))
_answer("BAD_GATEWAY_DELIVERED", 502, "HTML, after the effect", effect=True, **_page("Bad Gateway"))
_answer("STATUS_FALSE", 200, "`status: false`, codigo 7", body=_REFUSED)
_answer("CODIGO_ERROR", 200, "`status: true` against codigo 7", body=_CONTRADICTION)
_answer("NOT_JSON", 200, "HTML", effect=True, **_page("OK"))
_answer("EMPTY_BODY", 200, "no body", effect=True)

_other("TRUNCATED_JSON", "200, JSON cut short", True, mangle=damage.cut)
_other("BOM", "200, a byte order mark before the JSON", True, mangle=damage.add_bom)
_other("PHP_NOTICE", "200, a PHP notice before the JSON", True, mangle=damage.add_php_notice)
_other("DATA_TEXT", '200, `data: "ok"`', True, reshape=damage.as_word)
_other("DATA_OBJECT", "200, `data` with numeric keys", True, reshape=damage.as_object)
_other("DATA_NULL", "200, `data: null`", True, reshape=damage.as_null)
_other("DATA_FALSE", "200, `data: false`", True, reshape=damage.as_false)
_other("DATA_JSON_TEXT", "200, `data` is JSON in a string", True, reshape=damage.as_json_text)
_other("IDS_INT", "200, ids in lists are numbers", True, reshape=damage.as_ids_in_int)

_HANG = {"seconds": HANG_SECONDS}
_other("HANG_CONNECT", "no connection for `seconds`", True, hang=Moment.CONNECT, **_HANG)
_other(
    "HANG_BEFORE_EFFECT", "silence for `seconds`, then the effect", True, hang=Moment.BODY, **_HANG
)
_other("HANG_AFTER_EFFECT", "silence after the effect", True, hang=Moment.EFFECT, **_HANG)
_other("CONNECTION_REFUSED", "connection refused", False, drop=Moment.CONNECT)
_other("DROP_AT_ACCEPT", "reset as soon as connected", False, drop=Moment.ACCEPT)
_other("DROP_BEFORE_BODY", "reset after the headers", False, drop=Moment.HEAD)
_other("DROP_AFTER_BODY", "reset after the whole request", False, drop=Moment.BODY)
_other("DROP_AFTER_EFFECT", "reset after the effect", True, drop=Moment.EFFECT)
_other("DROP_MID_ANSWER", "reset after half the answer", True, drop=Moment.ANSWER)
_other("CLOSE_AFTER_ANSWER", "the answer, then FIN", True, drop=Moment.END, reset=False)
_other("DRIP", "the answer, 8 bytes every half second", True, drip=8, seconds=0.5)
