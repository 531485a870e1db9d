"""The three calls, asked through both doors: the same request gets the same answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from support.visitors import Visitor

pytestmark = pytest.mark.real_clock

KEY = {"auth": "test-key"}
SMS = {"channel": "sms", "client_id": "573000000001", "msg": "Hola"}


def options(**values: Any) -> pytest.MarkDecorator:
    """Make the sandbox of a test with these options."""
    return pytest.mark.parametrize("sandbox", [values], indirect=True, ids=[""])


@pytest.mark.parametrize("channel", ["facebook", "twitter", "web", "whatsapp"])
async def test_users(visitor: Visitor, channel: str) -> None:
    """Every channel that can be read lists its users in the envelope of the document."""
    answer = await visitor.read("users", channel=channel)
    envelope = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert (envelope["status"], envelope["codigo"]) == (True, 0)
    assert envelope["message"] == "Users for channel"
    assert len(envelope["data"]) == 25
    fields = ["id", "user_id", "name", "email", "phone", "date_created", "last_active"]
    assert all(list(user) == fields for user in envelope["data"])


async def test_messages(visitor: Visitor) -> None:
    """A user's messages come with ids and times as text."""
    lists = [
        (await visitor.read("messages", channel="web", client_id=f"507{n:09}")).json()["data"]
        for n in range(1, 11)
    ]
    messages = [message for rows in lists for message in rows]
    assert messages
    for message in messages:
        assert list(message) == ["id", "user_id", "message", "time"]
        assert message["id"].isdigit()
        assert message["time"].isdigit()


async def test_messages_of_nobody(visitor: Visitor) -> None:
    """An unknown user has no messages, which is a success."""
    answer = await visitor.read("messages", channel="web", client_id="999")
    assert answer.json() == {
        "status": True,
        "codigo": 0,
        "message": "Client messages",
        "data": [],
    }


async def test_send(visitor: Visitor) -> None:
    """A send answers with the message id as a number, and the log has what was delivered."""
    first, second = await visitor.send("Hola"), await visitor.send("¿Qué tal? 😊")
    assert first.json() == {"status": True, "codigo": 0, "message": "Message sent", "data": 1}
    assert second.json()["data"] == 2
    found = [(d.channel, d.client_id, d.text, d.message_id) for d in visitor.sandbox.deliveries]
    assert found == [
        ("sms", "573000000001", "Hola", 1),
        ("sms", "573000000001", "¿Qué tal? 😊", 2),
    ]
    assert visitor.sandbox.deliveries[0].at <= visitor.sandbox.deliveries[1].at


@pytest.mark.parametrize("channel", ["facebook", "sms", "web"])
async def test_send_channels(visitor: Visitor, channel: str) -> None:
    """The three channels of the document can be sent to."""
    assert (await visitor.send(channel=channel)).json()["status"] is True


@pytest.mark.parametrize("encoding", ["form", "json", "query"])
async def test_post_encodings(visitor: Visitor, encoding: str) -> None:
    """A send may come as a form, as JSON or in the query string."""
    arguments: dict[str, Any] = {**KEY, **SMS}
    if encoding == "form":
        answer = await visitor.client.post("/messages", data=arguments)
    elif encoding == "json":
        arguments["client_id"] = 573000000001
        answer = await visitor.client.post("/messages", json=arguments)
    else:
        answer = await visitor.client.post("/messages", params=arguments)
    assert answer.json()["status"] is True
    assert [d.client_id for d in visitor.sandbox.deliveries] == ["573000000001"]


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"auth": null}'])
async def test_useless_json(visitor: Visitor, body: bytes) -> None:
    """A JSON body that is broken, no object, or null where a value should be, has no fields."""
    headers = {"content-type": "application/json"}
    answer = await visitor.client.post("/messages", content=body, headers=headers)
    assert answer.json()["error"] == "Invalid API key"


@pytest.mark.parametrize("place", ["query", "body", "header"])
async def test_places_of_the_key(visitor: Visitor, place: str) -> None:
    """The key may come in the query string, in the body, or in a header of the same name."""
    answer = await visitor.client.post(
        "/messages",
        params=KEY if place == "query" else {},
        data=SMS | KEY if place == "body" else SMS,
        headers=KEY if place == "header" else {},
    )
    assert answer.json()["status"] is True


@options(auth_name="X-Api-Key", api_key="another")
async def test_name_of_the_key(visitor: Visitor) -> None:
    """The key and the name it is sent under can be chosen."""
    right = await visitor.client.get("/users?channel=web", headers={"x-api-key": "another"})
    wrong = await visitor.client.get("/users?channel=web&auth=another")
    assert (right.status_code, wrong.status_code) == (200, 403)


@pytest.mark.parametrize("key", ["wrong", "", None])
async def test_wrong_key(visitor: Visitor, key: str | None) -> None:
    """A wrong or missing key is refused with 403, and nothing is delivered."""
    form = SMS if key is None else SMS | {"auth": key}
    answer = await visitor.client.post("/messages", data=form)
    assert answer.status_code == 403
    assert answer.json() == {"status": False, "error": "Invalid API key"}
    assert visitor.delivered() == []


