"""A look at the server's TLS, without a request: version, certificate, how long it lasts.

Rule: it trusts what the client trusts, and says in a few words why it does not.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
from anyio.streams.tls import TLSAttribute
from attrs import frozen

from ..transports._security import Security

_PATIENCE: Final = 10.0  # seconds


@frozen
class Tls:
    """What was seen; ``problem`` says why nothing was."""

    version: str = ""
    issuer: str = ""
    expires: datetime | None = None
    problem: str = ""


async def look_at_tls(base_url: str) -> Tls | None:
    """Shake hands with the server of a base URL; ``None`` for ``http://``."""
    parts = urlsplit(base_url)
    if parts.scheme != "https":
        return None
    try:
        with anyio.fail_after(_PATIENCE):
            stream = await anyio.connect_tcp(
                str(parts.hostname),
                parts.port or 443,
                tls=True,
                ssl_context=Security().context(),
                tls_standard_compatible=False,
            )
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        return Tls(problem=_said(error))
    async with stream:
        certificate: Any = stream.extra(TLSAttribute.peer_certificate)
        until = ssl.cert_time_to_seconds(certificate["notAfter"])
        return Tls(
            version=stream.extra(TLSAttribute.tls_version),
            issuer=_name_in(certificate.get("issuer", ())),
            expires=datetime.fromtimestamp(until, UTC),
        )


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    return f"no handshake ({type(error).__name__})"


def _name_in(issuer: Any) -> str:
    fields = dict(pair for names in issuer for pair in names)
    return str(fields.get("organizationName") or fields.get("commonName") or "unknown")
