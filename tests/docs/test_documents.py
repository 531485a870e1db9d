"""Every code block of the documents, and every doctest, does what it shows."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

import aldeamo_async
from aldeamo_async.sandbox import Sandbox, serve
from support.documents import (
    LANGUAGES,
    SHELL,
    Block,
    blocks_of,
    commands_of,
    is_shown_by,
    run_python,
    taken_for_granted,
)
from support.smtp import client_of, mailroom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aldeamo_async.email import AsyncEmailClient

pytestmark = pytest.mark.real_clock

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCKS = [block for path in DOCUMENTS for block in blocks_of(path)]
PYTHON = [path for path in DOCUMENTS if any(block.runs for block in blocks_of(path))]
QUOTES = [block for block in BLOCKS if block.source]
SUITES = [path for path in DOCUMENTS if any(block.file for block in blocks_of(path))]
SHELLS = [block for block in BLOCKS if block.language in SHELL]
MODULES = ["aldeamo_async"] + [
    module.name for module in pkgutil.walk_packages(aldeamo_async.__path__, "aldeamo_async.")
]

# Programs that a shell block may show: ours, and what every reader has.
PROGRAMS = {
    "aldeamo",
    "cat",
    "curl",
    "export",
    "git",
    "head",
    "nox",
    "pip",
    "printf",
    "python",
    "python3",
    "source",
    "uvicorn",
}


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def shown_block(block: Block) -> str:
    return f"{shown(block.path)}:{block.line}"


def backends_of(path: Path) -> list[str]:
    """Both event loops, unless the document itself imports asyncio."""
    code = "".join(block.content for block in blocks_of(path) if block.runs)
    return ["asyncio"] if re.search(r"^\s*import asyncio", code, re.M) else ["asyncio", "trio"]


def asks_postgres(path: Path) -> bool:
    return '"postgresql://' in path.read_text(encoding="utf-8")


def asks_mail(path: Path) -> bool:
    return "OutgoingEmail" in path.read_text(encoding="utf-8")


def takes_for_granted(path: Path) -> bool:
    """Whether its blocks use a client that they do not make, or the sandbox or URL of one."""
    blocks = [block for block in blocks_of(path) if block.runs]
    return bool(taken_for_granted(blocks, {"client", "sandbox", "url"}))


INDEX = ROOT / "docs/how-to/index.md"
UNFINISHED = [path for path in PYTHON if takes_for_granted(path)]
RUNS = [(path, backend) for path in PYTHON for backend in backends_of(path)]


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sandbox, str]]:
    """A served sandbox that the environment points at, and an empty working directory."""
    sandbox = Sandbox()
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(sandbox)) as url,
    ):
        monkeypatch.setenv("ALDEAMO_API_KEY", "test-key")
        monkeypatch.setenv("ALDEAMO_BASE_URL", url)
        monkeypatch.chdir(tmp_path)
        yield sandbox, url


@pytest.fixture
def mail() -> Iterator[AsyncEmailClient]:
    """A client of a mail server that delivers to nobody."""
    with mailroom(login=False) as (port, _):
        yield client_of(port)


@pytest.mark.parametrize(("path", "backend"), RUNS, ids=lambda x: shown(x) if x in PYTHON else x)
def test_the_python_blocks_of_a_document_run(
    path: Path,
    backend: str,
    surroundings: tuple[Sandbox, str],
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All Python blocks of a document run in order, in one namespace, and print what it says."""
    sandbox, url = surroundings
    if asks_postgres(path):
        request.getfixturevalue("postgres_environment")
    mail = request.getfixturevalue("mail") if asks_mail(path) else None
    with (
        start_blocking_portal(backend) as portal,
        portal.wrap_async_context_manager(aldeamo_async.AsyncBotsClient.from_env()) as client,
    ):
        given: dict[str, Any] = {"client": client, "sandbox": sandbox, "url": url, "mail": mail}
        namespace = given | {"__name__": "__document__"}
        for block in blocks_of(path):
            if block.runs:
                capsys.readouterr()
                run_python(block, namespace, portal)
            elif block.prints:
                printed = capsys.readouterr().out
                assert is_shown_by(printed, block), f"{block} prints:\n{printed}"
        if mail is not None:
            portal.call(mail.aclose)


