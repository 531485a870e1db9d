"""The developer doors agree: README, noxfile, continuous integration, packaging, floors."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CI = ROOT / ".ci" / "run"


def test_ci_is_a_program() -> None:
    """`.ci/run` can be started as it is."""
    assert os.access(CI, os.X_OK)
    assert CI.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")


def test_ci_runs_the_test_line_of_the_readme() -> None:
    """The very line that a newcomer pastes to run the tests is the one that CI runs."""
    shown = subprocess.run(
        [str(CI), "--show-test-line"], capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()
    assert shown.endswith("nox -s tests")
    assert shown in (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_says_so_when_the_readme_lost_its_test_line(tmp_path: Path) -> None:
    """Without that line in README, CI fails and says what is missing."""
    (tmp_path / ".ci").mkdir()
    copy = tmp_path / ".ci" / "run"
    copy.write_bytes(CI.read_bytes())
    (tmp_path / "README.md").write_text("# empty\n", encoding="utf-8")
    done = subprocess.run(
        ["bash", str(copy), "--show-test-line"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode != 0
    assert "README.md" in done.stderr


def test_ci_runs_every_session_that_nox_runs_by_default() -> None:
    """What `nox` does without arguments is what CI does."""
    ci = re.search(r"^sessions=\(([^)]*)\)", CI.read_text(encoding="utf-8"), re.MULTILINE)
    nox = re.search(
        r"^nox\.options\.sessions = \[([^\]]*)\]",
        (ROOT / "noxfile.py").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert ci
    assert nox
    assert {"tests", *ci[1].split()} == set(re.findall(r'"(\w+)"', nox[1]))


def test_every_python_of_the_classifiers_is_allowed() -> None:
    """The oldest Python in the classifiers is the one that `requires-python` names."""
    named = [
        tuple(map(int, c.rsplit(" ", 1)[1].split(".")))
        for c in PROJECT["project"]["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", c)
    ]
    oldest = ".".join(map(str, min(named)))
    assert PROJECT["project"]["requires-python"] == f">={oldest}"


def test_coverage_counts_everything() -> None:
    """Branch coverage of the package at 100, with type-checking blocks as the only exclusion."""
    report = PROJECT["tool"]["coverage"]["report"]
    assert report["fail_under"] == 100
    assert report["exclude_also"] == ["if TYPE_CHECKING:"]
    assert PROJECT["tool"]["coverage"]["run"]["branch"] is True
    assert "omit" not in PROJECT["tool"]["coverage"]["run"]


def test_warnings_are_errors() -> None:
    """No warning is let off."""
    assert PROJECT["tool"]["pytest"]["ini_options"]["filterwarnings"] == ["error"]


def test_the_version_is_written_once() -> None:
    """The version number stands in the package; pyproject.toml reads it from there."""
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "aldeamo_async/__init__.py"


def test_the_readme_lines_need_only_python() -> None:
    """Both lines start from a bare `python3 -m venv`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [x.removeprefix("$ ") for x in readme.splitlines() if "python3 -m venv" in x]
    assert len(lines) == 2
    assert lines[0].endswith(".venv/bin/aldeamo demo")
    assert lines[1].endswith(".venv/bin/nox -s tests")
