"""The invented users and messages: the same for the same seed, and odd where the real ones are."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from datetime import timedelta, timezone

import pytest

from aldeamo_async.sandbox import Sandbox
from aldeamo_async.sandbox._people import READ_CHANNELS, People

SHOW = "from aldeamo_async.sandbox._people import People; print(People(3, 9).users('facebook'))"


@pytest.mark.parametrize("channel", READ_CHANNELS)
def test_same_seed_same_people(channel: str) -> None:
    """Users and messages follow from the seed alone, whatever was asked before."""
    first, again, other = People(1, 40), People(1, 40), People(2, 40)
    again.users("web" if channel != "web" else "twitter")
    ids = [str(user["user_id"]) for user in first.users(channel)]
    wrote = [first.messages(channel, user_id) for user_id in ids]
    assert wrote[::-1] == [again.messages(channel, user_id) for user_id in ids[::-1]]
    assert first.users(channel) == again.users(channel) != other.users(channel)


def test_same_people_in_another_process() -> None:
    """The same seed gives the same people in every process."""
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(People(3, 9).users("facebook"))


@pytest.mark.parametrize("channel", READ_CHANNELS)
def test_ids_are_invented(channel: str) -> None:
    """Ids have the shape of each channel, and are all different."""
    users = People(0, 99).users(channel)
    ids = [str(user["user_id"]) for user in users]
    shape = r"99\d{13,15}" if channel == "facebook" else r"(573|574|507)0000000\d\d"
    assert all(re.fullmatch(shape, user_id) for user_id in ids)
    assert len(set(ids)) == 99


def test_facebook_ids_do_not_fit_a_float() -> None:
    """Facebook ids have 15 to 17 digits; some are beyond what a float holds exactly."""
    ids = [str(user["user_id"]) for user in People(0, 30).users("facebook")]
    assert Counter(map(len, ids)) == {15: 10, 16: 10, 17: 10}
    assert any(int(float(user_id)) != int(user_id) for user_id in ids)


def test_holes() -> None:
    """Some names and e-mails are null, some names empty, some dates null, empty or zero."""
    users = People(0, 200).users("whatsapp")
    assert {None, "", "Ana"} < {user["name"] for user in users}
    assert None in {user["email"] for user in users}
    assert {None, "", "0000-00-00 00:00:00"} < {user["last_active"] for user in users}


def test_dates() -> None:
    """Other dates are written as the API document writes them."""
    shape = r"20(19|20|21)-\d\d-\d\d \d\d:\d\d:\d\d"
    users = People(0, 50).users("web")
    assert all(re.fullmatch(shape, str(user["date_created"])) for user in users)
    for user in users:
        if user["last_active"] and not user["last_active"].startswith("0000"):
            assert user["last_active"] >= str(user["date_created"])


def test_messages_in_order() -> None:
    """A user's messages have ids of their own and come oldest first."""
    people = People(0, 50)
    rows = [
        message
        for user in people.users("web")
        for message in people.messages("web", str(user["user_id"]))
    ]
    ids = [int(str(message["id"])) for message in rows]
    assert len(set(ids)) == len(ids) > 50
    by_user: dict[str | None, list[int]] = {}
    for message in rows:
        by_user.setdefault(message["user_id"], []).append(int(str(message["time"])))
    assert all(times == sorted(times) for times in by_user.values())


def test_a_user_writes() -> None:
    """What a user says stands last among the messages, above all ids, and moves `last_active`."""
    people = People(0, 50)
    user_id = str(people.users("web")[0]["user_id"])
    before = people.messages("web", user_id)
    numbers = [people.say("web", user_id, text, 1556826151.9) for text in ("Hola", "Gracias")]
    rows = people.messages("web", user_id)
    assert rows[: len(before)] == before
    assert [row["id"] for row in rows[len(before) :]] == numbers
    assert rows[-1] == {
        "id": numbers[1],
        "user_id": user_id,
        "message": "Gracias",
        "time": "1556826151",
    }
    every = [people.messages("web", str(user["user_id"])) for user in people.users("web")]
    assert int(numbers[0]) > max(int(str(row["id"])) for rows in every[1:] for row in rows)
    assert people.users("web")[0]["last_active"] == "2019-05-02 19:42:31"


def test_a_stranger_who_writes_becomes_a_user() -> None:
    """Who was no user has a row from then on, with dates in the zone that was asked for."""
    people = People(0, 2)
    people.say("web", "507000000999", "Hola", 1556826151, timezone(timedelta(hours=-5)))
    assert len(people.users("web")) == 3
    user = people.users("web")[2]
    assert (user["id"], user["user_id"], user["name"]) == ("3", "507000000999", None)
    assert user["last_active"] == user["date_created"] == "2019-05-02 14:42:31"
    assert len(people.messages("web", "507000000999")) == 1


def test_nobody_writes_where_nothing_is_read() -> None:
    """The sandbox lets people write on channels that can be read, and no other."""
    sandbox = Sandbox(users_per_channel=0, wall_clock=lambda: 1556826151.0)
    assert sandbox.say("twitter", "574000000001", "Hola") == "10"
    with pytest.raises(ValueError, match="sms"):
        sandbox.say("sms", "573000000001", "Hola")
