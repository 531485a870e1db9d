"""Which event loops a test runs on.

Rule: what is for asyncio alone is left out on trio, not skipped there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

FAST = "fast"  # the name of HttptoolsTransport in every suite
RUST = "rust"  # and that of PyreqwestTransport


def everywhere(carriers: Iterable[str]) -> list[object]:
    """Parameters of carriers, each for the loops that it runs on."""
    asyncio_only = pytest.mark.asyncio_only
    return [
        pytest.param(name, marks=asyncio_only if name in (FAST, RUST) else ()) for name in carriers
    ]


def on_trio(item: pytest.Item) -> bool:
    """Tell whether a test would run on trio."""
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("anyio_backend") == "trio"
