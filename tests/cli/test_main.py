"""The door of the command line."""

from __future__ import annotations

import runpy
import subprocess
import sys
from typing import Any

import pytest

from aldeamo_async.__main__ import main


@pytest.fixture
def without_cli(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Forget the command line's modules, so that they are imported again."""
    for name in [name for name in sys.modules if name.startswith("aldeamo_async.cli")]:
        monkeypatch.delitem(sys.modules, name)
    return monkeypatch


def test_main(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """`aldeamo` runs the command of its arguments and leaves with its code."""
    monkeypatch.setattr(sys, "argv", ["aldeamo", "--sandbox", "users", "sms"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "Cannot read from the channel" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """`python -m aldeamo_async` is the same door."""
    monkeypatch.setattr(sys, "argv", ["aldeamo", "--version"])
    # Pytest loads the modules of a distribution that has a plugin in a way that runpy cannot.
    monkeypatch.delitem(sys.modules, "aldeamo_async.__main__", raising=False)
    plain = [finder for finder in sys.meta_path if not hasattr(finder, "mark_rewrite")]
    monkeypatch.setattr(sys, "meta_path", plain)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("aldeamo_async", run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("aldeamo, version")


@pytest.mark.parametrize("name", ["click", "rich"])
def test_without_the_extra(without_cli: pytest.MonkeyPatch, capsys: Any, name: str) -> None:
    """Without click or rich one line says how to install the extra, and the code is 2."""
    for module in [found for found in sys.modules if found.partition(".")[0] == name]:
        without_cli.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    errors = capsys.readouterr().err
    assert name in errors
    assert errors.endswith("Install it with: pip install 'aldeamo-async[cli]'\n")


def test_another_missing_module_is_not_hidden(without_cli: pytest.MonkeyPatch) -> None:
    """A module that is missing for another reason is shown as what it is."""
    without_cli.setitem(sys.modules, "aldeamo_async.demo", None)
    with pytest.raises(ModuleNotFoundError, match=r"aldeamo_async\.demo"):
        main()


def test_without_the_extra_sandbox() -> None:
    """Without starlette and uvicorn everything works but the socket."""
    program = (
        "import sys; sys.modules['uvicorn'] = sys.modules['starlette'] = None; "
        "sys.argv = ['aldeamo', '--sandbox', '--json', 'users', 'web']; "
        "from aldeamo_async.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 25


def test_the_program_itself() -> None:
    """The installed command starts and names its version."""
    done = subprocess.run(
        [sys.executable, "-m", "aldeamo_async", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("aldeamo, version ")
