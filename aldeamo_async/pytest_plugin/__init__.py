"""The test kit: what the fixtures that pytest finds by itself are made of.

Rule: pytest starts without this package; `_aldeamo_pytest`, beside it, has the fixtures' names and
imports this when a test first asks for one.
"""

from __future__ import annotations

from ._duplicates import assert_no_duplicates
from ._network import NetworkGuard, RealNetworkError, guarded_sockets

__all__ = ["NetworkGuard", "RealNetworkError", "assert_no_duplicates", "guarded_sockets"]
