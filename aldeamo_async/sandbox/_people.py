"""Invented users and messages for every channel that can be read, the same for the same seed.

Law: nobody here exists. Ids are `5730000000NN`-like numbers, and Facebook ids of 15 to 17 digits
that begin with 99; a user's messages follow from the seed and the user alone, until a test lets
the user say something (`say`).
"""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo

Row = dict[str, str | None]

READ_CHANNELS = ("facebook", "twitter", "web", "whatsapp")
SEND_CHANNELS = ("facebook", "sms", "web")

_FIRST_SEEN = datetime(2019, 5, 2, 19, 4, 49)  # the API's dates have no zone
_FIRST_MESSAGE = 1_556_826_151  # the same morning, seconds since 1970
_YEAR = 365 * 24 * 3600  # seconds
_NAMES = ("Ana", "Luis", "Marta", "Iván", "Sofía", "Begoña", "José", "", None)
_TEXTS = (
    "Hola bot",
    "¿Cuál es mi saldo?",
    "Quiero hablar con un asesor",
    "Gracias 😊",
    'Dijo "sí" / y se fue',
    "1",
    "",
)
_NO_DATES = (None, "", "0000-00-00 00:00:00")
# First id of each kind; the n-th user's number is added to one of them.
_PHONES = {"whatsapp": 573000000000, "twitter": 574000000000, "web": 507000000000}
_FACEBOOK = (99 * 10**13, 99 * 10**14, 99 * 10**15)  # 15, 16 and 17 digits


class People:
    """The users of each channel and what they wrote."""

    def __init__(self, seed: int, users_per_channel: int) -> None:
        self._seed = seed
        self._size = users_per_channel
        self._users: dict[str, dict[str, Row]] = {}
        self._heard: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        self._said = 0

    def users(self, channel: str) -> list[Row]:
        """Return the rows of a channel's users."""
        return list(self._of(channel).values())

    def messages(self, channel: str, user_id: str) -> list[Row]:
        """Return the rows of a user's messages, then what came in since (see `hear`, `say`)."""
        user = self._of(channel).get(user_id)
        invented = user is not None and int(user["id"] or 0) <= self._size
        written = self._written(channel, user) if user is not None and invented else []
        return written + self._heard.get((channel, user_id), [])

    def hear(self, channel: str, user_id: str, text: str, message_id: int, at: float) -> None:
        """Add a message that was sent to a user, at seconds since 1970."""
        self._heard[channel, user_id].append(_message(message_id, user_id, text, at))

    def say(
        self, channel: str, user_id: str, text: str, at: float, zone: tzinfo | None = None
    ) -> str:
        """Let a user write, known or new, at seconds since 1970; return the message's id.

        `last_active` becomes that time, as a clock in `zone` (None: UTC) shows it.
        """
        users = self._of(channel)
        # Above every id that was invented: a user writes 6 messages at most, and has room for 10.
        number = 10 * (self._size + 1) + self._said
        self._said += 1
        shown = str(datetime.fromtimestamp(int(at), zone or UTC).replace(tzinfo=None))
        if user_id not in users:
            users[user_id] = _newcomer(len(users) + 1, user_id, shown)
        users[user_id]["last_active"] = shown
        self._heard[channel, user_id].append(_message(number, user_id, text, at))
        return str(number)

    def _written(self, channel: str, user: Row) -> list[Row]:
        user_id = str(user["user_id"])
        dice = self._dice(channel, user_id)
        first, at = 10 * int(user["id"] or 0), _FIRST_MESSAGE
        rows: list[Row] = []
        for number in range(dice.randrange(7)):
            at += dice.randrange(1, 86_400)
            rows.append(_message(first + number, user_id, dice.choice(_TEXTS), at))
        return rows

    def _of(self, channel: str) -> dict[str, Row]:
        if channel not in self._users:
            dice = self._dice(channel)
            rows = [_user(dice, channel, number) for number in range(1, self._size + 1)]
            self._users[channel] = {str(row["user_id"]): row for row in rows}
        return self._users[channel]

    def _dice(self, *about: str) -> random.Random:
        return random.Random("/".join((str(self._seed), *about)))  # noqa: S311 (invented data)


def _message(number: int, user_id: str, text: str, at: float) -> Row:
    return {"id": str(number), "user_id": user_id, "message": text, "time": str(int(at))}


def _user(dice: random.Random, channel: str, number: int) -> Row:
    name = dice.choice(_NAMES)
    created = _FIRST_SEEN + timedelta(seconds=dice.randrange(_YEAR))
    active = created + timedelta(seconds=dice.randrange(_YEAR))
    if channel == "facebook":
        user_id, phone = str(_FACEBOOK[number % 3] + number), None
    else:
        user_id = phone = str(_PHONES[channel] + number)
    return {
        "id": str(number),
        "user_id": user_id,
        "name": name,
        "email": f"user{number}@example.com" if dice.random() < 0.5 else None,
        "phone": phone,
        "date_created": str(created),
        "last_active": str(active) if dice.random() < 0.8 else dice.choice(_NO_DATES),
    }


def _newcomer(number: int, user_id: str, created: str) -> Row:
    return {
        "id": str(number),
        "user_id": user_id,
        "name": None,
        "email": None,
        "phone": None,
        "date_created": created,
        "last_active": created,
    }
