"""The reader of documents: what it finds, and how it runs it."""

from __future__ import annotations

import textwrap
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

from support.documents import (
    Block,
    blocks_of,
    commands_of,
    is_shown_by,
    run_python,
    taken_for_granted,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real_clock


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A document with one block of each kind that matters."""
    path = tmp_path / "page.md"
    path.write_text(
        textwrap.dedent(
            """\
            # Page
            ```python
            import anyio
            seen = [1]
            ```
            - in a list:
              ~~~python
              await anyio.sleep(0)
              seen.append(2)
              ~~~
            <!-- run -->
            ```console
            $ aldeamo \\
              demo
            out
            $ cat x
            ```
            ```python
            raise ValueError("here")
            ```
            ```bash
            # why
            aldeamo demo
            ```
            <!-- file: test_it.py -->
            ```python
            def test_it(): pass
            ```
            <!-- quoted from examples/app.py -->
            ```python
            app = None
            ```
            """
        ),
        encoding="utf-8",
    )
    return path


def test_the_reader_finds_every_block(document: Path) -> None:
    """Language, first line and mark of each block, indented ones without their indent."""
    found = [(b.language, b.line, b.marked) for b in blocks_of(document)]
    assert found == [
        ("python", 3, False),
        ("python", 8, False),
        ("console", 13, True),
        ("python", 19, False),
        ("bash", 22, False),
        ("python", 27, False),
        ("python", 31, False),
    ]
    assert blocks_of(document)[1].content.startswith("await")


def test_the_reader_tells_what_runs_where(document: Path) -> None:
    """A file of its own and a quotation do not run in the document; the rest does."""
    found = [(b.runs, b.file, b.source) for b in blocks_of(document) if b.language == "python"]
    assert found == [
        *[(True, None, None)] * 3,
        (False, "test_it.py", None),
        (False, None, "examples/app.py"),
    ]


def test_a_console_block_gives_its_commands(document: Path) -> None:
    """Lines after a prompt are commands, with their continuation lines; the rest is output."""
    commands = [" ".join(command.split()) for command in commands_of(blocks_of(document)[2])]
    assert commands == ["aldeamo demo", "cat x"]


def test_a_bash_block_gives_its_commands(document: Path) -> None:
    """Every line but a comment is a command."""
    assert commands_of(blocks_of(document)[4]) == ["aldeamo demo"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_blocks_share_a_namespace_and_may_await(document: Path, backend: str) -> None:
    """A name of one block is there in the next, whether it awaits or not."""
    namespace: dict[str, Any] = {}
    with start_blocking_portal(backend) as portal:
        for block in blocks_of(document)[:2]:
            run_python(block, namespace, portal)
    assert namespace["seen"] == [1, 2]


def test_a_failing_block_names_its_line_in_the_document(document: Path) -> None:
    """The traceback points at the document, so that an editor can jump there."""
    failing: Block = blocks_of(document)[3]
    with start_blocking_portal() as portal, pytest.raises(ValueError, match="here") as caught:
        run_python(failing, {}, portal)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == (str(document), 19)


def test_a_block_of_output_is_compared_with_what_was_printed(tmp_path: Path) -> None:
    """All of the output counts, and `...` stands for any text within a line."""
    page = tmp_path / "page.md"
    page.write_text("<!-- prints -->\n```text\n1 of ... rows\ndone\n```\n", encoding="utf-8")
    (block,) = blocks_of(page)
    assert block.prints
    assert is_shown_by("1 of 20 rows\ndone\n", block)
    assert not is_shown_by("1 of 20 rows\ndone\nand more\n", block)
    assert not is_shown_by("1 of 20\nor more rows\ndone\n", block)


def test_a_name_that_is_used_before_it_is_made_is_taken_for_granted(tmp_path: Path) -> None:
    """A name counts until a block makes it, as a variable or as an argument of a function."""
    codes = ["client.send(url)", "client = url = 1", "client", "def f(sandbox): sandbox", "sandbox"]
    blocks = [Block(tmp_path, 1, "python", code, "") for code in codes]
    given = {"client", "url", "sandbox", "other"}
    assert taken_for_granted(blocks, given) == {"client", "url"}
    assert taken_for_granted(blocks[1:], given) == set()
    assert taken_for_granted(blocks[4:], given) == {"sandbox"}
