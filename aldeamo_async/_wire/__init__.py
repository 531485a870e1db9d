"""The wire, without I/O: build a request, decipher an answer; the port between core and transports.

Rule: nothing in this folder reads a socket or a clock.
"""

from ._answer import Finding, decipher, unsent
from ._port import (
    Exchange,
    MaybeSent,
    OpenAnswer,
    StreamingTransport,
    Transport,
    Unsent,
    WireResponse,
)
from ._request import (
    GET_MESSAGES,
    GET_USERS,
    POST_MESSAGES,
    Endpoint,
    Pairs,
    Rendered,
    WireRequest,
    check_client_id,
    endpoint,
    messages_request,
    send_request,
    users_request,
)

__all__ = [
    "GET_MESSAGES",
    "GET_USERS",
    "POST_MESSAGES",
    "Endpoint",
    "Exchange",
    "Finding",
    "MaybeSent",
    "OpenAnswer",
    "Pairs",
    "Rendered",
    "StreamingTransport",
    "Transport",
    "Unsent",
    "WireRequest",
    "WireResponse",
    "check_client_id",
    "decipher",
    "endpoint",
    "messages_request",
    "send_request",
    "unsent",
    "users_request",
]
