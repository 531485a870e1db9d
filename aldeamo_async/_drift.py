"""What the API does that its document does not say: counted, never hidden, never a crash.

Rule 1: every tolerated oddity has one short name and one count.
Rule 2: names hold field names and codes of the server, never what stands in a field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ._redact import snippet_of

# Names; a real API drifts in a few places, and one that invents names without end must not fill
# the memory.
NAMES_MAX: Final = 200
OVERFLOW: Final = "other"


class Drift(Mapping[str, int]):
    """Counts of each oddity by name, such as ``GET /users: unknown field tags``.

    It reads like a ``dict``, except that a name never seen counts 0.
    """

    __slots__ = ("_counts",)

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self._counts: Counter[str] = Counter(counts or {})

    def count(self, name: str) -> None:
        """Count one more oddity of that name."""
        if name not in self._counts:
            name = snippet_of(name)
        if name not in self._counts and len(self._counts) >= NAMES_MAX:
            name = OVERFLOW
        self._counts[name] += 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by value: a copy counts for itself."""
        return Drift, (dict(self._counts),)

    def __contains__(self, name: object) -> bool:
        return name in self._counts

    def __getitem__(self, name: str) -> int:
        return self._counts.get(name, 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __repr__(self) -> str:
        return f"Drift({dict(self._counts)!r})"
