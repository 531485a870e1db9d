"""Functions for worker processes: they must be importable by name in a fresh interpreter."""

from __future__ import annotations

from typing import NoReturn


def fail_with(error: Exception) -> NoReturn:
    """Fail as a job in a process pool would."""
    raise error
