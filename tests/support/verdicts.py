"""The table of the verdict matrix, filled while its tests run and printed at the end."""

from __future__ import annotations

from support.matrix import Matrix

TITLE = "Verdicts of the client over real sockets (outcome, attempts, deliveries that were counted)"
VERDICTS = Matrix(TITLE)


def lines() -> list[str]:
    """The table as text; nothing where nothing was collected."""
    return ["", TITLE, *VERDICTS.lines()[2:]] if VERDICTS.lines() else []
