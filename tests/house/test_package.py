"""The package as its users meet it: names, metadata, imports, doors."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
from packaging.requirements import Requirement

import aldeamo_async

ROOT = Path(__file__).parents[2]
RUNTIME = {"anyio", "attrs", "cattrs", "httpx", "tenacity"}

# Not there in a plain installation, or of one event loop only: `import aldeamo_async` does without.
ABSENT = ["click", "opentelemetry", "psycopg", "rich", "starlette", "trio", "uvicorn", "valkey"]

# Loaded by who asks for them; the programs among them are no libraries.
LAZY = {f"aldeamo_async.{room}" for room in ("cli", "demo", "email", "sandbox", "telemetry")}
PROGRAMS = {"aldeamo_async.__main__", "aldeamo_async.cli", "aldeamo_async.demo"}


def public_doors() -> list[ModuleType]:
    """The modules that a user may import from: no underscore in the path, and an `__all__`."""
    found = pkgutil.walk_packages(aldeamo_async.__path__, "aldeamo_async.")
    names = [m.name for m in found if "._" not in m.name and m.name not in PROGRAMS]
    modules = [aldeamo_async, *(importlib.import_module(name) for name in names)]
    return [module for module in modules if hasattr(module, "__all__")]


DOORS = public_doors()
NAMES = [(door.__name__, name) for door in DOORS for name in door.__all__]


def run_python(*args: str, cwd: Path) -> str:
    """What a fresh interpreter prints, started where no source tree is in sight."""
    done = subprocess.run(
        [sys.executable, *args], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_all_is_sorted_and_without_repeats(door: ModuleType) -> None:
    """`__all__` reads like an index."""
    assert list(door.__all__) == sorted(set(door.__all__))


@pytest.mark.parametrize("name", aldeamo_async.__all__)
def test_a_name_of_the_front_door_shows_where_it_is_imported_from(name: str) -> None:
    """In tracebacks and reprs a class of the front door reads `aldeamo_async.Sent`."""
    thing = getattr(aldeamo_async, name)
    assert getattr(thing, "__module__", "aldeamo_async") in {"aldeamo_async", "types", "typing"}


@pytest.mark.parametrize(("door", "name"), NAMES)
def test_a_public_name_explains_itself(door: str, name: str) -> None:
    """Each public class, its public methods, and each public function has a docstring."""
    thing = getattr(importlib.import_module(door), name)
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return
    assert inspect.getdoc(thing), f"{door}.{name}"
    kinds = (FunctionType, property, classmethod, staticmethod)
    members = vars(thing).items() if inspect.isclass(thing) else ()
    bare = [
        key
        for key, member in members
        if not key.startswith("_") and isinstance(member, kinds) and not inspect.getdoc(member)
    ]
    assert bare == [], f"{door}.{name}: {bare}"


@pytest.mark.parametrize(("door", "name"), NAMES)
def test_a_public_name_is_in_the_reference(door: str, name: str) -> None:
    """`docs/reference.md` mentions everything that is public."""
    reference = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    assert re.search(rf"\b{re.escape(name)}\b", reference), f"{door}.{name}"


def test_the_version_is_that_of_the_metadata() -> None:
    """`aldeamo_async.__version__` and the installed distribution agree."""
    assert aldeamo_async.__version__ == metadata.version("aldeamo-async")


def test_the_runtime_dependencies_are_five() -> None:
    """Nothing but these five is installed with the package, each with a lower bound."""
    needed = [Requirement(text) for text in metadata.requires("aldeamo-async") or []]
    plain = [req for req in needed if "extra" not in str(req.marker)]
    assert {req.name for req in plain} == RUNTIME
    assert all(">=" in str(req.specifier) for req in needed if req.name != "aldeamo-async")


def test_the_package_says_it_is_typed() -> None:
    """`py.typed` is installed beside the modules."""
    assert (Path(aldeamo_async.__file__).parent / "py.typed").is_file()


def test_importing_the_package_needs_no_extra_and_stays_light(tmp_path: Path) -> None:
    """`import aldeamo_async` works without the extras and trio, and loads no sandbox or program."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({ABSENT}));"
        "from aldeamo_async import *; print(*sys.modules, sep='\\n')"
    )
    assert set(run_python("-c", code, cwd=tmp_path).split()) & LAZY == set()


def test_importing_the_package_alone_loads_nothing(tmp_path: Path) -> None:
    """`import aldeamo_async` loads neither httpx nor a module of its own: names do, when asked."""
    code = "import sys, aldeamo_async; print(*sys.modules, sep='\\n')"
    loaded = set(run_python("-c", code, cwd=tmp_path).split())
    assert loaded & RUNTIME == set()
    assert {name for name in loaded if name.startswith("aldeamo_async")} == {"aldeamo_async"}


def test_the_front_door_says_what_it_has() -> None:
    """`dir()` lists every name and door; another name is an AttributeError that names it."""
    assert set(aldeamo_async.__all__) | {"campaigns", "limits", "transports"} <= set(
        dir(aldeamo_async)
    )
    assert aldeamo_async.transports is importlib.import_module("aldeamo_async.transports")
    # Asked of the hook itself: a door that some test has opened is an attribute already.
    assert aldeamo_async.__getattr__("limits") is importlib.import_module("aldeamo_async.limits")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        aldeamo_async.nothing  # noqa: B018 - asking is the test


def test_the_front_door_leaves_nothing_out() -> None:
    """What `_front` and the door of campaigns give to type checkers is what `__all__` names."""
    loaded = vars(importlib.import_module("aldeamo_async._front"))
    front = {name for name in loaded if name[0].isalpha()}  # pytest adds `@py_builtins`
    assert front | set(aldeamo_async._OF_CAMPAIGNS) == set(aldeamo_async.__all__)
    assert front & set(aldeamo_async._OF_CAMPAIGNS) == set()


def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    """`python -m aldeamo_async --help` shows how to go on."""
    assert "Usage" in run_python("-m", "aldeamo_async", "--help", cwd=tmp_path)


def test_the_suite_tests_the_installed_wheel_when_told_so() -> None:
    """With ALDEAMO_TEST_WHEEL=1, as nox sets it, the package comes from site-packages."""
    home = Path(aldeamo_async.__file__).parent.parent
    assert home.name == "site-packages" or os.environ.get("ALDEAMO_TEST_WHEEL") != "1"


def test_the_suite_runs_on_httpx2_when_told_so() -> None:
    """With ALDEAMO_TEST_HTTPX2=1, as nox sets it, `httpx` is its maintained continuation."""
    expected = "httpx2" if os.environ.get("ALDEAMO_TEST_HTTPX2") == "1" else "httpx"
    assert importlib.import_module("httpx") is importlib.import_module(expected)
    assert importlib.import_module("httpx").__name__ == expected
