"""`docs/reference-cli.md` names every command, option and exit code, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from aldeamo_async.cli import aldeamo
from aldeamo_async.cli._exit import MEANINGS
from aldeamo_async.cli._results import COLUMNS

TEXT = Path(__file__).parents[2].joinpath("docs", "reference-cli.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def commands_of(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    """Every command by its words, those inside of groups too."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found[prefix + name] = command
        if isinstance(command, click.Group):
            found |= commands_of(command, f"{prefix}{name} ")
    return found


COMMANDS = commands_of(aldeamo)


def options_of(command: click.Command) -> set[str]:
    # click keeps the help option of the first context that asks: it must know -h from its parent.
    parent = click.Context(aldeamo, info_name="aldeamo", **aldeamo.context_settings)
    context = click.Context(command, parent=parent, **command.context_settings)
    return {
        name
        for option in command.get_params(context)
        if isinstance(option, click.Option) and not option.hidden
        for name in option.opts
    }


def documented(section: str) -> set[str]:
    rows = re.findall(r"^\| (`-.+?) \|", SECTIONS[section], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(-{1,2}[a-z0-9-]+)", row)}


def test_every_command_has_its_section() -> None:
    """The commands of the program are the sections of the document."""
    sections = {name.removeprefix("aldeamo ") for name in SECTIONS if name.startswith("aldeamo ")}
    assert sections == set(COMMANDS)


def test_shared_options() -> None:
    """The options of the group are those of its table."""
    assert documented("Shared options") == options_of(aldeamo)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_options_of_a_command(name: str) -> None:
    """The options of each command are those of its table."""
    assert documented(f"aldeamo {name}") == options_of(COMMANDS[name]) - {"-h", "--help"}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_default_is_told(name: str) -> None:
    """A default that is shown in the help stands in the table as well."""
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option) and option.show_default:
            lines = SECTIONS[f"aldeamo {name}"].splitlines()
            row = next(line for line in lines if line.startswith(f"| `{option.opts[0]}"))
            assert f"Default: {option.default}" in row.replace("`", "")


def test_exit_codes() -> None:
    """The table of exit codes is that of the program, word for word."""
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", SECTIONS["Exit codes"], re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == MEANINGS


def test_columns_of_the_results() -> None:
    """Every column of the results of a run is named."""
    assert all(f"`{name}`" in SECTIONS["aldeamo send-many"] for name in COLUMNS[:10])
