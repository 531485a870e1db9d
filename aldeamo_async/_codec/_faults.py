"""What is wrong with a body, as paths.

Rule: one fault is one line, ``path: what``, in the names of the wire; it never quotes the value.
"""

from __future__ import annotations


class Malformed(Exception):
    """A body outside the contract; ``problems`` lists every fault with its path."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems
