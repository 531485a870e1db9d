"""The nouns: users, messages, what goes out, and what became of it.

Rule 1: nouns are frozen and know nothing of JSON, HTTP or time-outs.
Rule 2: ids are text everywhere; a repr masks people's data, the fields hold it as it came.
Rule 3: an ``Outgoing`` holds what it was given; it is checked when it is sent, before any I/O, so
one bad row of a bulk source becomes one rejected row and not the end of the source.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from attrs import field, frozen

from ._errors import AldeamoError, DeliveryUnknown, values_of
from ._evidence import Attempt
from ._redact import mask_id, mask_mapping, mask_text


class ReadChannel(StrEnum):
    """The channels that can be read (``GET /users``, ``GET /messages``)."""

    FACEBOOK = "facebook"
    TWITTER = "twitter"
    WEB = "web"
    WHATSAPP = "whatsapp"


class SendChannel(StrEnum):
    """The channels that can be sent to (``POST /messages``)."""

    FACEBOOK = "facebook"
    SMS = "sms"
    WEB = "web"


@frozen
class User:
    """One user of a channel (``GET /users``).

    ``user_id`` is the ``client_id`` of the other calls. Dates are naive unless
    ``Dialect.server_tz`` is set, for the document names no time zone. ``extra`` keeps the fields
    that the document does not know.
    """

    id: str
    user_id: str = field(repr=mask_id)
    name: str | None = field(default=None, repr=mask_text)
    email: str | None = field(default=None, repr=mask_text)
    phone: str | None = field(default=None, repr=mask_id)
    date_created: datetime | None = None
    last_active: datetime | None = None
    extra: dict[str, Any] = field(factory=dict, repr=mask_mapping, hash=False)


@frozen
class Message:
    """One message of a client (``GET /messages``).

    ``time`` is aware, in UTC. The document does not say whether a message came in or went out.
    ``extra`` keeps the fields that the document does not know.
    """

    id: str
    user_id: str = field(repr=mask_id)
    text: str | None = field(default=None, repr=mask_text)
    time: datetime | None = None
    extra: dict[str, Any] = field(factory=dict, repr=mask_mapping, hash=False)


@frozen
class Outgoing:
    """One message to send: a channel (member or its text), a client id and a text.

    ``client_ref`` is your own reference for the row; it never leaves this machine.
    """

    channel: SendChannel | str
    client_id: str | int = field(repr=mask_id)
    text: str = field(repr=mask_text)
    client_ref: str | None = None


@frozen
class Receipt:
    """The API took the message (``POST /messages``); delivery to the phone is never promised.

    ``message_id`` is the answer's ``data`` as text, or ``None`` where it held no id. ``text`` is
    the server's own sentence.
    """

    message_id: str | None
    text: str = ""
    attempts: tuple[Attempt, ...] = ()


@frozen
class Sent:
    """The API took the message."""

    outgoing: Outgoing
    receipt: Receipt

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The history of the call, oldest first."""
        return self.receipt.attempts


@frozen
class Rejected:
    """The message did not go out: bad input, no connection, or the API's own no."""

    outgoing: Outgoing
    error: AldeamoError = field(eq=values_of, hash=False)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The history of the call, oldest first; empty where nothing was tried."""
        return self.error.attempts


@frozen
class Unknown:
    """The message may have gone out; it is never sent again by itself."""

    outgoing: Outgoing
    error: DeliveryUnknown = field(eq=values_of, hash=False)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The history of the call, oldest first."""
        return self.error.attempts


Outcome: TypeAlias = Sent | Rejected | Unknown
