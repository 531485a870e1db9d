"""Exit codes and the errors that read like help."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import pytest

from aldeamo_async import _errors
from aldeamo_async._errors import AldeamoError, AuthError, DeliveryUnknown, UsageError
from aldeamo_async._evidence import Phase
from aldeamo_async._files import FileFault
from aldeamo_async.cli._exit import MEANINGS, Exit, Failure, code_of, explained

if TYPE_CHECKING:
    from collections.abc import Iterator


def every_error(kind: type[AldeamoError] = AldeamoError) -> Iterator[type[AldeamoError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from every_error(below)


EXPECTED = {
    "AldeamoError": Exit.FAULT,
    "UsageError": Exit.USAGE,
    "NetworkError": Exit.NETWORK,
    "NotSent": Exit.NETWORK,
    "DeadlineExceeded": Exit.NETWORK,
    "NoAnswer": Exit.NETWORK,
    "DeliveryUnknown": Exit.UNKNOWN,
    "ApiError": Exit.REJECTED,
    "AuthError": Exit.AUTH,
    "RateLimited": Exit.REJECTED,
    "UnexpectedResponse": Exit.UNEXPECTED,
    "CampaignError": Exit.FAULT,
}


def test_every_error_has_a_code() -> None:
    """Each class of the error tree ends in the exit code of this table, and none is missing."""
    # E-mail has kinds of its own, and no command.
    homes = {"aldeamo_async", "aldeamo_async._errors"}
    ours = [kind for kind in every_error() if kind.__module__ in homes]
    assert {kind.__name__: code_of(kind.__new__(kind)) for kind in ours} == EXPECTED
    assert set(EXPECTED) == {
        name
        for name, value in vars(_errors).items()
        if isinstance(value, type) and issubclass(value, AldeamoError)
    }


def test_every_code_has_a_meaning() -> None:
    """The table of meanings names every exit code, in order."""
    assert list(MEANINGS) == sorted(Exit)


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (UsageError("Mend it."), Exit.USAGE, "UsageError"),
        (AuthError("POST /messages", "no", 401), Exit.AUTH, "AuthError"),
        (DeliveryUnknown("POST /messages", Phase.READ, "reset"), Exit.UNKNOWN, "DeliveryUnknown"),
        (FileFault("not UTF-8", 3), Exit.USAGE, "FileFault"),
        (KeyboardInterrupt(), Exit.INTERRUPTED, "Interrupted"),
        (click.Abort(), Exit.INTERRUPTED, "Interrupted"),
    ],
)
def test_expected_errors_become_failures(error: BaseException, code: Exit, kind: str) -> None:
    """An expected error ends the command with its code, without a traceback behind it."""
    with pytest.raises(Failure) as failure, explained(as_json=False):
        raise error
    assert (failure.value.exit_code, failure.value.kind) == (code, kind)
    assert failure.value.__suppress_context__


def test_a_fault_of_ours_stays_as_it_is() -> None:
    """A programming error is not dressed up as help."""
    with pytest.raises(ZeroDivisionError), explained(as_json=False):
        _ = 1 / 0


@pytest.mark.parametrize("as_json", [False, True])
def test_a_failure_is_shown_on_stderr(as_json: bool, capsys: Any) -> None:
    """Help for people, or one JSON document; stdout stays clean."""
    Failure("Mend it.", Exit.USAGE, kind="UsageError", as_json=as_json).show()
    out, err = capsys.readouterr()
    assert out == ""
    if as_json:
        assert json.loads(err) == {"error": "UsageError", "help": "Mend it.", "exit_code": 2}
    else:
        assert err == "Error: Mend it.\n"


def test_a_file_fault_names_its_line() -> None:
    """The line is named where one is at fault."""
    assert str(FileFault("bad", 3)) == "line 3: bad"
    assert str(FileFault("empty")) == "empty"


def test_errors_out_of_task_groups() -> None:
    """An expected error reads the same when it comes out of task groups; a bug keeps its group."""
    inner = ExceptionGroup("inner", [UsageError("the text is empty")])
    with pytest.raises(Failure) as caught, explained(as_json=False):
        raise ExceptionGroup("outer", [inner])
    assert (caught.value.code, caught.value.message) == (Exit.USAGE, "the text is empty")
    with pytest.raises(ExceptionGroup, match="ours"), explained(as_json=False):
        raise ExceptionGroup("ours", [KeyError("a bug")])
