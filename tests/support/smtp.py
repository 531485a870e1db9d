"""Mail servers on loopback: one that is real, and one that breaks wherever a script says.

Rule 1: both count on their own side: an e-mail is delivered when the line with its last dot was
read there, whatever came after.
Rule 2: neither knows of the library under test.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import threading
import warnings
from email import message_from_bytes
from email.policy import default
from functools import cache
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from aldeamo_async.email import AsyncEmailClient
from support.rawserver import Connection, RawServer, free_port
from support.socket_faults import client_context, server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator
    from email.message import EmailMessage

USER, PASSWORD = "ana@tenant.example", "test-password"
SENDER = "Cl\u00ednica <citas@tenant.example>"
TO, SUBJECT, TEXT = "ana.luisa@mail.example", "Tu cita de ma\u00f1ana", "Hola Ana, te esperamos"


@cache
def _context() -> ssl.SSLContext:
    """A certificate for loopback; making one costs some milliseconds."""
    return server_context()


# ── a real one ──


class Mailroom:
    """A handler of aiosmtpd that keeps what was delivered."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.logins: list[bytes] = []
        self.pause = 0.0  # seconds between a delivery and its answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        await asyncio.sleep(self.pause)
        return "250 2.0.0 OK queued"

    def check(self, server: SMTP, session: Session, *rest: Any) -> AuthResult:
        """Take the one password."""
        data = rest[-1]
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login)
        return AuthResult(
            success=data == LoginPassword(USER.encode(), PASSWORD.encode()), handled=False
        )

    @property
    def messages(self) -> list[EmailMessage]:
        return [message_from_bytes(_content(e), policy=default) for e in self.envelopes]


def _content(envelope: Envelope) -> bytes:
    assert isinstance(envelope.content, bytes)
    return envelope.content


class _Over(Controller):
    def factory(self) -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a login without STARTTLS, also under TLS
            return super().factory()


@contextlib.contextmanager
def mailroom(*, implicit: bool = True, login: bool = True) -> Generator[tuple[int, Mailroom]]:
    """Serve mail; the port and what was delivered."""
    room = Mailroom()
    context = _context()
    tls: dict[str, Any] = (
        {"ssl_context": context, "auth_require_tls": False}
        if implicit
        else {"tls_context": context, "require_starttls": True}
    )
    controller = _Over(
        room,
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=room.check,
        auth_required=login,
        **tls,
    )
    # It tries its own port with a blocking connect: not in the event loop of a test.
    starting = threading.Thread(target=controller.start)
    starting.start()
    starting.join()
    try:
        yield controller.port, room
    finally:
        controller.stop()


# ── one that breaks ──


class Talk:
    """One connection of a script: says lines, reads commands, counts what was delivered."""

    def __init__(self, connection: Connection, server: MailServer) -> None:
        self.connection = connection
        self.server = server
        self._rest = b""

    def line(self) -> str:
        """The next line that the client sent; `OSError` where it went away."""
        while b"\r\n" not in self._rest:
            chunk = self.connection.sock.recv(65536)
            if not chunk:
                raise ConnectionError("the client closed")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line.decode("latin-1")

    def say(self, *lines: str) -> None:
        self.connection.send("".join(f"{line}\r\n" for line in lines).encode())

    def hear(self, *answer: str) -> str:
        """Read one command, note it, and answer."""
        command = self.line()
        self.server.commands.append(command)
        self.say(*answer)
        return command

    def greet(self, *extensions: str) -> None:
        self.say("220 mail.example ESMTP")
        self.hello(*extensions)

    def hello(self, *extensions: str) -> None:
        names = ["mail.example", *extensions]
        self.hear(*(f"250-{name}" for name in names[:-1]), f"250 {names[-1]}")

    def body(self) -> None:
        """Read a message to its dot, and count it."""
        lines: list[str] = []
        while (line := self.line()) != ".":
            lines.append(line)
        self.server.delivered.append("\r\n".join(lines))

    def mail(self, answer: str = "250 2.0.0 OK queued as 4F") -> None:
        """Take one message as a proper server does, and end it with that answer."""
        self.until_data("354 go on")
        self.body()
        self.say(answer)

    def until_data(self, answer: str) -> None:
        self.hear("250 ok")
        self.hear("250 ok")
        self.hear(answer)

    def small_buffer(self) -> None:
        """Take in little, so that a large message cannot be gone before the connection is."""
        self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def reset(self) -> None:
        self.connection.reset()

    def start_tls(self, context: ssl.SSLContext | None = None) -> None:
        self._rest = b""
        self.connection.start_tls(context or _context())


class MailServer:
    """A mail server that plays one script for each connection, the last one for all that follow."""

    def __init__(
        self,
        *scripts: Callable[[Talk], None],
        tls: ssl.SSLContext | None = None,
        plain: bool = False,
    ) -> None:
        self._scripts = scripts
        self.commands: list[str] = []
        self.delivered: list[str] = []
        context = None if plain else tls or _context()
        self._raw = RawServer(self._serve, tls=context)
        self._number = 0

    def _serve(self, connection: Connection) -> None:
        script = self._scripts[min(self._number, len(self._scripts) - 1)]
        self._number += 1
        script(Talk(connection, self))

    @property
    def port(self) -> int:
        return self._raw.port

    @property
    def connections(self) -> int:
        return self._raw.connections

    @property
    def ended(self) -> int:
        return self._raw.ended

    def __enter__(self) -> MailServer:
        self._raw.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.stop()


def proper(talk: Talk) -> None:
    """Greet, take a message, then more of them over the same connection."""
    talk.greet("AUTH PLAIN LOGIN")
    talk.mail()
    while True:
        talk.hear("250 ok")  # RSET, or a QUIT that needs no other word
        talk.mail()


def client_of(port: int, **options: Any) -> AsyncEmailClient:
    """A client of a server of these tests."""
    given: dict[str, Any] = {"sender": SENDER, "tls": "implicit", "verify": client_context()}
    return AsyncEmailClient("127.0.0.1", port, **given | options)


def unlocked(command: str) -> bytes:
    """What an AUTH PLAIN command carries."""
    return base64.b64decode(command.split()[-1])
