"""A request, without I/O: what to ask, and how it is written out for the wire.

Rule 1: a request does not hold the key in any readable form; ``render()`` puts it in, in the last
step before the wire, and the one who renders keeps nothing of it.
Rule 2: bad input is refused here, with what would have been right, before anything is opened.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import quote_plus, urlsplit, urlunsplit

from attrs import field, frozen

from .._errors import UsageError
from .._models import Outgoing, ReadChannel, SendChannel
from .._redact import mask_text
from .._settings import Dialect, Secret

Pairs: TypeAlias = tuple[tuple[str, str], ...]

GET_USERS: Final = "GET /users"
GET_MESSAGES: Final = "GET /messages"
POST_MESSAGES: Final = "POST /messages"
_CONTENT_TYPES: Final = {
    "form": "application/x-www-form-urlencoded",
    "json": "application/json",
}
_DOCUMENTED: Final = {kind: frozenset(kind) for kind in (ReadChannel, SendChannel)}
# "5.73E+11", "573000000001.0": what spreadsheets and data frames make of an id.
_FLOAT_LIKE: Final = re.compile(r"[0-9]+\.[0-9]*([eE][+]?[0-9]+)?|[0-9]+[eE][+][0-9]+")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]*")  # what a form writes as it is: most ids and keys
_NAME_CHARS_MAX: Final = 24  # of a channel's name in an error; a longer text is none


@frozen
class Rendered:
    """A request with the key in it, for the wire alone. Its repr shows neither URL nor body."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


@frozen
class Endpoint:
    """One call as one dialect speaks it: all that is the same for every message."""

    call: str
    url: str
    dialect: Dialect = field(repr=False)

    @property
    def method(self) -> str:
        """``GET`` or ``POST``."""
        return self.call.partition(" ")[0]


@frozen
class WireRequest:
    """One request: where to, and the parameters by their documented names, without the key."""

    endpoint: Endpoint
    params: Pairs = field(repr=lambda params: f"<{', '.join(name for name, _ in params)}>")
    secret: Secret

    def render(self) -> Rendered:
        """Put the key in its place and write the request out. Keep nothing of what this returns."""
        dialect, key = self.endpoint.dialect, self.secret.reveal()
        auth = ((dialect.auth_name, key),)
        in_header, in_params = _placed(dialect.auth_in)
        headers = (("accept", "application/json"), *(auth if in_header else ()))
        params = (*auth, *self.params) if in_params else self.params
        if self.endpoint.method == "GET" or dialect.post_encoding == "query":
            url = _with_query(self.endpoint.url, params)
            return Rendered(self.endpoint.method, url, headers, b"")
        url = self.endpoint.url
        if dialect.auth_in == "query":
            url, params = _with_query(url, auth), self.params
        headers = (*headers, ("content-type", _CONTENT_TYPES[dialect.post_encoding]))
        return Rendered(self.endpoint.method, url, headers, _encode(params, dialect.post_encoding))


def _placed(auth_in: str) -> tuple[bool, bool]:
    """Tell whether the key stands in a header, and whether it stands among the parameters."""
    return auth_in.startswith("header"), auth_in != "header"


def _with_query(url: str, pairs: Pairs) -> str:
    return f"{url}?{_form(pairs)}" if pairs else url


def _encode(params: Pairs, encoding: str) -> bytes:
    if encoding == "json":
        return json.dumps(dict(params), ensure_ascii=False).encode()
    return _form(params).encode("ascii")


def _form(pairs: Pairs) -> str:
    """Write pairs as a form; every name is plain (the document's, or ``auth_name``)."""
    return "&".join([f"{name}={_quoted(value)}" for name, value in pairs])


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else quote_plus(value)


@lru_cache(maxsize=256)
def endpoint(call: str, dialect: Dialect) -> Endpoint:
    """Join the base URL, its path prefix kept, with the path of a call."""
    parts = urlsplit(dialect.base_url)
    path = parts.path.rstrip("/") + call.partition(" ")[2]
    return Endpoint(call, urlunsplit((parts.scheme, parts.netloc, path, "", "")), dialect)


def users_request(channel: ReadChannel | str, dialect: Dialect, secret: Secret) -> WireRequest:
    """Ask for the users of a channel."""
    params = (("channel", check_channel(channel, ReadChannel, dialect)),)
    return WireRequest(endpoint(GET_USERS, dialect), params, secret)


