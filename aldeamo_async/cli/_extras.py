"""What needs more than the extra ``cli``.

Rule: a missing extra is said in one line with the command that installs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .. import sandbox
from .._errors import UsageError


def need_sandbox() -> None:
    """Check that a sandbox can be served on a socket."""
    try:
        _ = sandbox.serve  # looking it up imports it
    except ImportError as error:
        raise UsageError(str(error)) from None


def cluster() -> Any:
    """Return the room of the workers."""
    try:
        return import_module("..campaigns._cluster", __package__)
    except ImportError:
        raise UsageError(
            "Workers on several machines need procrastinate. "
            "Install it with: pip install 'aldeamo-async[cluster]'"
        ) from None
