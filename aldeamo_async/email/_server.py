"""Which mail server, how its connection is protected, and who logs in.

Rule 1: there is no way to say "without TLS", "without a check of the certificate" or "below 1.2".
Rule 2: everything is checked when it is given; a frozen value is safe to print.
"""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from .._errors import UsageError
from .._redact import mask_id
from .._settings import Secret
from ..transports._security import Security

if TYPE_CHECKING:
    import os

IMPLICIT: Final = "implicit"
STARTTLS: Final = "starttls"
# RFC 8314 asks for TLS from the first byte: nothing can be stripped from it on the way.
PORTS: Final = {IMPLICIT: 465, STARTTLS: 587}
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_GREETING_NAME: Final = re.compile(r"[A-Za-z0-9.\[\]:-]+")


@frozen
class Server:
    """A mail server as a client reaches it."""

    host: str
    port: int
    tls: str
    security: Security = field(repr=False)
    local_hostname: str = field(repr=False)
    username: str = field(repr=mask_id)
    password: Secret

    @property
    def url(self) -> str:
        """What an observer is told of it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'smtps' if self.tls == IMPLICIT else 'smtp'}://{host}:{self.port}"


def server_at(
    host: object,
    port: object,
    tls: object,
    *,
    username: object,
    password: object,
    verify: bool | str | os.PathLike[str] | ssl.SSLContext,
    local_hostname: str,
) -> Server:
    """Check what was given; raises ``UsageError``."""
    if not isinstance(host, str) or not _HOST.fullmatch(host):
        raise UsageError(
            "host is the name or address of your mail server, like mail.tenant.example; Aldeamo's "
            "document names none, so ask your account manager for it."
        )
    mode = _mode(tls, port)
    number = PORTS[mode] if port is None else port
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 65536:
        raise UsageError(f"port must be a number from 1 to 65535, not {number!r}.")
    if not _GREETING_NAME.fullmatch(local_hostname):
        raise UsageError("local_hostname is a host name, or an address in brackets: [127.0.0.1].")
    user, secret = _credentials(username, password)
    return Server(host, number, mode, _security(verify), local_hostname, user, secret)


def _mode(tls: object, port: object) -> str:
    """Return how TLS begins; where nobody said, the port tells."""
    if tls is None:
        return STARTTLS if port in (587, 25) else IMPLICIT
    if tls not in (IMPLICIT, STARTTLS):
        raise UsageError(
            f"tls is 'implicit' (port 465) or 'starttls' (port 587), not {tls!r}; an e-mail is "
            "never sent without TLS."
        )
    return str(tls)


def _security(verify: Any) -> Security:
    """Return the TLS settings; a server that is not verified gets neither password nor mail."""
    blind = isinstance(verify, ssl.SSLContext) and not verify.check_hostname
    if verify is False or blind:
        raise UsageError(
            "verify= cannot switch the check of the mail server off: whoever stands between could "
            "read the password. To trust a private authority, pass verify='/path/to/ca.pem'."
        )
    return Security(verify)


def _credentials(username: object, password: object) -> tuple[str, Secret]:
    """Return user name and password; both or neither."""
    if username is None and password is None:
        return "", Secret("")
    secret = password.reveal() if isinstance(password, Secret) else password
    for name, value in (("username", username), ("password", secret)):
        if not isinstance(value, str) or not value:
            raise UsageError(f"{name} must be text; give username and password both, or neither.")
        if not value.isascii() or not value.isprintable():
            raise UsageError(
                f"{name} holds a letter outside of ASCII or a control character, which SMTP logins "
                "cannot carry reliably."
            )
    return str(username), Secret(str(secret))
