"""Reads Markdown documents and runs their code blocks.

Rule: what a reader may paste is what runs. A document is one namespace, its blocks run in order,
`await` is allowed at the top level, and a traceback names the line of the document. A comment above
a block can say that it is a file of its own, a piece of a file that is run elsewhere, or what the
block before it prints.
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from types import CodeType

    from anyio.from_thread import BlockingPortal

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<info>[^`\n]*)$")
RUN = "<!-- run -->"  # the comment above a block whose commands are run
FILE = re.compile(r"<!-- file: (\S+) -->")  # the block is this file of the reader's project
PRINTS = "<!-- prints -->"  # the block is what the Python block before it prints
QUOTED = re.compile(r"<!-- quoted from (\S+) -->")  # it stands in this file, word for word
SHELL = {"bash", "console"}

# What may be shown in a block. `python` and marked shell blocks run; the rest is for reading.
LANGUAGES = {"bash", "console", "csv", "ini", "json", "jsonl", "mermaid", "python", "text", "toml"}


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is the number of its first line of content.

    `above` is the last line of text before it.
    """

    path: Path
    line: int
    language: str
    content: str
    above: str

    @property
    def marked(self) -> bool:
        """Whether its commands are to be run."""
        return self.above == RUN

    @property
    def prints(self) -> bool:
        """Whether it is the output of the block before it; `...` stands for any text."""
        return self.above == PRINTS

    @property
    def file(self) -> str | None:
        """The name of the file that it is, if it is one."""
        found = FILE.fullmatch(self.above)
        return found and found[1]

    @property
    def source(self) -> str | None:
        """The path, from the document's folder, of the file that it is quoted from."""
        found = QUOTED.fullmatch(self.above)
        return found and found[1]

    @property
    def runs(self) -> bool:
        """Whether it runs in the document's own namespace."""
        return self.language == "python" and self.file is None and self.source is None

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    """Every fenced block of a document, in order."""
    found: list[Block] = []
    lines = iter(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    above = ""
    for number, line in lines:
        if not (opening := FENCE.match(line)):
            above = line.strip() or above
            continue
        indent, fence = len(opening["indent"]), opening["fence"]
        content: list[str] = []
        for _, inner in lines:
            if inner.strip().startswith(fence) and not inner.strip().strip(fence[0]):
                break
            content.append(inner[indent:])
        text = "\n".join(content) + "\n"
        found.append(Block(path, number + 1, opening["info"].strip(), text, above))
        above = ""
    return found


def compiled(block: Block) -> CodeType:
    """The block as code, with the document's own line numbers."""
    tree = ast.parse(block.content, str(block.path))
    ast.increment_lineno(tree, block.line - 1)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(tree, str(block.path), "exec", flags=flags, dont_inherit=True)


def taken_for_granted(blocks: list[Block], given: set[str]) -> set[str]:
    """The names among those given that the blocks use before, or without, making them."""
    made: set[str] = set()
    taken: set[str] = set()
    for block in blocks:
        tree = ast.parse(block.content)
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        made |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
        made |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        taken |= {node.id for node in names} - made
    return taken & given


def run_python(block: Block, namespace: dict[str, Any], portal: BlockingPortal) -> None:
    """Run a block: in the portal's event loop when it awaits, in this thread when it does not.

    So a document may show `await client.users(...)` as well as `asyncio.run(main())`.
    """
    code = compiled(block)
    if code.co_flags & inspect.CO_COROUTINE:
        portal.call(_awaited, code, namespace)
    else:
        exec(code, namespace)  # noqa: S102 - running the documents is the purpose


def is_shown_by(printed: str, block: Block) -> bool:
    """Tell whether a block shows what was printed, its `...` apart."""
    pattern = ".*".join(map(re.escape, block.content.split("...")))
    return re.fullmatch(pattern, printed) is not None


async def _awaited(code: CodeType, namespace: dict[str, Any]) -> None:
    await eval(code, namespace)  # noqa: S307 - as above


def commands_of(block: Block) -> list[str]:
    """The commands of a block, each with its continuation lines.

    In `console` they stand after `$ ` and other lines are output; in `bash` all are commands.
    """
    lines = block.content.replace("\\\n", " ").splitlines()
    if block.language == "console":
        return [line[2:].strip() for line in lines if line.startswith("$ ")]
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
