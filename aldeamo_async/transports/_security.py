"""TLS: one context for all lanes, nothing below TLS 1.2.

Rule 1: the context is made once, at the first connection that needs it; it costs 30 ms.
Rule 2: whoever switches verification off is told so, each time.
"""

from __future__ import annotations

import os
import re
import ssl
import warnings
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import httpx

from .._errors import UsageError

Verify: TypeAlias = bool | str | os.PathLike[str] | ssl.SSLContext

FLOOR: Final = ssl.TLSVersion.TLSv1_2  # the document promises TLS 1.2
_HIGH_ENOUGH: Final = (FLOOR, ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.MAXIMUM_SUPPORTED)
_PEM: Final = re.compile(b"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class UnverifiedServerWarning(UserWarning):
    """The server's certificate is not checked: anyone on the path can read key and messages."""


class Security:
    """What ``verify`` and the environment say about TLS, and the one context made of it.

    ``True`` takes the certificates that httpx takes (certifi; with ``trust_env``, ``SSL_CERT_FILE``
    or ``SSL_CERT_DIR`` instead), a path a PEM file or a directory of certificates, an
    ``ssl.SSLContext`` is used as it is.
    """

    def __init__(self, verify: Verify = True, *, trust_env: bool = True) -> None:
        self._trust_env = trust_env
        self._context = _given(verify)
        self._verified = verify is not False and (
            self._context is None or self._context.verify_mode is not ssl.CERT_NONE
        )
        if not self._verified:
            warnings.warn(
                "The server's certificate will not be verified: anyone on the path can read the "
                "API key and every message. "
                "Pass verify='/path/to/ca.pem' to trust a private authority instead.",
                UnverifiedServerWarning,
                stacklevel=3,
            )

    def __repr__(self) -> str:
        return f"Security(verified={self._verified})"

    def context(self) -> ssl.SSLContext:
        """Return the context, made on the first call."""
        if self._context is None:
            self._context = self._make()
        return self._context

    def _make(self) -> ssl.SSLContext:
        # Some 30 ms without a thread, once: under a virtual clock a thread loses to every timer,
        # and so would the call.
        try:
            context = httpx.create_ssl_context(verify=self._verified, trust_env=self._trust_env)
            context.minimum_version = FLOOR
        except OSError as error:
            problem = error.strerror or "no certificate in it"
        else:
            return context
        raise UsageError(
            f"SSL_CERT_FILE or SSL_CERT_DIR names no file or directory of certificates: {problem}. "
            "Mend it, unset it, or pass verify= or trust_env=False. Nothing was sent."
        )


@cache
def trusting_nobody() -> ssl.SSLContext:
    """Return the context under which every handshake fails; httpx wants one for http:// too."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _given(verify: Any) -> ssl.SSLContext | None:
    """Return the context that ``verify`` is or names; ``None`` where it is a flag."""
    if isinstance(verify, bool):
        return None
    if isinstance(verify, ssl.SSLContext):
        return _checked(verify)
    if isinstance(verify, str | os.PathLike):
        return _from_path(os.fspath(cast("str | os.PathLike[str]", verify)))
    raise UsageError(
        "verify is True, False, the path of a certificate file or directory, "
        f"or an ssl.SSLContext, not {type(verify).__name__}."
    )


def _checked(context: ssl.SSLContext) -> ssl.SSLContext:
    """Refuse a context that speaks less than TLS 1.2; it is the caller's, so it is not changed."""
    old = ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
    if context.minimum_version not in _HIGH_ENOUGH and context.options & old != old:
        raise UsageError(
            "The ssl.SSLContext of verify= would let TLS 1.0 or 1.1 through; TLS 1.2 is the floor. "
            "Set context.minimum_version = ssl.TLSVersion.TLSv1_2."
        )
    return context


def _from_path(path: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = FLOOR
    problem = ""
    try:
        _load(context, path)
    except OSError as error:
        problem = error.strerror or "no certificate in it"
    if problem:
        raise UsageError(
            f"verify={path!r} is not a file or directory of certificates: {problem}. "
            "Give a PEM file, or a directory prepared with `openssl rehash`."
        )
    return context


def _load(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except IsADirectoryError:
        context.load_verify_locations(capath=path)


def certificates(verify: Verify) -> tuple[bytes, ...]:
    """Return the certificates, in PEM, of the file or directory that ``verify`` names."""
    if isinstance(verify, bool | ssl.SSLContext):
        return ()
    path = Path(verify)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found = dict.fromkeys(pem for file in files for pem in _PEM.findall(file.read_bytes()))
    if not found:
        raise UsageError(
            f"verify={os.fspath(verify)!r} holds no certificate between BEGIN CERTIFICATE and END "
            "CERTIFICATE."
        )
    return tuple(found)
