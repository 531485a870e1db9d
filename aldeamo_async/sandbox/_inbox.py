"""The inbox: a page beside the API, where people see the conversations and take part in them.

Law: it answers at `Inbox.PATHS` and nowhere else, so that no path of the API changes, and no
weather falls on it. What others wrote travels as JSON and is shown as text, never as markup.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, ClassVar

import anyio
import anyio.to_thread
from attrs import asdict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ._connection import CONNECTION, Connection, wait
from ._journal import Pace
from ._presets import preset, presets
from ._visits import LONGEST_TEXT, Refused, check, document, said

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from ._journal import Entry, Journal
    from ._sandbox import Sandbox

# How often the page is told what is new: often enough to look live, and rarely enough that
# thousands of messages a second cost a handful of events.
_TICK = 0.2  # seconds
_RETRY = b"retry: 1000\n\n"  # ms after which a browser that lost the stream asks again
_SAMPLE_KEY = "test-key"  # shown, for it is no secret; any other key is not

_EVENTS, _SAY, _WEATHER = "/inbox/events", "/inbox/say", "/inbox/weather"
_FILES = {
    "/": ("inbox.html", "text/html; charset=utf-8"),
    "/inbox": ("inbox.html", "text/html; charset=utf-8"),
    "/inbox/": ("inbox.html", "text/html; charset=utf-8"),
    "/inbox/inbox.css": ("inbox.css", "text/css; charset=utf-8"),
    "/inbox/inbox.js": ("inbox.js", "text/javascript; charset=utf-8"),
}

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; connect-src 'self'; img-src data:; script-src 'self'; "
        "style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Inbox:
    """The ASGI application of the page, its two files and its three calls."""

    PATHS: ClassVar = frozenset({*_FILES, _EVENTS, _SAY, _WEATHER})

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._journal = sandbox.open_journal()
        self._switches = 0  # so that a page can tell what it asked for from what was before

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            check(request)
            response = await self._answer(request)
        except Refused as refused:
            response = _json({"error": refused.why}, refused.status)
        if response is None:
            await self._tell(scope["state"][CONNECTION], send)
        else:
            await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        """Return the answer, or None where it is the stream of events."""
        path = request.scope["path"]
        if request.method != ("POST" if path in (_SAY, _WEATHER) else "GET"):
            raise Refused(405, f"{path} does not answer {request.method}.")
        if path == _SAY:
            return _json({"id": self._sandbox.say(*said(await document(request)))})
        if path == _WEATHER:
            return self._switch(await document(request))
        if path == _EVENTS:
            return None
        name, kind = _FILES[path]
        body = await anyio.to_thread.run_sync(_read, name)
        return Response(body, headers={**_HEADERS, "content-type": kind})

    def _switch(self, brought: dict[str, object]) -> Response:
        name = brought.get("name")
        try:
            weather = preset(str(name), once=brought.get("once") is True)
        except KeyError:
            raise Refused(400, f"There is no weather {str(name)[:40]!r}.") from None
        self._sandbox.weather = weather
        self._switches += 1
        return _json({"switches": self._switches})

    async def _tell(self, connection: Connection, send: Send) -> None:
        """Send what is there, then what is new, as server-sent events, until the page is left."""
        headers = {**_HEADERS, "content-type": "text/event-stream; charset=utf-8"}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        await send({"type": "http.response.body", "body": _RETRY, "more_body": True})
        teller = _Teller(self._figures, self._journal, send)
        await teller.start(self._circumstances())
        while True:
            await teller.go_on()
            await wait(_TICK, connection)

    def _circumstances(self) -> dict[str, object]:
        return {
            "key": _SAMPLE_KEY if self._sandbox.takes(_SAMPLE_KEY) else None,
            "keep": self._journal.keep,
            "longest": LONGEST_TEXT,
            "presets": presets(),
        }

    def _figures(self, pace: Pace) -> dict[str, object]:
        """Return what the bar on top shows."""
        weather, lasts = self._sandbox.outlook()
        delivered = self._sandbox.delivered
        return {
            "pace": pace.look(anyio.current_time(), delivered),
            "delivered": delivered,
            "duplicates": self._sandbox.duplicates,
            "faults": self._sandbox.faults.total(),
            "weather": weather,
            "lasts": lasts,
            "switches": self._switches,
        }


class _Teller:
    """Tells one page what is there, and then what is new to it."""

    def __init__(
        self, look: Callable[[Pace], dict[str, object]], journal: Journal, send: Send
    ) -> None:
        self._look = look
        self._journal = journal
        self._send = send
        self._pace = Pace()
        self._number = 0
        self._figures: dict[str, object] = {}

    async def start(self, circumstances: dict[str, object]) -> None:
        """Send all that is kept, and what a page needs to know once."""
        self._figures = self._look(self._pace)
        await self._event("start", {**circumstances, "figures": self._figures}, self._fresh())

    async def go_on(self) -> None:
        """Send what is new since the last time; nothing, if nothing is."""
        entries, before = self._fresh(), self._figures
        self._figures = self._look(self._pace)
        if entries or self._figures != before:
            await self._event("news", {"figures": self._figures}, entries)

    def _fresh(self) -> list[Entry]:
        entries = self._journal.since(self._number)
        self._number = entries[-1].number if entries else self._number
        return entries

    async def _event(self, name: str, data: dict[str, object], entries: list[Entry]) -> None:
        # JSON has no line breaks outside of its texts, and escapes those inside.
        text = json.dumps({**data, "entries": [asdict(entry) for entry in entries]})
        body = f"event: {name}\ndata: {text}\n\n".encode()
        await self._send({"type": "http.response.body", "body": body, "more_body": True})


def _json(content: object, status: int = 200) -> Response:
    return JSONResponse(content, status, _HEADERS)


@cache
def _read(name: str) -> bytes:
    """Return a file of the page; blocking."""
    return files(__name__.rpartition(".")[0]).joinpath(name).read_bytes()
