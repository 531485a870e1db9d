"""Links within the repository lead somewhere; those on the site are checked in tests/site."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCED = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose_of(path: Path) -> str:
    return FENCED.sub("", path.read_text(encoding="utf-8"))


def anchors_of(path: Path) -> set[str]:
    """The anchors that GitHub and the site give to the headings of a document."""
    headings = re.findall(r"^#+ +(.+)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links_of(path: Path) -> list[str]:
    return [link for link in LINK.findall(prose_of(path)) if not urlsplit(link).scheme]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_links_of_a_document_lead_somewhere(path: Path) -> None:
    """Each link to a file of the repository, and to a heading in it, has its target."""
    for link in links_of(path):
        parts = urlsplit(link)
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        assert target.exists(), link
        assert ROOT in target.parents, link
        if parts.fragment:
            assert unquote(parts.fragment) in anchors_of(target), link


def test_there_are_links_to_check() -> None:
    """README.md links to the tutorial, in both languages to the other."""
    assert "docs/tutorial.md" in links_of(ROOT / "README.md")
    assert "docs/es/README.md" in links_of(ROOT / "README.md")
    assert "../../README.md" in links_of(ROOT / "docs/es/README.md")
