"""E-mail over SMTP submission, with the outcomes, limits and deadline of the BOTS client.

The API's document says that Aldeamo carries e-mail over SMTP and HTTP under TLS 1.2, and gives no
host and no field for either: host and credentials are yours to give, and HTTP is not offered.
Rule 1: nothing here is loaded by ``import aldeamo_async``.
Rule 2: no credential and no message crosses a connection that is not verified TLS.
"""

from ._client import AsyncEmailClient
from ._errors import EmailAuthError, EmailNotSent, EmailRefused, EmailRejected, EmailUnknown
from ._letter import OutgoingEmail

__all__ = [
    "AsyncEmailClient",
    "EmailAuthError",
    "EmailNotSent",
    "EmailRefused",
    "EmailRejected",
    "EmailUnknown",
    "OutgoingEmail",
]
