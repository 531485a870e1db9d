"""The test kit: what the fixtures that pytest finds by itself are made of.

Rule: pytest loads this door in every run, for `_plugin` behind it has the fixtures' names; so
neither of them imports a library, nor another room, before a test asks for a fixture.
"""

from __future__ import annotations

from ._duplicates import assert_no_duplicates
from ._network import NetworkGuard, RealNetworkError, guarded_sockets

__all__ = ["NetworkGuard", "RealNetworkError", "assert_no_duplicates", "guarded_sockets"]
