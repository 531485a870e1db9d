"""The door of the command line: ``aldeamo`` and ``python -m aldeamo_async``.

Rule: without the extra ``cli`` it says how to install it, and nothing else goes wrong.
"""

from __future__ import annotations

import sys

_NEEDED = frozenset({"click", "rich"})


def main() -> None:
    """Run the command line; leaves by ``SystemExit`` with the exit code."""
    try:
        from .cli import aldeamo
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write(
            f"The command line needs {missing.name}, which is not installed. "
            "Install it with: pip install 'aldeamo-async[cli]'\n"
        )
        sys.exit(2)
    aldeamo(prog_name="aldeamo")


if __name__ == "__main__":
    main()
