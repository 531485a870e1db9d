"""What a client is told once: the key, the dialect, the time-outs.

Rule 1: every value is checked when it is built, so that a wrong setting fails at start-up and not at night.
Rule 2: the key lives in a ``Secret``; only ``reveal()`` gives it out, and only the last step before the wire asks.
Rule 3: every silence of the API document is one field of ``Dialect`` with a default and a way out.
"""

from __future__ import annotations

import hmac
import math
from datetime import tzinfo
from ipaddress import ip_address
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args, runtime_checkable
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import evolve, field, frozen, validators

from ._errors import UsageError

DEFAULT_BASE_URL: Final = "https://apibot.aldeamo.com/bots"
AuthPlacement: TypeAlias = Literal["params", "query", "header", "header+params"]
PostEncoding: TypeAlias = Literal["form", "json", "query"]


class Secret:
    """A text that never shows itself: ``repr`` and ``str`` are masked, ``reveal()`` gives it out.

    It pickles with its value, so that settings can cross to a worker process: treat the pickle as the key.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))


def as_secret(value: str | Secret) -> Secret:
    """Take an API key as given; refuse one that no server could have issued."""
    secret = value if isinstance(value, Secret) else Secret(value)
    text = secret.reveal()
    if not isinstance(text, str) or not text.strip():
        raise UsageError("api_key is empty: pass the key, or set ALDEAMO_API_KEY.")
    if text != text.strip() or not text.isprintable():
        raise UsageError("api_key has white space or control characters at its ends or inside.")
    return secret


@runtime_checkable
class HttpxTimeout(Protocol):
    """What is read of an ``httpx.Timeout``: seconds for each phase, or ``None`` for no limit."""

    connect: float | None
    read: float | None
    write: float | None


@frozen
class Timeouts:
    """Seconds for each phase of one attempt; ``None`` is no limit of its own.

    ``total`` is what is left of the call's deadline; a transport honours it over all phases together.
    """

    connect: float | None = 5.0  # a handshake that takes longer is a network that is down
    read: float | None = 30.0  # a gateway in front of a slow channel takes its time
    write: float | None = 10.0
    total: float | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("connect", "read", "write"):
            value = getattr(self, name)
            if value is not None:
                positive_seconds(f"timeout.{name}", value)

    def within(self, remaining: float) -> Timeouts:
        """Return these time-outs with ``remaining`` seconds as the bound over all."""
        return evolve(self, total=remaining)


def as_timeouts(value: float | HttpxTimeout | Timeouts | None) -> Timeouts:
    """Take seconds for every phase, an ``httpx.Timeout``, ``Timeouts``, or ``None`` for the defaults."""
    if value is None:
        return Timeouts()
    if isinstance(value, Timeouts):
        return value
    if isinstance(value, HttpxTimeout):
        return Timeouts(connect=value.connect, read=value.read, write=value.write)
    return Timeouts(connect=value, read=value, write=value)


def positive_seconds(name: str, value: Any) -> float:
    """Check that a setting is a time in seconds above zero; ``inf`` is allowed."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise UsageError(f"{name} must be a number of seconds above 0, not {value!r}.")
    return float(value)


def _one_of(allowed: tuple[str, ...]) -> Any:
    def check(_: Any, attribute: Any, value: object) -> None:
        if value not in allowed:
            raise UsageError(f"Dialect.{attribute.name} must be one of {', '.join(allowed)}, not {value!r}.")

    return check


def _flag(_: Any, attribute: Any, value: object) -> None:
    if not isinstance(value, bool):
        raise UsageError(f"Dialect.{attribute.name} must be True or False, not {value!r}.")


def _count(_: Any, attribute: Any, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"Dialect.{attribute.name} must be a whole number above 0, not {value!r}.")


def _header_name(_: Any, attribute: Any, value: object) -> None:
    if not isinstance(value, str) or not value.isascii() or not value.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"Dialect.{attribute.name} must be a plain name such as 'auth', not {value!r}.")


def _as_zone(value: str | tzinfo | None) -> tzinfo | None:
    if value is None or isinstance(value, tzinfo):
        return value
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, TypeError):
        raise UsageError(
            f"Dialect.server_tz must be a time zone such as 'America/Bogota', not {value!r}."
        ) from None


@frozen
class Dialect:
    """How the API is spoken wherever its document is silent; one field for each gap, one object for all.

    The defaults are the best reading of the document; ``docs/explain/dialect.md`` gives the evidence for each.
    Numbers are bytes for ``max_response_bytes`` and characters for ``max_text_length``.
    """

    base_url: str = DEFAULT_BASE_URL
    allow_insecure: bool = field(default=False, validator=_flag)
    auth_in: AuthPlacement = field(default="params", validator=_one_of(get_args(AuthPlacement)))
    auth_name: str = field(default="auth", validator=_header_name)
    post_encoding: PostEncoding = field(default="form", validator=_one_of(get_args(PostEncoding)))
    strict_envelope: bool = field(default=False, validator=_flag)
    strict_data: bool = field(default=False, validator=_flag)
    allow_undocumented_channels: bool = field(default=False, validator=_flag)
    normalize_phone: bool = field(default=True, validator=_flag)
    server_tz: tzinfo | None = field(default=None, converter=_as_zone)
    # A list of 100,000 users is about 20 MiB; an answer past this is a fault or an attack.
    max_response_bytes: int = field(default=256 * 1024 * 1024, validator=_count)
    max_text_length: int | None = field(default=None, validator=validators.optional(_count))

    def __attrs_post_init__(self) -> None:
        check_base_url(self.base_url, allow_insecure=self.allow_insecure)


def check_base_url(base_url: object, *, allow_insecure: bool) -> None:
    """Refuse a base URL that could not work, or that would send the key in the clear."""
    if not isinstance(base_url, str):
        raise UsageError(f"base_url must be text, not {type(base_url).__name__}.")
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"base_url cannot be read as a URL: {error}.") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise UsageError("base_url must begin with https:// and name a host.")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise UsageError("base_url must hold no query, fragment, user or password; the key has its own place.")
    if parts.scheme == "http" and not allow_insecure and not is_loopback(host):
        raise UsageError(
            "base_url is http://, which would send the key and every message in the clear; "
            "use https://, or set Dialect(allow_insecure=True) if the path is private."
        )


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@frozen
class Settings:
    """All that a client needs to know before its first call; frozen, checked, safe to print.

    ``deadline`` is in seconds over a whole call with all its attempts.
    """

    api_key: Secret = field(converter=as_secret)
    dialect: Dialect = field(factory=Dialect, validator=validators.instance_of(Dialect))
    timeouts: Timeouts = field(default=None, converter=as_timeouts)
    deadline: float = field(default=60.0, validator=lambda _, field, value: positive_seconds(field.name, value) and None)