async def test_any_path_prefix(visitor: Visitor) -> None:
    """The call is told by the last segment of the path, under any prefix."""
    url = visitor.client.base_url.copy_with(raw_path=b"/api/admin/index.php/express/users/")
    answer = await visitor.client.get(url, params=KEY | {"channel": "facebook"})
    assert answer.json()["message"] == "Users for channel"


@pytest.mark.parametrize(("method", "path"), [("GET", "/groups"), ("DELETE", "/messages")])
async def test_unknown_call(visitor: Visitor, method: str, path: str) -> None:
    """Any other path or method is answered 404."""
    answer = await visitor.client.request(method, path, params=KEY)
    assert (answer.status_code, answer.json()) == (
        404,
        {"status": False, "error": "Unknown method"},
    )


REFUSED = [
    ("GET", "/users", {}, 11, "Missing parameter: channel"),
    ("GET", "/users", {"channel": "sms"}, 12, "Unknown channel"),
    ("GET", "/messages", {"channel": "web"}, 11, "Missing parameter: client_id"),
    ("GET", "/messages", {"channel": "web", "client_id": "Ana"}, 13, "Invalid parameter"),
    ("POST", "/messages", SMS | {"msg": ""}, 11, "Missing parameter: msg"),
    ("POST", "/messages", SMS | {"channel": "twitter"}, 12, "Unknown channel"),
    ("POST", "/messages", SMS | {"client_id": "+57"}, 13, "Invalid parameter: client_id"),
]


@pytest.mark.parametrize(("method", "path", "arguments", "codigo", "message"), REFUSED)
async def test_bad_arguments(
    visitor: Visitor, method: str, path: str, arguments: dict[str, str], codigo: int, message: str
) -> None:
    """Bad arguments are refused with `status: false` and a code, and nothing is delivered."""
    answer = await visitor.client.request(method, path, params=KEY | arguments)
    envelope = answer.json()
    assert (answer.status_code, envelope["status"], envelope["codigo"]) == (200, False, codigo)
    assert envelope["message"].startswith(message)
    assert visitor.delivered() == []


@options(refusal_status=400)
async def test_status_of_refusals(visitor: Visitor) -> None:
    """The HTTP status of such refusals can be chosen."""
    assert (await visitor.read("users", channel="sms")).status_code == 400


@options(rate=1, burst=2, clock=lambda: 100.0)
async def test_rate_limit(visitor: Visitor) -> None:
    """Above its own rate the sandbox answers 429 with `Retry-After`, and delivers nothing."""
    answers = [await visitor.send(str(n)) for n in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["retry-after"] == "1"
    assert answers[2].json() == {"status": False, "error": "Too many requests"}
    assert visitor.delivered() == ["0", "1"]


@options(show_sent=True, wall_clock=lambda: 1556826151.9)
async def test_sent_messages_shown(visitor: Visitor) -> None:
    """On request, what was sent appears in the messages of its user, known or not."""
    await visitor.send("Hola", channel="web", client_id="999")
    answer = await visitor.read("messages", channel="web", client_id="999")
    assert answer.json()["data"] == [
        {"id": "1", "user_id": "999", "message": "Hola", "time": "1556826151"}
    ]


async def test_sent_messages_hidden(visitor: Visitor) -> None:
    """By default what was sent does not appear in the messages."""
    await visitor.send("Hola", channel="web", client_id="999")
    answer = await visitor.read("messages", channel="web", client_id="999")
    assert answer.json()["data"] == []


async def test_request_counter(visitor: Visitor) -> None:
    """Requests are counted by call, whatever their answer."""
    await visitor.send()
    await visitor.send(auth="wrong")
    await visitor.read("users", channel="web")
    await visitor.read("messages", channel="web", client_id="1")
    await visitor.read("groups")
    counted = {"send": 2, "users": 1, "messages": 1, "other": 1}
    assert visitor.sandbox.requests == counted
    assert repr(visitor.sandbox) == "<Sandbox requests=5 delivered=1 duplicates=0>"


async def test_double_sends(visitor: Visitor) -> None:
    """A second delivery of the same text to the same person is counted."""
    for text in ("Hola", "Hola", "Adiós", "Hola"):
        await visitor.send(text)
    assert (visitor.sandbox.delivered, visitor.sandbox.duplicates) == (4, 2)


@options(latency=0.05)
async def test_latency(visitor: Visitor) -> None:
    """With a latency a request takes its time and is answered all the same."""
    answer = await visitor.send()
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() >= 0.05


@options(auth_in="header")
async def test_a_key_in_the_header_only(visitor: Visitor) -> None:
    """Told so, the sandbox looks for the key in the header and nowhere else."""
    in_query = await visitor.client.get("/users?channel=web&auth=test-key")
    in_header = await visitor.client.get("/users?channel=web", headers=KEY)
    assert (in_query.status_code, in_header.status_code) == (403, 200)


@options(auth_in="params")
async def test_a_key_in_the_parameters_only(visitor: Visitor) -> None:
    """Told so, the sandbox looks for the key in query and form and not in the header."""
    in_header = await visitor.client.get("/users?channel=web", headers=KEY)
    in_query = await visitor.client.get("/users?channel=web&auth=test-key")
    in_form = await visitor.client.post("/messages", data=SMS | KEY)
    assert [in_header.status_code, in_query.status_code, in_form.status_code] == [403, 200, 200]
