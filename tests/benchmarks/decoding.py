"""Decoding 100,000 users side by side: the codec with each JSON library, pydantic, msgspec.

Run: `python tests/benchmarks/decoding.py [users] [rounds]`. Peers are measured where they are
installed, all in turn in each round, and the least disturbed round of each counts. Read the ratios
to pydantic; the times hold the machine's speed. Peers read the documented form alone: no fields
kept, no oddity tolerated, nothing counted. `rows only` is the share of the codec without the JSON.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from streaming import pieces

from aldeamo_async import Dialect, Drift, User
from aldeamo_async._codec import Codec, RowStream, _json

if TYPE_CHECKING:
    from collections.abc import Callable

CALL = "GET /users"
CHUNK = 65_536  # bytes that come from a socket at a time
STRETCH = 300  # rows


def ours(body: bytes) -> list[User]:
    codec = Codec(Dialect(), Drift())
    page = codec.page(codec.envelope(body, CALL).data, User, CALL)
    while page.advance(STRETCH):
        pass
    return page.nouns()


def ours_plain(body: bytes) -> list[User]:
    fast, _json._fast_loads = _json._fast_loads, lambda: _json.plain_loads
    try:
        return ours(body)
    finally:
        _json._fast_loads = fast


def by_rows(body: bytes) -> list[User]:
    """As a stream brings it, all rows kept."""
    codec, stream, number = Codec(Dialect(), Drift()), RowStream(), 0
    users: list[User] = []
    for at in range(0, len(body), CHUNK):
        rows = stream.feed(body[at : at + CHUNK])
        users += codec.nouns(rows, User, number)
        number += len(rows)
    assert codec.envelope(stream.frame(), CALL).says_yes
    return users


def stream_alone(body: bytes) -> int:
    """The rows as dictionaries, none kept."""
    stream = RowStream()
    return sum(len(stream.feed(body[at : at + CHUNK])) for at in range(0, len(body), CHUNK))


def ijson_alone(body: bytes) -> int:
    import ijson

    found = ijson.sendable_list()
    coro, number = ijson.items_coro(found, "data.item"), 0
    for at in range(0, len(body), CHUNK):
        coro.send(body[at : at + CHUNK])
        number += len(found)
        del found[:]
    coro.close()
    return number


def with_pydantic() -> Callable[[bytes], Any]:
    from pydantic import BaseModel, TypeAdapter

    class Row(BaseModel):
        id: str
        user_id: str
        name: str | None = None
        email: str | None = None
        phone: str | None = None
        date_created: datetime | None = None
        last_active: datetime | None = None

    class Answer(BaseModel):
        status: bool
        codigo: int
        message: str
        data: list[Row]

    Answer.model_rebuild(_types_namespace=locals())
    return TypeAdapter(Answer).validate_json


def with_msgspec() -> Callable[[bytes], Any]:
    import msgspec

    row = msgspec.defstruct(
        "Row",
        [
            ("id", str),
            ("user_id", str),
            *((name, str | None, None) for name in ("name", "email", "phone")),
            *((name, datetime | None, None) for name in ("date_created", "last_active")),
        ],
    )
    fields = [("status", bool), ("codigo", int), ("message", str), ("data", list[row])]  # type: ignore[valid-type]
    return msgspec.json.Decoder(msgspec.defstruct("Answer", fields)).decode


def with_orjson() -> Callable[[bytes], Any]:
    import orjson

    return orjson.loads


def contenders() -> dict[str, Callable[[bytes], Any]]:
    found: dict[str, Callable[[bytes], Any]] = {"users(), json": ours_plain}
    if find_spec("msgspec"):
        found["users(), msgspec"] = ours
    found["iter_users(), kept"] = by_rows
    if find_spec("pydantic"):
        found = {"pydantic validate_json": with_pydantic(), **found}
    found["values only: json"] = lambda body: json.loads(body.decode())
    if find_spec("msgspec"):
        import msgspec

        found["values only: msgspec"] = msgspec.json.decode
        found["msgspec.Struct"] = with_msgspec()
    if find_spec("orjson"):
        found["values only: orjson"] = with_orjson()
    found["rows as they come: ours"] = stream_alone
    if find_spec("ijson"):
        found["rows as they come: ijson push"] = ijson_alone
    return found


def main() -> None:
    users = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    body = b"".join(pieces(users))
    runners = contenders()
    best = dict.fromkeys(runners, float("inf"))
    for _ in range(rounds):
        for name, run in runners.items():
            start = time.process_time()
            found = run(body)
            best[name] = min(best[name], time.process_time() - start)
            del found
    base = best.get("pydantic validate_json") or best["users(), json"]
    print(f"{users:,} users, {len(body) / 1e6:.1f} MB; speed as a multiple of the first line")
    for name, seconds in best.items():
        print(
            f"  {name:<30} {base / seconds:5.2f} x  {seconds / users * 1e6:5.2f} us of CPU a user"
        )


if __name__ == "__main__":
    main()
