"""Makes links work in both homes of a page: in the repository and on the site.

Rule: a page is written for the repository; what differs on the site is changed here, as it is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# README.md lies above the folder of the site, where it is the first page.
LINKS = {"](../README.md": "](index.md", "](../../README.md": "](../index.md"}


def adapt(app: Sphinx, docname: str, source: list[str]) -> None:
    """Lead links to README.md to the first page."""
    for there, here in LINKS.items():
        source[0] = source[0].replace(there, here)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this."""
    app.connect("source-read", adapt)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
