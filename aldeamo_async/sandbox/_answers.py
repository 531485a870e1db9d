"""The answers as bytes: the API's own, spoiled by a fault or not, and those put in their place.

Law: pure; the time comes in.
"""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import TYPE_CHECKING

from attrs import frozen

from ._faults import JSON, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

Header = tuple[bytes, bytes]


@frozen
class Answer:
    """The answer's status, headers and whole body."""

    status: int
    headers: list[Header]
    body: bytes


def success(message: str, data: object, fault: Fault) -> Answer:
    """Return the envelope of a call that went well."""
    return own(200, {"status": True, "codigo": 0, "message": message, "data": data}, fault)


def too_many(seconds: int, fault: Fault) -> Answer:
    """Return the answer of the sandbox's own rate limit: try again in so many seconds."""
    envelope = {"status": False, "error": "Too many requests"}
    return own(429, envelope, fault, (b"retry-after", str(seconds).encode()))


def own(status: int, envelope: Mapping[str, object], fault: Fault, *headers: Header) -> Answer:
    """Return an answer of the API, as the fault leaves it."""
    if fault.reshape is not None and envelope.get("data") is not None:
        envelope = {**envelope, "data": fault.reshape(envelope["data"])}
    body = json.dumps(envelope, separators=(",", ":")).encode()
    if fault.mangle is not None:
        body = fault.mangle(body)
    return _answer(status, body, JSON, *headers)


def instead(status: int, fault: Fault, wall_now: float) -> Answer:
    """Return the answer that a fault puts in place of the API's; `wall_now` is since 1970."""
    headers: list[Header] = []
    if fault.retry_after is not None:
        text = str(fault.retry_after)
        if fault.as_date:
            text = formatdate(wall_now + float(fault.retry_after), usegmt=True)
        headers.append((b"retry-after", text.encode("latin-1")))
    return _answer(status, fault.body, fault.content_type, *headers)


def _answer(status: int, body: bytes, content_type: str, *headers: Header) -> Answer:
    length = str(len(body)).encode()
    more = [(b"content-type", content_type.encode()), (b"content-length", length)]
    return Answer(status, [*headers, *more], body)
