"""How the API is spoken wherever its document is silent.

Rule: every silence of the document is one field of ``Dialect``, with a default and a way out.
"""

from __future__ import annotations

import re
from datetime import tzinfo
from typing import Any, Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import field, frozen

from .._errors import UsageError
from ._base_url import DEFAULT_BASE_URL, check_base_url

AuthPlacement: TypeAlias = Literal["params", "query", "header", "header+params"]
PostEncoding: TypeAlias = Literal["form", "json", "query"]

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_PARAMETERS: Final = frozenset({"channel", "client_id", "msg"})


def _one_of(allowed: tuple[str, ...]) -> Any:
    def check(_: Any, attribute: Any, value: object) -> None:
        if value not in allowed:
            raise UsageError(
                f"Dialect.{attribute.name} must be one of {', '.join(allowed)}, not {value!r}."
            )

    return check


def _flag(_: Any, attribute: Any, value: object) -> None:
    if not isinstance(value, bool):
        raise UsageError(f"Dialect.{attribute.name} must be True or False, not {value!r}.")


def _count(_: Any, attribute: Any, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"Dialect.{attribute.name} must be a whole number above 0, not {value!r}.")


def _optional_count(_: Any, attribute: Any, value: object) -> None:
    if value is not None:
        _count(_, attribute, value)


def _auth_name(_: Any, attribute: Any, value: object) -> None:
    if not isinstance(value, str) or not _PLAIN_NAME.fullmatch(value):
        raise UsageError(
            f"Dialect.{attribute.name} must be a plain name such as 'auth', not {value!r}."
        )
    if value in _PARAMETERS:
        raise UsageError(
            f"Dialect.{attribute.name} is {value!r}, which is a parameter of the API already."
        )


def _as_zone(value: str | tzinfo | None) -> tzinfo | None:
    if value is None or isinstance(value, tzinfo):
        return value
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise UsageError(
            f"Dialect.server_tz must be a time zone such as 'America/Bogota', not {value!r}; "
            "where no zone is known at all, install the package tzdata."
        ) from None


@frozen
class Dialect:
    """How the API is spoken wherever its document is silent: one field for each gap.

    The defaults are the best reading of the document; ``docs/explain/dialect.md`` gives the
    evidence for each. Numbers are bytes for ``max_response_bytes`` and characters for
    ``max_text_length``.
    """

    base_url: str = DEFAULT_BASE_URL
    allow_insecure: bool = field(default=False, validator=_flag)
    auth_in: AuthPlacement = field(default="params", validator=_one_of(get_args(AuthPlacement)))
    auth_name: str = field(default="auth", validator=_auth_name)
    post_encoding: PostEncoding = field(default="form", validator=_one_of(get_args(PostEncoding)))
    strict_envelope: bool = field(default=False, validator=_flag)
    strict_data: bool = field(default=False, validator=_flag)
    allow_undocumented_channels: bool = field(default=False, validator=_flag)
    normalize_phone: bool = field(default=True, validator=_flag)
    server_tz: tzinfo | None = field(default=None, converter=_as_zone)
    # A list of 100,000 users is about 20 MiB; an answer past this is a fault or an attack.
    max_response_bytes: int = field(default=256 * 1024 * 1024, validator=_count)
    max_text_length: int | None = field(default=None, validator=_optional_count)

    def __attrs_post_init__(self) -> None:
        check_base_url(self.base_url, allow_insecure=self.allow_insecure)
