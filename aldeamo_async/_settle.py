"""Where public classes say they live.

Rule: a class of the front door shows ``aldeamo_async`` in tracebacks, reprs and pickles, whoever
loads it first.
"""

from __future__ import annotations

from inspect import get_annotations, isclass
from typing import Any, get_type_hints


def settle(*public: Any) -> None:
    """Let classes show where users find them.

    Their annotations are resolved first: they are text, and name what only their own module knows.
    """
    for found in filter(isclass, public):
        own = get_annotations(found)
        hints = get_type_hints(found, include_extras=True) if own else {}
        for name in own:
            found.__annotations__[name] = hints[name]
        found.__module__ = "aldeamo_async"
