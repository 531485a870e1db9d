"""What a client is told once: the key, the dialect, the time-outs.

Rule: frozen values that are checked when they are built, and safe to print.
"""

from ._base_url import DEFAULT_BASE_URL, check_base_url, is_loopback
from ._dialect import AuthPlacement, Dialect, PostEncoding
from ._secret import Secret, as_secret
from ._settings import Settings
from ._timeouts import HttpxTimeout, Timeouts, as_timeouts, positive_seconds

__all__ = [
    "AuthPlacement",
    "DEFAULT_BASE_URL",
    "Dialect",
    "HttpxTimeout",
    "PostEncoding",
    "Secret",
    "Settings",
    "Timeouts",
    "as_secret",
    "as_timeouts",
    "check_base_url",
    "is_loopback",
    "positive_seconds",
]
