"""Writes one page for each module that users import from, with everything in its `__all__`.

Rule 1: the pages are made anew with each build, and kept out of the repository; nobody can forget
a name.
Rule 2: a name that stands at several doors is described once, at the front door if it is there;
the other doors point to it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import attrs
from pygments.lexers.data import JsonLexer
from pygments.lexers.special import TextLexer
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util.nodes import make_refnode

import aldeamo_async

if TYPE_CHECKING:
    from types import ModuleType

    from sphinx.application import Sphinx

FRONT = aldeamo_async.__name__
PROGRAMS = {f"{FRONT}.__main__", f"{FRONT}.cli", f"{FRONT}.demo"}
FOLDER = "api"
KINDS = ["Classes", "Functions", "Types and values", "Errors and warnings", "Described elsewhere"]


def public_doors() -> list[ModuleType]:
    """Return the modules that a user may import from: no underscore in the path, an `__all__`."""
    found = pkgutil.walk_packages(aldeamo_async.__path__, f"{FRONT}.")
    names = [m.name for m in found if "._" not in m.name and m.name not in PROGRAMS]
    modules = [aldeamo_async, *(importlib.import_module(name) for name in names)]
    return [module for module in modules if hasattr(module, "__all__")]


def homes() -> dict[str, str]:
    """Return, for each public name, the door where it is described; the front door comes first."""
    found: dict[str, str] = {}
    for door in public_doors():
        for name in door.__all__:
            found.setdefault(name, door.__name__)
    return found


def write_pages(app: Sphinx) -> None:
    """Write the pages into the folder `api`, and touch only what changed."""
    folder = Path(app.srcdir, FOLDER)
    folder.mkdir(exist_ok=True)
    doors = public_doors()
    pages = {f"{door.__name__}.rst": page_of(door) for door in doors}
    pages["index.rst"] = index_of(doors)
    for old in set(folder.glob("*.rst")) - {folder / name for name in pages}:
        old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def index_of(doors: list[ModuleType]) -> str:
    """Return the page that leads to the others."""
    lines = [
        *heading("API reference", "="),
        "Made from the docstrings: every name that may be imported, by the module to import it",
        "from. :doc:`/reference` shows the same names on one page, without the details.",
        "",
        ".. toctree::",
        "   :maxdepth: 1",
        "",
        *(f"   {door.__name__}" for door in doors),
    ]
    return "\n".join(lines) + "\n"


def page_of(door: ModuleType) -> str:
    """Return the page of one door."""
    sections: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name in door.__all__:
        kind, lines = described(door.__name__, name)
        sections[kind] += [*lines, ""]
    lines = [*heading(door.__name__, "="), f".. automodule:: {door.__name__}", ""]
    for kind, entries in sections.items():
        lines += [*heading(kind, "-"), *entries] if entries else []
    return "\n".join(lines)


def described(door: str, name: str) -> tuple[str, list[str]]:
    """Return the section that a name belongs in, and what describes it."""
    value = getattr(importlib.import_module(door), name)
    home = homes()[name]
    if home != door:
        also = f"   The same as :py:obj:`{home}.{name}`."
        return KINDS[4], [f".. py:data:: {name}", f"   :module: {door}", "", also]
    if not inspect.isclass(value):
        return (
            (KINDS[1], [f".. autofunction:: {door}.{name}"])
            if inspect.isroutine(value)
            else (KINDS[2], [f".. autodata:: {door}.{name}"])
        )
    members = [
        line for member in members_of(value) for line in described_member(door, value, member)
    ]
    if issubclass(value, BaseException):
        return KINDS[3], [f".. autoexception:: {door}.{name}", "   :show-inheritance:", *members]
    return KINDS[0], [f".. autoclass:: {door}.{name}", *members]


def described_member(door: str, kind: type, name: str) -> list[str]:
    """Return what describes one member, within its class.

    One by one: for a class that shows the front door, autodoc does not find the order itself.
    """
    value = inspect.getattr_static(kind, name, None)
    what = "method" if isinstance(value, ROUTINES) else "attribute"
    what = "property" if isinstance(value, property) else what
    return ["", f"   .. auto{what}:: {door}.{kind.__name__}.{name}"]


ROUTINES = (FunctionType, classmethod, staticmethod)


def members_of(kind: type) -> list[str]:
    """Return the public members of a class in the order of its source, its fields first.

    What a class has from one that is public itself is described there.
    """
    fields = [field.name for field in attrs.fields(kind)] if attrs.has(kind) else []
    own = [
        base
        for base in kind.__mro__
        if base is kind or (base.__module__.startswith(FRONT) and base.__name__ not in homes())
    ]
    names = [*fields, *(name for base in own for name in vars(base))]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def comments_of(kind: type) -> dict[str, str]:
    """Return what stands after `#` in the lines of a class that define a field or a member."""
    line = re.compile(r"^    (\w+)(?::| =)[^#]*  # (.+)$", re.MULTILINE)
    return dict(line.findall(source_of(kind)))


def source_of(kind: type) -> str:
    """Return the text of a class. `__module__` names the front door, so it has to be looked for."""
    opening = re.compile(rf"^class {kind.__name__}\b.*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", "")
        if name.startswith(FRONT) and vars(module).get(kind.__name__) is kind:
            found = opening.search(inspect.getsource(module))
            if found:
                return found[0]
    return ""


def heading(text: str, under: str) -> list[str]:
    """Return a heading in reStructuredText."""
    return [text, under * len(text), ""]


def adapt_docstring(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Read Google's sections, and give a field or an enum member the comment of its line."""
    if what == "attribute":
        owner, _, attribute = name.rpartition(".")
        door, _, kind = owner.rpartition(".")
        comment = comments_of(getattr(importlib.import_module(door), kind)).get(attribute)
        lines[:] = [comment] if comment else []
    elif what != "property":  # sphinx.ext.napoleon takes what stands before a colon for its type
        lines[:] = GoogleDocstring(
            laid_out(lines), Config(), app, what, name, value, options
        ).lines()


