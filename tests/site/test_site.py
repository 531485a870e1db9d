"""The site as it was built: nothing is missing, no link is dead, nothing comes from elsewhere.

`nox -s docs` builds it first; by hand: `sphinx-build docs build/site`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import attrs
import pytest
from sphinx.util.inventory import InventoryFile

import aldeamo_async

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
DOCUMENTS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = sorted(SITE.rglob("*.html"))
PROGRAMS = {"aldeamo_async.__main__", "aldeamo_async.cli", "aldeamo_async.demo"}
DOORS = ["aldeamo_async"] + [
    module.name
    for module in pkgutil.walk_packages(aldeamo_async.__path__, "aldeamo_async.")
    if "._" not in module.name and module.name not in PROGRAMS
]
NAMES = [(door, name) for door in DOORS for name in importlib.import_module(door).__all__]

# What loads by itself when a page is opened.
LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("link", "href")}


class Page(HTMLParser):
    """The ids of a page, where its links lead, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value is not None}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        self.loads += [found[key] for name, key in LOADED if tag == name and key in found]


@cache
def page(path: Path) -> Page:
    return Page(path)


@cache
def described() -> dict[str, str]:
    """Everything that the reference describes, and where."""
    inventory = InventoryFile.loads((SITE / "objects.inv").read_bytes(), uri="").data
    return {
        name: item.uri
        for kind, items in inventory.items()
        if kind.startswith("py:")
        for name, item in items.items()
    }


def shown(path: Path) -> str:
    return path.relative_to(SITE if SITE in path.parents else ROOT).as_posix()


def public_members(kind: type) -> list[str]:
    fields = [field.name for field in attrs.fields(kind)] if attrs.has(kind) else []
    routines = [name for name, value in vars(kind).items() if inspect.isroutine(value)]
    return [name for name in [*fields, *routines] if not name.startswith("_")]


@pytest.mark.parametrize(("door", "name"), NAMES)
def test_a_public_name_is_described(door: str, name: str) -> None:
    """Each name of each `__all__` is in the reference, under the path to import it from."""
    assert f"{door}.{name}" in described()


@pytest.mark.parametrize(("door", "name"), NAMES)
def test_the_members_of_a_public_class_are_described(door: str, name: str) -> None:
    """Each public field and method of a public class is described in its home."""
    kind = getattr(importlib.import_module(door), name)
    if not inspect.isclass(kind):
        return
    homes = [home for home, other in NAMES if other == name]
    missing = [x for x in public_members(kind) if f"{homes[0]}.{name}.{x}" not in described()]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_a_document_is_a_page_that_can_be_found(path: Path) -> None:
    """Each document is on the site, and the list beside every page leads to it."""
    built = SITE / path.relative_to(ROOT / "docs").with_suffix(".html")
    assert built.is_file()
    front = [unquote(urlsplit(link).path) for link in page(SITE / "index.html").links]
    assert path.stem == "index" or shown(built) in front


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_the_links_of_a_page_lead_somewhere(path: Path) -> None:
    """A link within the site leads to a file that is there, and to a place in it that is there."""
    for link in page(path).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        assert target.is_file(), link
        if parts.fragment and target.suffix == ".html":
            assert unquote(parts.fragment) in page(target).ids, link


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_a_page_loads_nothing_from_elsewhere(path: Path) -> None:
    """A page opens without a network: its scripts, styles, fonts and pictures are its own."""
    assert [x for x in page(path).loads if urlsplit(x).netloc] == []


def test_the_styles_load_nothing_from_elsewhere() -> None:
    """No style sheet of the site names another host."""
    sheets = list(SITE.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", text), sheet


def test_the_site_was_built() -> None:
    """There are pages to look at; without them the tests above would say nothing."""
    assert len(PAGES) > len(DOCUMENTS)