def messages_request(
    channel: ReadChannel | str, client_id: str | int, dialect: Dialect, secret: Secret
) -> WireRequest:
    """Ask for the messages of one client of a channel."""
    name = check_channel(channel, ReadChannel, dialect)
    params = (("channel", name), ("client_id", check_client_id(client_id)))
    return WireRequest(endpoint(GET_MESSAGES, dialect), params, secret)


def send_request(outgoing: Outgoing, dialect: Dialect, secret: Secret) -> WireRequest:
    """Send one message."""
    channel = check_channel(outgoing.channel, SendChannel, dialect)
    client_id = check_client_id(outgoing.client_id)
    if channel == SendChannel.SMS and dialect.normalize_phone:
        client_id = normalize_phone(client_id)
    text = check_text(outgoing.text, dialect.max_text_length)
    params = (("channel", channel), ("client_id", client_id), ("msg", text))
    return WireRequest(endpoint(POST_MESSAGES, dialect), params, secret)


def check_channel(
    channel: object, documented: type[ReadChannel] | type[SendChannel], dialect: Dialect
) -> str:
    """Return a channel's text; refuse one that the document does not list for this call."""
    if not isinstance(channel, str) or not channel:
        raise UsageError(f"A channel is text or an enum member, not {type(channel).__name__}.")
    name = str.__str__(channel)  # of a caller's own enum as well, whose str() is another text
    if name in _DOCUMENTED[documented] or (
        dialect.allow_undocumented_channels and name.isprintable()
    ):
        return name
    verb = "read from" if documented is ReadChannel else "send to"
    raise UsageError(
        f"Cannot {verb} the channel {_shown(name)}; the API documents {', '.join(documented)}. "
        "Nothing was sent. Dialect(allow_undocumented_channels=True) lets others through."
    )


def _shown(name: str) -> str:
    """Show a channel's name; what cannot be one may be somebody's number or text."""
    plain = name.isidentifier() and name.isascii() and len(name) <= _NAME_CHARS_MAX
    return repr(name) if plain else mask_text(name)


def check_client_id(client_id: object) -> str:
    """Return a client id as text; refuse what could have lost digits on its way here."""
    if isinstance(client_id, bool) or not isinstance(client_id, str | int):
        kind = type(client_id).__name__
        raise UsageError(
            f"A client id is text or a whole number, not {kind}; "
            "a float, for one, loses the last digits of a long id."
        )
    try:
        text = str(client_id).strip()
    except ValueError:  # Python writes out no number of more than 4,300 digits
        raise UsageError("A client id is a number of thousands of digits.") from None
    if not text:
        raise UsageError("A client id is empty; use User.user_id.")
    if text.startswith("-") or not text.isprintable():
        raise UsageError(
            "A client id is a negative number, or holds control or invisible characters; "
            "use User.user_id."
        )
    if _FLOAT_LIKE.fullmatch(text):
        raise UsageError(
            "A client id is written as a decimal number, as spreadsheets do, so its last digits "
            "may be lost; export the column as text."
        )
    return text


def normalize_phone(client_id: str) -> str:
    """Strip ``+``, spaces and dashes from a phone number; refuse what is not one."""
    digits = client_id.removeprefix("+").replace(" ", "").replace("-", "")
    if not (digits.isascii() and digits.isdigit()):
        raise UsageError(
            "A client id on sms is a phone number in international digits such as 573000000001; "
            "this one holds other characters. Dialect(normalize_phone=False) sends it as it is."
        )
    return digits


def check_text(text: object, max_length: int | None) -> str:
    """Return a message's text as given; refuse one that is empty, too long or not text."""
    if not isinstance(text, str):
        raise UsageError(f"A message's text is str, not {type(text).__name__}.")
    if not text.strip():
        raise UsageError("A message's text is empty.")
    if max_length is not None and len(text) > max_length:
        raise UsageError(
            f"A message's text has {len(text)} characters, and Dialect.max_text_length is "
            f"{max_length}. Nothing is cut; shorten it, or split it into two messages."
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            "A message's text holds half of an emoji (a lone surrogate), which cannot be sent."
        ) from None
    return text
