"""The one developer door: `nox` does what continuous integration does, on the built wheel.

Rule: dependencies are read from pyproject.toml and never listed again here. `nox -l` lists the
sessions; what follows `--` goes to pytest, as in `nox -s tests -- -k limiter`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox
from packaging.requirements import Requirement

PYPROJECT = nox.project.load_toml("pyproject.toml")
PROJECT = PYPROJECT["project"]

# The tests must see the installed wheel: no current directory on sys.path, nor in child processes.
WHEEL_ENV = {"ALDEAMO_TEST_WHEEL": "1", "PYTHONSAFEPATH": "1"}

# What takes seconds measures time or memory, or draws thousands of examples: `tests` and `slow` do
# that. For all of it with other dependencies: `nox -s oldest -- -m ""`.
QUICK = ["-m", "not slow and not browser"]

# The session `docs` runs these, and they reach no line that the others do not.
OF_DOCS = ["--ignore=tests/docs", "--ignore=tests/site"]

# Of the tree and its documents: other dependencies make no difference.
OF_THE_TREE = ["--ignore=tests/house", *OF_DOCS]

# Rooms that no HTTP client is part of.
WITHOUT_HTTP = ["--ignore=tests/email", "--ignore=tests/limits"]

# Where the site of the documents goes; tests/site reads it there.
SITE = "build/site"

# Most of a run is waiting for sockets and clocks, so there may be more processes than cores.
SIDE_BY_SIDE = ["-n", "4", "--dist", "loadfile"]

# Where each test is work for a core.
ONE_EACH = ["-n", "2", "--dist", "worksteal"]

# Minutes together; the others in tests/benchmarks take longer, or a database.
BENCHMARKS = ["imports", "instructions", "limiter", "decoding", "streaming", "throughput"]

# The wheel of this run, once it is built.
BUILT: list[Path] = []

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|venv"  # uv installs in seconds, where it is there
nox.options.error_on_external_run = True
nox.options.sessions = [
    "lint",
    "floors",
    "types",
    "tests",
    "slow",
    "oldest",
    "httpx2",
    "docs",
    "browser",
]


def group(*names: str) -> list[str]:
    """The requirements of dependency groups (PEP 735), which an older pip cannot read itself."""
    return list(nox.project.dependency_groups(PYPROJECT, *names))


def build_wheel(session: nox.Session) -> str:
    """Build the wheel, once for all sessions of a run."""
    if not BUILT:
        # By session, so that two runs of nox side by side do not build into one folder.
        folder = Path(session.cache_dir, "wheel", session.name)
        shutil.rmtree(folder, ignore_errors=True)
        if session.venv_backend == "uv":
            session.run("uv", "build", "-q", "--wheel", "-o", str(folder), silent=True)
        else:
            session.run("pip", "wheel", "-q", "--no-deps", "-w", str(folder), ".", silent=True)
        BUILT.extend(folder.resolve().glob("*.whl"))
    return f"{PROJECT['name']}[all] @ {BUILT[0].as_uri()}"


def lowest(requirements: list[str]) -> list[str]:
    """Each requirement pinned to its lower bound."""
    found = [Requirement(text) for text in requirements]
    return [
        f"{req.name}=={bound.version}"
        for req in found
        for bound in req.specifier
        if bound.operator == ">="
    ]


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely mistakes."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def floors(session: nox.Session) -> None:
    """Imports go down only, and third parties stay in their rooms."""
    session.install("-e", ".", *group("floors"))
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Two type checkers, and the completeness of what users see."""
    session.install(build_wheel(session), *group("types"), "nox")
    session.run("mypy")
    pyright = ["basedpyright", "--pythonpath", str(Path(session.bin, "python").absolute())]
    session.run(*pyright)
    session.run(*pyright, "--verifytypes", "aldeamo_async", "--ignoreexternal")


@nox.session
def tests(session: nox.Session) -> None:
    """The suite, at 100 % branch coverage."""
    session.install(build_wheel(session), *group("tests"))
    session.run("coverage", "erase")
    covered = ["coverage", "run", "-m", "pytest"]
    if session.posargs:
        session.run(*covered, *session.posargs, env=WHEEL_ENV)
    else:
        quick = "not slow and not alone and not browser"
        session.run(*covered, *SIDE_BY_SIDE, "-m", quick, *OF_DOCS, env=WHEEL_ENV)
        session.run("pytest", "-m", "alone", env=WHEEL_ENV)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report", *(["--fail-under=0"] if session.posargs else []))


@nox.session
def slow(session: nox.Session) -> None:
    """Thousands of examples, memory, kills: no line that `tests` does not reach, so no tracing."""
    session.install(build_wheel(session), *group("tests"))
    session.run("pytest", *ONE_EACH, "-m", "slow and not alone", *session.posargs, env=WHEEL_ENV)


@nox.session
def oldest(session: nox.Session) -> None:
    """The suite with the lowest versions that pyproject.toml allows."""
    extras = PROJECT["optional-dependencies"]
    listed = [req for extra, needs in extras.items() if extra != "all" for req in needs]
    pins = lowest([*PROJECT["dependencies"], *listed])
    session.install(build_wheel(session), *pins, *group("tests"))
    session.run("pytest", *SIDE_BY_SIDE, *QUICK, *(session.posargs or OF_THE_TREE), env=WHEEL_ENV)


@nox.session
def httpx2(session: nox.Session) -> None:
    """The suite where `import httpx` means httpx2, in child processes too."""
    session.install(build_wheel(session), *group("tests", "httpx2"))
    alias = {"PYTHONPATH": str(Path("tests/support/httpx2_alias").resolve())}
    env = WHEEL_ENV | alias | {"ALDEAMO_TEST_HTTPX2": "1"}
    session.run(
        "pytest", *SIDE_BY_SIDE, *QUICK, *(session.posargs or OF_THE_TREE + WITHOUT_HTTP), env=env
    )


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in build/site, and every code block of README.md, docs/ and the docstrings."""
    session.install(build_wheel(session), *group("docs"))
    session.run("sphinx-build", "-q", "-W", "--keep-going", "docs", SITE, env=WHEEL_ENV)
    session.run("pytest", *ONE_EACH, "tests/docs", "tests/site", *session.posargs, env=WHEEL_ENV)


@nox.session
def browser(session: nox.Session) -> None:
    """The sandbox's inbox, clicked through in Chromium, which must be on the machine."""
    session.install(build_wheel(session), *group("tests"))
    session.run("pytest", "-m", "browser", "tests/sandbox", *session.posargs, env=WHEEL_ENV)


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmarks beside peers: numbers to read, not a verdict. `-- throughput` runs one of them."""
    session.install(build_wheel(session), *group("bench"))
    for name in session.posargs or BENCHMARKS:
        session.run("python", f"tests/benchmarks/{name}.py")


@nox.session(python=nox.project.python_versions(PYPROJECT))
def matrix(session: nox.Session) -> None:
    """The whole suite on each Python of the classifiers that this machine has."""
    session.install(build_wheel(session), *group("tests"))
    session.run("pytest", *session.posargs, env=WHEEL_ENV)
