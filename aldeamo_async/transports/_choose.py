"""What ``transport=`` takes.

Rule: an argument is honoured or refused, never ignored.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, cast

import httpx

from .._errors import UsageError
from ._httpx import HttpxTransport
from ._lanes import KEEPALIVE_EXPIRY, MAX_CONNECTIONS, LaneTransport

if TYPE_CHECKING:
    from .._wire import Transport
    from ._proxies import ProxySetting
    from ._security import Verify


def as_transport(
    value: object = None,
    *,
    max_connections: int | None = None,
    verify: Verify | None = None,
    proxy: ProxySetting = None,
    trust_env: bool | None = None,
    keepalive_expiry: float | None = None,
) -> Transport:
    """Return the transport for what a user passed as ``transport=``.

    ``None`` makes the default :class:`LaneTransport` of the other arguments; an
    ``httpx.AsyncBaseTransport`` is wrapped in :class:`HttpxTransport`; an object with ``exchange``
    and ``aclose`` is taken as it is. Everything else is a ``UsageError``, and so is a transport
    together with one of the other arguments: they belong to the transport that is passed. ``None``
    stands for "not given" throughout.
    """
    if value is None:
        return LaneTransport(
            max_connections=MAX_CONNECTIONS if max_connections is None else max_connections,
            verify=True if verify is None else verify,
            proxy=proxy,
            trust_env=True if trust_env is None else trust_env,
            keepalive_expiry=KEEPALIVE_EXPIRY if keepalive_expiry is None else keepalive_expiry,
        )
    given = {
        "max_connections": max_connections,
        "verify": verify,
        "proxy": proxy,
        "trust_env": trust_env,
        "keepalive_expiry": keepalive_expiry,
    }
    unused = [name for name, setting in given.items() if setting is not None]
    if unused:
        raise UsageError(
            f"transport= and {', '.join(unused)}= were given together; "
            "a transport brings its own settings. "
            "Set them where the transport is made, or leave transport= out."
        )
    return _accept(value)


def _accept(value: object) -> Transport:
    if isinstance(value, httpx.AsyncBaseTransport):
        return HttpxTransport(value)
    if not isinstance(value, type) and all(
        inspect.iscoroutinefunction(getattr(value, name, None)) for name in ("exchange", "aclose")
    ):
        return cast("Transport", value)
    raise UsageError(f"transport= cannot be {_name(value)}. {_advice(value)}")


def _name(value: object) -> str:
    return (
        f"the class {value.__name__}"
        if isinstance(value, type)
        else f"of type {type(value).__name__}"
    )


def _advice(value: object) -> str:
    if isinstance(value, type):
        return f"Pass an instance: {value.__name__}(...)."
    if isinstance(value, httpx.AsyncClient | httpx.Client):
        return (
            "A client brings redirects, cookies and log lines with the key; "
            "pass a transport, such as httpx.AsyncHTTPTransport(...)."
        )
    if isinstance(value, httpx.BaseTransport):
        return (
            "This one is for httpx.Client; "
            "pass its async counterpart, such as httpx.AsyncHTTPTransport(...)."
        )
    if type(value).__module__.partition(".")[0] == "httpx2":
        return "To use httpx2, call httpx2.alias_httpx() before anything imports httpx."
    return (
        "Pass an httpx.AsyncBaseTransport, "
        "or an object with the coroutine methods exchange() and aclose()."
    )
