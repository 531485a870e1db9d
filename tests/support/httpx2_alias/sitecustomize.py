"""With this folder on PYTHONPATH, `import httpx` means httpx2, in child processes as well.

Rule: Python imports this module at start-up, before anything can have imported httpx; httpx2 itself
is loaded only when somebody asks for httpx, so that start-up stays what it was.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


class FirstImport(MetaPathFinder):
    """Steps aside at the first import of httpx or httpcore, and sets the alias."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in {"httpx", "httpcore"}:
            return None
        sys.meta_path.remove(self)
        import httpx2

        httpx2.alias_httpx()
        # Left there, the import system would take it for a reload and load httpx2 a second time.
        sys.modules.pop(fullname, None)
        found = (finder.find_spec(fullname, path, target) for finder in sys.meta_path)
        return next(filter(None, found), None)


sys.meta_path.insert(0, FirstImport())