@pytest.mark.parametrize("path", PYTHON, ids=shown)
def test_a_document_says_where_the_names_come_from_that_it_does_not_make(path: Path) -> None:
    """Who pastes a block of it finds the client, the sandbox and the URL that the block uses."""
    if path in UNFINISHED:
        assert "index.md#try-the-blocks)" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [path for path in UNFINISHED if not asks_postgres(path) and not asks_mail(path)],
    ids=shown,
)
def test_the_blocks_of_a_document_run_where_the_index_tells_to_paste_them(
    path: Path, tmp_path: Path
) -> None:
    """The program of the index, with the blocks of another page in its middle, ends well."""
    (program,) = [block.content for block in blocks_of(INDEX) if block.runs]
    place = re.compile("^( *).*# the blocks go here\n", re.MULTILINE)
    blocks = [
        block for block in blocks_of(path) if block.runs and "anyio.run(" not in block.content
    ]
    pasted = "\n".join(block.content for block in blocks)
    whole = place.sub(lambda found: textwrap.indent(pasted, found[1]), program)
    done = subprocess.run(
        [sys.executable, "-c", whole], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", QUOTES, ids=shown_block)
def test_a_quoted_block_is_what_its_file_says(block: Block) -> None:
    """A block that shows a piece of an example is that piece; the example has tests of its own."""
    source = (block.path.parent / str(block.source)).resolve()
    assert (source.parent / f"test_{source.name}").is_file()
    # A piece from inside of a function stands further left here, and may need fewer lines.
    shown_there = re.sub(r"\s", "", source.read_text(encoding="utf-8"))
    assert re.sub(r"\s", "", block.content) in shown_there


@pytest.mark.parametrize("path", SUITES, ids=shown)
def test_the_files_of_a_document_are_a_suite_that_passes(path: Path, tmp_path: Path) -> None:
    """The files that a page tells its reader to write work together, with warnings as errors."""
    files = {block.file: block.content for block in blocks_of(path) if block.file}
    assert len(files) == sum(block.file is not None for block in blocks_of(path))
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    # pytest-asyncio is here for other tests; a reader who chose anyio would not have it.
    options = ["-p", "no:asyncio", "-p", "no:cacheprovider", "-W", "error", "--strict-markers"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    shown_tests = sum(len(re.findall(r"^(?:async )?def test_", x, re.M)) for x in files.values())
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"=+ (\d+) passed in", done.stdout)
    assert passed, done.stdout
    assert int(passed[1]) >= shown_tests > 0


@pytest.mark.parametrize("block", SHELLS, ids=shown_block)
def test_a_shell_block_shows_commands_that_exist(block: Block) -> None:
    """A shell block starts with a command, and names only programs that the reader has."""
    assert block.language == "bash" or block.content.startswith("$ "), block
    assert commands_of(block), block
    for command in commands_of(block):
        for part in re.split(r"&&|\|\||[|;]", command):
            words = [word for word in part.split() if not re.match(r"[A-Z_]+=", word)]
            assert words, block
            assert Path(words[0]).name in PROGRAMS, f"{block}: {part.strip()}"


def test_the_marked_shell_blocks_run(surroundings: tuple[Sandbox, str]) -> None:
    """The commands below a `run` comment end well."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for block in [block for block in SHELLS if block.marked]:
        done = subprocess.run(
            ["bash", "-euc", "\n".join(commands_of(block))],
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}:\n{done.stdout}{done.stderr}"


def test_every_block_says_what_it_is() -> None:
    """No block hides from this file behind another spelling of its language."""
    assert [
        f"{block} {block.language!r}" for block in BLOCKS if block.language not in LANGUAGES
    ] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_no_python_block_is_passed_over(path: Path) -> None:
    """Every fence that mentions Python is among the blocks that are run, or quoted from what is."""
    text = path.read_text(encoding="utf-8")
    fences = re.findall(r"^ *(?:`{3,}|~{3,}) *[{.]*py", text, re.MULTILINE | re.IGNORECASE)
    assert len(fences) == sum(block.language == "python" for block in blocks_of(path))
    assert not re.search(r"<!--\s*(skip|invisible)|^>>> ", text, re.MULTILINE)


@pytest.mark.parametrize("name", MODULES)
def test_the_doctests_of_a_module_pass(name: str) -> None:
    """The examples in docstrings print what they say."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0
