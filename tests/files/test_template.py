"""Templates: plain columns and nothing else."""

from __future__ import annotations

import pytest

from aldeamo_async._errors import UsageError
from aldeamo_async._files import MissingColumn, Template


def test_columns_are_filled_in() -> None:
    """Fields take the cells of the row; doubled braces are braces; numbers become text."""
    template = Template("Hola {name}, {{code}}: {code} {name}")
    assert template.columns == ("name", "code")
    assert template.fill({"name": "Ana", "code": 7, "more": "x"}) == "Hola Ana, {code}: 7 Ana"


def test_cells_are_not_templates() -> None:
    """Braces in a cell stay as they are."""
    assert Template("{name}").fill({"name": "{code} {0}"}) == "{code} {0}"


@pytest.mark.parametrize(
    "source",
    [
        "{name.upper}",
        "{name[0]}",
        "{name!r}",
        "{name:>10}",
        "{name:{width}}",
        "{}",
        "{0.__class__}",
    ],
)
def test_a_field_that_does_more_is_refused(source: str) -> None:
    """Attributes, indexes, conversions and formats are refused before any row is read."""
    with pytest.raises(UsageError, match=r"template"):
        Template(source)


@pytest.mark.parametrize("source", ["{name", "name}"])
def test_unbalanced_braces_are_explained(source: str) -> None:
    """A template that cannot be parsed says how to write one."""
    with pytest.raises(UsageError, match=r"Write \{column\}"):
        Template(source)


def test_missing_columns_are_all_named() -> None:
    """A row without the columns raises, naming each."""
    with pytest.raises(MissingColumn, match="name, code"):
        Template("{name} {code} {city}").fill({"name": None, "city": "Cali"})
