"""From an e-mail as a caller gives it to the bytes that a mail server gets; without I/O.

Rule 1: what is not one plain address, or would end a header or a line early, is refused here,
before any I/O; nothing is mended in silence.
Rule 2: the body is seven-bit and every line of it ends in CRLF: any server takes it, and no line
can pose as the end of the message.
"""

from __future__ import annotations

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from .._errors import UsageError
from .._models import Outgoing
from .._redact import mask_id, mask_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

CHANNEL: Final = "email"
_POLICY: Final = SMTP.clone(cte_type="7bit")
_LOCAL: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")
_NAMED: Final = re.compile(r"(?P<name>[^<>\"]*?)\s*<(?P<address>[^<>]*)>")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LOCAL_MAX: Final = 64  # octets; RFC 5321, 4.5.3.1.1
_TEXT_SEARCHED: Final = 100_000  # characters in which a server's words are looked for
_ADDRESS_MAX: Final = 254  # octets; RFC 5321, 4.5.3.1.3, without the angle brackets


@frozen(init=False)
class OutgoingEmail(Outgoing):
    """One e-mail to send to one address: a subject, a text, and an HTML version if you have one.

    ``client_ref`` is your own reference for the row; it never leaves this machine. ``channel`` is
    ``"email"`` and ``client_id`` the address, so that outcomes read alike.
    """

    subject: str = field(default="", repr=mask_text)
    html: str | None = field(default=None, repr=mask_text)

    def __init__(
        self,
        to: str,
        subject: str,
        text: str,
        html: str | None = None,
        *,
        client_ref: str | None = None,
    ) -> None:
        init: Callable[..., None] = getattr(self, "__attrs_init__")  # noqa: B009 - attrs adds it
        init(CHANNEL, to, text, client_ref, subject, html)

    @property
    def to(self) -> str:
        """The recipient's address."""
        return str(self.client_id)


@frozen
class Mailbox:
    """A checked address, ASCII alone, with the name that is shown beside it."""

    address: str = field(repr=mask_id)
    name: str = field(default="", repr=mask_text)

    @property
    def domain(self) -> str:
        """What stands after the ``@``."""
        return self.address.rpartition("@")[2]

    def header(self) -> Address:
        """Return it as a header holds it."""
        return Address(self.name, addr_spec=self.address)


@frozen
class Content:
    """A checked e-mail: to one ASCII address; of ``text`` and ``html`` one may be empty."""

    to: str = field(repr=mask_id)
    subject: str = field(repr=mask_text)
    text: str = field(repr=mask_text)
    html: str = field(repr=mask_text)


@frozen
class Letter:
    """An e-mail as it goes over the wire: the envelope, and the message with its dots doubled."""

    sender: str = field(repr=mask_id)
    recipient: str = field(repr=mask_id)
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    message_id: str
    private: tuple[str, ...] = field(repr=False)  # what a server's words must not show
    text: str = field(repr=False)  # the same, for what may be long; white space as one blank


def sender_of(value: object) -> Mailbox:
    """Take ``ana@tenant.example`` or ``Ana <ana@tenant.example>``; refuse anything else."""
    text = _plain("sender", value)
    if (named := _NAMED.fullmatch(text)) is not None:
        return Mailbox(_address("sender", named["address"]), named["name"].strip())
    return Mailbox(_address("sender", text))


def content_of(outgoing: object) -> Content:
    """Check an e-mail without writing it out.

    Raises:
        UsageError: it cannot be sent as it is.
    """
    if not isinstance(outgoing, OutgoingEmail):
        kind = type(outgoing).__name__
        raise UsageError(f"An e-mail to send is an OutgoingEmail(to, subject, text), not {kind}.")
    to = _address("to", _plain("to", outgoing.client_id))
    subject = _plain("subject", outgoing.subject)
    text, html = _text("text", outgoing.text), _text("html", outgoing.html or "")
    if not text and not html:
        raise UsageError("The e-mail is empty: give it a text, an html version, or both.")
    return Content(to, subject, text, html)


def letter_of(outgoing: object, sender: Mailbox, now: datetime) -> Letter:
    """Check an e-mail and write it out; ``now`` (aware) becomes its date.

    Raises:
        UsageError: it cannot be sent as it is.
    """
    content = content_of(outgoing)
    recipient, subject, text, html = content.to, content.subject, content.text, content.html
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender.header()
    message["To"] = Address(addr_spec=recipient)
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = message_id = make_msgid(domain=sender.domain)
    if text:
        message.set_content(text)
        if html:
            message.add_alternative(html, subtype="html")
    else:
        message.set_content(html, subtype="html")
    return Letter(
        sender.address,
        recipient,
        _on_the_wire(bytes(message)),
        message_id,
        private=(recipient, sender.address, subject),
        text=" ".join(f"{text} {html}"[:_TEXT_SEARCHED].split()),
    )


def _on_the_wire(message: bytes) -> bytes:
    """End every line in CRLF, the last one too, and double a dot that begins one."""
    lines = re.split(rb"\r\n|\r|\n", message.rstrip(b"\r\n"))
    return b"".join((b"." if line[:1] == b"." else b"") + line + b"\r\n" for line in lines)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"The {name} of an e-mail must be text, not {type(value).__name__}.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"The {name} of an e-mail holds half a character (a lone surrogate): was it cut inside "
            "an emoji?"
        ) from None
    return value


def _plain(name: str, value: object) -> str:
    """Refuse what would end a header early: a line break that becomes a header of its own."""
    text = _text(name, value)
    if _CONTROL.search(text):
        raise UsageError(
            f"The {name} of an e-mail holds a line break or control character, which could smuggle "
            "in another header or recipient; take it out."
        )
    return text


def _address(name: str, text: str) -> str:
    """Return one address in ASCII, its domain as IDNA writes it."""
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise UsageError(f"The {name} of an e-mail is one address like ana@tenant.example.")
    if not local.isascii():
        raise UsageError(
            f"The {name} of an e-mail has a letter outside of ASCII before the @; that takes "
            "SMTPUTF8 on every server of the way, which is not spoken here."
        )
    try:
        domain = domain.encode("idna").decode("ascii")
    except UnicodeError:
        domain = ""
    address = f"{local}@{domain}"
    fits = len(local) <= _LOCAL_MAX and len(address) <= _ADDRESS_MAX
    labels_fit = all(_LABEL.fullmatch(label) for label in domain.split("."))
    if not fits or not labels_fit or not _LOCAL.fullmatch(local):
        raise UsageError(
            f"The {name} of an e-mail is no address that mail can be sent to: one address without "
            "a name, spaces, quotation marks or brackets, like ana@tenant.example."
        )
    return address
