"""The three calls of the API: what a request asks for, and whether it may.

Law: without I/O, clock or state. Where the API document is silent, the choice made here has its
row in docs/explain/sandbox-differences.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Literal, TypeAlias, cast
from urllib.parse import parse_qsl

from attrs import field, frozen

from ._people import READ_CHANNELS, SEND_CHANNELS

KeyPlace: TypeAlias = Literal["any", "params", "header"]


class Call(StrEnum):
    """The calls the sandbox tells apart, by method and last path segment."""

    USERS = "users"
    MESSAGES = "messages"
    SEND = "send"
    OTHER = "other"

    @classmethod
    def of(cls, method: str, target: bytes) -> Call:
        """Return the call of a request line; `target` is the path with its query."""
        path = target.partition(b"?")[0]
        return _CALLS.get((method, path.rstrip(b"/").rpartition(b"/")[2]), cls.OTHER)


_CALLS = {
    ("GET", b"users"): Call.USERS,
    ("GET", b"messages"): Call.MESSAGES,
    ("POST", b"messages"): Call.SEND,
}


@frozen(repr=False)
class Request:
    """A request as it came over the wire, whichever door it came through."""

    method: str
    target: bytes
    headers: Iterable[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of that name, in any case."""
        wanted = name.lower().encode()
        for key, value in self.headers:
            if key.lower() == wanted:
                return value.decode("latin-1")
        return None

    def query(self) -> dict[str, str]:
        """Return the arguments of the query string."""
        text = self.target.partition(b"?")[2].decode("ascii", "replace")
        return dict(parse_qsl(text, keep_blank_values=True))

    def fields(self) -> dict[str, str]:
        """Return the fields of a form or JSON body; none when it is neither."""
        if not self.body:
            return {}
        if "json" in (self.header("content-type") or ""):
            return _json_fields(self.body)
        text = self.body.decode("utf-8", "replace")
        return dict(parse_qsl(text, keep_blank_values=True))


def _json_fields(body: bytes) -> dict[str, str]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    items = cast("dict[str, object]", document).items()
    return {name: str(value) for name, value in items if value is not None}


@frozen
class Refusal:
    """An answer that says no: the HTTP status and the envelope."""

    status: int
    envelope: Mapping[str, object]


@frozen
class Contract:
    """The rules of one sandbox: its key, the key's name and place, the status of its refusals."""

    api_key: str = field(repr=False)
    auth_name: str = "auth"
    refusal_status: int = 200
    auth_in: KeyPlace = "any"

    def check(self, call: Call, request: Request) -> dict[str, str] | Refusal:
        """Return the arguments of a good request, else the refusal."""
        if call is Call.OTHER:
            return Refusal(404, {"status": False, "error": "Unknown method"})
        arguments = request.query()
        if call is Call.SEND:
            arguments |= request.fields()
        if self._key_of(arguments, request) != self.api_key:
            return Refusal(403, {"status": False, "error": "Invalid API key"})
        return self._check_arguments(call, arguments)

    def _key_of(self, arguments: dict[str, str], request: Request) -> str | None:
        in_params = None if self.auth_in == "header" else arguments.get(self.auth_name)
        in_header = None if self.auth_in == "params" else request.header(self.auth_name)
        return in_params or in_header

    def _check_arguments(self, call: Call, arguments: dict[str, str]) -> dict[str, str] | Refusal:
        for name in _REQUIRED[call]:
            if not arguments.get(name):
                return self._refuse(11, f"Missing parameter: {name}")
        channels = SEND_CHANNELS if call is Call.SEND else READ_CHANNELS
        if arguments["channel"] not in channels:
            return self._refuse(12, "Unknown channel")
        client_id = arguments.get("client_id", "0")
        if call is not Call.USERS and not (client_id.isascii() and client_id.isdigit()):
            return self._refuse(13, "Invalid parameter: client_id")
        return arguments

    def _refuse(self, codigo: int, message: str) -> Refusal:
        envelope = {"status": False, "codigo": codigo, "message": message, "data": None}
        return Refusal(self.refusal_status, envelope)


_REQUIRED = {
    Call.USERS: ("channel",),
    Call.MESSAGES: ("channel", "client_id"),
    Call.SEND: ("channel", "client_id", "msg"),
}
