"""One connection to a mail server, in the hands of a worker thread.

The talk is the standard library's ``smtplib``, one command at a time, so that this module knows at
every moment how far a message got.
Rule 1: the message and its end are handed to the socket apart. Before the end was handed over a
server delivers nothing: that is ``Unsent``. From then on, without an answer, it is ``MaybeSent``.
Rule 2: no method raises for what the network or the server does.
Rule 3: ``cut()`` may be called from another thread; it ends every wait of this one, and closes
nothing that this one uses.
"""

from __future__ import annotations

import binascii
import smtplib
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import frozen

from .._evidence import Phase
from .._wire import MaybeSent, Unsent
from ._server import IMPLICIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._settings import Timeouts
    from ._letter import Letter
    from ._server import Server

SHUTTING_DOWN: Final = 421  # an answer to any command; the server closes after it
AUTH: Final = "AUTH"
END_OF_DATA: Final = "the end of the message"
NAMES_RECIPIENT: Final = frozenset({"RCPT", "DATA", END_OF_DATA})
_MECHANISMS: Final = ("PLAIN", "LOGIN", "CRAM-MD5")  # under TLS the plainest is the surest
_PARTING_SECONDS: Final = 1.0  # for a farewell that nobody depends on


@frozen
class Reply:
    """A complete answer of the server, and the command that it answers."""

    step: str
    code: int
    text: str


@frozen
class Insecure:
    """The server cannot be trusted with a message; trying again would not change that."""

    reason: str


Answer: TypeAlias = Reply | Unsent | MaybeSent | Insecure