def laid_out(lines: list[str]) -> list[str]:
    """Show the layout of a docstring to its readers: lists of rules and arguments, long entries."""
    found: list[str] = []
    section = listed = False
    for before, line in zip(["", *lines], lines, strict=False):
        section = line in SECTIONS or (section and line.startswith(" "))
        # A list begins after an empty line; within a paragraph a colon is a colon.
        listed = bool(line) and (listed or (not before and bool(ENTRY.match(line))))
        if RULE.match(line):
            found += ["", line]
        elif listed and not section:
            found += [ENTRY.sub(r"- ``\1``: ", line) if ENTRY.match(line) else f"  {line}"]
        elif section and line.startswith("    ") and not EXPLAINED.match(line):
            found += [f"    {line}"]
        else:
            found += [line]
    return found


SECTIONS = {"Args:", "Raises:"}
RULE = re.compile(r"Rule( \d+)?: ")
ENTRY = re.compile(r"([a-z_]+(?:, [a-z_]+)*): ")  # `seed: decides ...`, at the start of a line
EXPLAINED = re.compile(r" +\w+(, \w+)*: ")


def find_public(app: Sphinx, env: Any, node: Any, content: Any) -> Any:
    """Lead a reference to where a class is written to where it is described."""
    target = node.get("reftarget", "")
    name = target.rpartition(".")[2]
    home = homes().get(name)
    if node.get("refdomain") != "py" or not home:
        return None
    found = env.get_domain("py").objects.get(f"{home}.{name}")
    if found is None:
        return None
    return make_refnode(
        app.builder, node["refdoc"], found.docname, found.node_id, content, f"{home}.{name}"
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this."""
    app.add_lexer("csv", TextLexer)
    app.add_lexer("jsonl", JsonLexer)
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", adapt_docstring)
    app.connect("missing-reference", find_public)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
