"""What is asked of every file: finished, explained, and free of anything secret."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP_LEVEL = {
    "LICENSE",
    "README.md",
    "aldeamo_async",
    "docs",
    "noxfile.py",
    "pyproject.toml",
    "tests",
}
SOURCES = sorted(
    path
    for top in (*sorted(TOP_LEVEL), ".ci", ".gitignore")
    for path in ([ROOT / top] if (ROOT / top).is_file() else (ROOT / top).rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
)
PACKAGE = [p for p in SOURCES if p.suffix == ".py" and ROOT / "aldeamo_async" in p.parents]
TESTS = [p for p in SOURCES if p.name.startswith("test_") and p.suffix == ".py"]

# The character classes keep this file from finding itself.
UNFINISHED = re.compile(r"TO[D]O|FIX[M]E|XX[X]:|pragma: no[ ]cover")
UNFINISHED_CODE = re.compile(r"mark\.[s]kip|[x]fail|NotImplemented[E]rror")
KEY_LIKE = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{40}(?![0-9a-fA-F])")


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines_with(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{shown(path)}:{number}"
        for path in paths
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if pattern.search(line)
    ]


def functions_in(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def test_the_top_level_holds_only_what_belongs_there() -> None:
    """A newcomer finds eight things and some dotfiles at the top, no more."""
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found - ignored == TOP_LEVEL


def test_nothing_is_left_open() -> None:
    """No marker for work left undone or code left uncovered is in the tree."""
    assert lines_with(UNFINISHED, SOURCES) == []


def test_no_code_is_a_stub_and_no_test_is_passed_over() -> None:
    """No stub in the package; no test is skipped or expected to fail."""
    assert lines_with(UNFINISHED_CODE, [p for p in SOURCES if p.suffix == ".py"]) == []


def test_nothing_looks_like_a_key() -> None:
    """No file holds 40 hexadecimal digits in a row, the shape of a real API key."""
    assert lines_with(KEY_LIKE, SOURCES) == []


@pytest.mark.parametrize("path", PACKAGE, ids=shown)
def test_every_module_opens_with_its_law(path: Path) -> None:
    """The first statement of a module is a docstring that says its purpose."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", TESTS, ids=shown)
def test_every_test_states_its_fact(path: Path) -> None:
    """A test says in its docstring what is true when it passes."""
    tests = [node for node in functions_in(path) if node.name.startswith("test_")]
    assert [node.name for node in tests if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", TESTS, ids=shown)
def test_no_two_tests_in_a_file_share_a_name(path: Path) -> None:
    """A second test of the same name would hide the first."""
    for scope in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        body = getattr(scope, "body", None)
        if isinstance(scope, ast.Module | ast.ClassDef) and isinstance(body, list):
            names = [getattr(n, "name", "") for n in body]
            tests = [name for name in names if name.startswith("test_")]
            assert len(tests) == len(set(tests))