class _Answered(Exception):
    """An answer that ends the talk before the message could be handed over."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


class Line(smtplib.SMTP):
    """A connection from TCP on; TLS, greeting and login come with the first message."""

    def __init__(self, sock: socket.socket, server: Server, timeouts: Timeouts) -> None:
        super().__init__(local_hostname=server.local_hostname)
        self._host = server.host  # what starttls() holds the certificate against
        self._server = server
        self._timeouts = timeouts
        self._step = "greeting"
        self._cutter = sock.dup()  # one connection, and a handle that TLS never swaps
        self.sock = sock
        self.end_was_sent = False
        self.idle_since = 0.0

    # ── what the event loop may do ──

    def cut(self) -> None:
        """End every wait of the thread that works here, now."""
        with suppress(OSError):  # it was closed on the other side before
            self._cutter.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """Close without a word; safe to call twice."""
        self.close()
        self._cutter.close()

    # ── what a worker thread does ──

    def first(self, letter: Letter, context: ssl.SSLContext) -> Answer:
        """Open the talk and submit a message."""

        def talk() -> Reply:
            self._open(context)
            return self._submit(letter)

        return self._guarded(talk)

    def again(self, letter: Letter, timeouts: Timeouts) -> Answer | None:
        """Submit a message on a line that was kept; ``None`` where the line turns out lost."""
        self._timeouts = timeouts
        self.end_was_sent = False
        if not isinstance(reset := self._guarded(self._reset), Reply) or reset.code != 250:
            return None
        return self._guarded(lambda: self._submit(letter))

    def part(self) -> None:
        """Take leave and close."""
        with suppress(OSError, smtplib.SMTPException):
            self._patience(_PARTING_SECONDS)
            self.docmd("QUIT")
        self.drop()

    def _guarded(self, talk: Callable[[], Reply]) -> Answer:
        """Carry out a talk; whatever breaks it off becomes a value."""
        try:
            return talk()
        except _Answered as found:
            return found.answer
        except (OSError, smtplib.SMTPException, binascii.Error) as error:
            reason = f"{_what_broke(error)} ({self._step})"
        if self.end_was_sent:
            return MaybeSent(Phase.READ, reason)
        return Unsent(Phase.CONNECT if self._step in _OPENING else Phase.WRITE, reason)

    def _open(self, context: ssl.SSLContext) -> None:
        server, self._step = self._server, "TLS"
        self._patience(self._timeouts.connect)
        if server.tls == IMPLICIT:
            self._secure(context)
        self._step = "greeting"
        self._patience(self._timeouts.read)
        self._expect(220, self.getreply())
        self._greet()
        if server.tls != IMPLICIT:
            self._start_tls(context)
            self._greet()
        if server.username:
            self._log_in(server.username, server.password.reveal())

    def _greet(self) -> None:
        self._step = "EHLO"
        self._expect(250, self.ehlo())

    def _start_tls(self, context: ssl.SSLContext) -> None:
        """Turn the connection into TLS; a server that will not is told nothing more."""
        self._step = "STARTTLS"
        if not self.has_extn("starttls"):
            raise _Answered(
                Insecure(
                    "the server offers no STARTTLS (or somebody on the way took the offer out); "
                    "neither login nor message was shown to it"
                )
            )
        self._expect(220, self.docmd("STARTTLS"))
        self._step = "TLS"
        self._patience(self._timeouts.connect)
        self._secure(context)
        self._patience(self._timeouts.read)

    def _secure(self, context: ssl.SSLContext) -> None:
        """Shake hands; what was said before, or slipped in behind STARTTLS, counts no more."""
        assert self.sock is not None  # noqa: S101 - the constructor was given one
        if self.file is not None:
            self.file.close()
        self.file = None
        self.esmtp_features = {}
        self.sock.getpeername()  # fails where the other side is gone; the next line would leak then
        secured = context.wrap_socket(
            self.sock, server_hostname=self._host, do_handshake_on_connect=False
        )
        self.sock = secured
        try:
            secured.do_handshake()
        except ssl.SSLCertVerificationError as error:
            raise _Answered(
                Insecure(f"the server's certificate is not valid here: {error.verify_message}")
            ) from None
        except (ssl.SSLEOFError, ssl.SSLSyscallError, ssl.SSLZeroReturnError):
            raise
        except ssl.SSLError as error:
            raise _Answered(
                Insecure(f"no TLS of version 1.2 or above could be agreed on: {error.reason}")
            ) from None

    def _log_in(self, username: str, password: str) -> None:
        """Log in by one mechanism, once: a wrong password tried three ways locks accounts."""
        self._step = AUTH
        offered = self.esmtp_features.get("auth", "").upper().split()
        mechanism = next((name for name in _MECHANISMS if name in offered), None)
        if mechanism is None:
            raise _Answered(
                Insecure("the server offers no login by PLAIN, LOGIN or CRAM-MD5 to this client")
            )
        self.user, self.password = username, password
        try:
            self.auth(mechanism, getattr(self, f"auth_{mechanism.lower().replace('-', '_')}"))
        except smtplib.SMTPAuthenticationError as error:
            code, text = error.smtp_code, error.smtp_error
            self._expect(235, (code, text if isinstance(text, bytes) else text.encode()))
        finally:
            self.user = self.password = ""

    def _reset(self) -> Reply:
        self._step = "RSET"
        self._patience(self._timeouts.read)
        return self._said(self.docmd("RSET"))

    def _submit(self, letter: Letter) -> Reply:
        self._step = "MAIL"
        self._expect(250, self.mail(letter.sender))
        self._step = "RCPT"
        reply = self._said(self.rcpt(letter.recipient))
        if reply.code != 251:  # 251: taken, and it will be forwarded
            self._expect(250, (reply.code, reply.text.encode()))
        self._step = "DATA"
        self._expect(354, self.docmd("DATA"))
        self._patience(self._timeouts.write)
        self.send(letter.body)
        self._step = END_OF_DATA
        self.end_was_sent = True  # before the call: whether it fails says nothing of what left
        self.send(b".\r\n")
        self._patience(self._timeouts.read)
        return self._said(self.getreply())

    # ── small parts ──

    def _patience(self, seconds: float | None) -> None:
        assert self.sock is not None  # noqa: S101 - a line that lost it is not used again
        self.sock.settimeout(seconds)

    def _said(self, reply: tuple[int, bytes]) -> Reply:
        return Reply(self._step, reply[0], reply[1].decode("utf-8", "replace"))

    def _expect(self, code: int, reply: tuple[int, bytes]) -> None:
        """Go on after that answer only."""
        if reply[0] != code:
            raise _Answered(self._said(reply))


_OPENING: Final = frozenset({"greeting", "TLS", "EHLO", "STARTTLS", AUTH})


def _what_broke(error: Exception) -> str:
    """Say it in words of our own: theirs may quote what the server said."""
    causes = (error, error.__context__)
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return "no answer within the time-out"
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return "the connection broke"
    if isinstance(error, smtplib.SMTPException | binascii.Error):  # the first are OSErrors too
        return "the server said what is no SMTP"
    return "the connection broke"
