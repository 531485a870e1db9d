"""Unit tests of the nouns and of the drift counter."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest

from aldeamo_async import (
    ApiError,
    Attempt,
    DeliveryUnknown,
    Drift,
    Evidence,
    Outgoing,
    Phase,
    ReadChannel,
    Receipt,
    Rejected,
    SendChannel,
    Sent,
    Unknown,
)
from aldeamo_async._drift import NAMES_MAX, OVERFLOW

if TYPE_CHECKING:
    from collections.abc import Callable

ROW = Outgoing("sms", "573000000001", "Hola", client_ref="row 7")
TRIED = (Attempt(1, Evidence.ANSWERED, Phase.DONE, "HTTP 400", 400),)


def test_each_outcome_has_its_message_and_its_history() -> None:
    """`.outgoing` and `.attempts` are there whatever became of a message."""
    for outcome in (
        Sent(ROW, Receipt("32", "Message sent", TRIED)),
        Rejected(ROW, ApiError("POST /messages", "no", 400, attempts=TRIED)),
        Unknown(ROW, DeliveryUnknown("POST /messages", Phase.READ, "reset", attempts=TRIED)),
    ):
        assert (outcome.outgoing, outcome.attempts) == (ROW, TRIED)


def test_outcomes_compare_by_what_their_errors_say() -> None:
    """Two outcomes are equal when their errors hold the same, and differ when those do."""
    one, same, other = (
        Rejected(ROW, ApiError("POST /messages", text, 400)) for text in ("no", "no", "never")
    )
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


def test_channels_are_their_text() -> None:
    """A member equals its text, in both sets."""
    assert set(ReadChannel) == {"facebook", "twitter", "web", "whatsapp"}
    assert set(SendChannel) == {"facebook", "sms", "web"}
    assert Outgoing("sms", "573000000001", "Hola", "row 7") == ROW
    assert Outgoing(SendChannel.SMS, "573000000001", "Hola", "row 7") == ROW


def test_drift_reads_like_a_dict() -> None:
    """Counts are read by name; a name never seen counts nothing and is not there."""
    drift = Drift({"b": 2})
    drift.count("a")
    drift.count("b")
    assert dict(drift) == drift == {"a": 1, "b": 3}
    assert (drift["c"], "c" in drift, "a" in drift, len(drift)) == (0, False, True, 2)
    assert repr(drift) == "Drift({'b': 3, 'a': 1})"


def test_drift_is_bounded() -> None:
    """A server that invents names without end fills one last count."""
    drift = Drift()
    for number in range(3 * NAMES_MAX):
        drift.count(f"field x{number}")
    assert len(drift) == NAMES_MAX + 1
    assert drift[OVERFLOW] == 2 * NAMES_MAX
    assert drift["field x0"] == 1
    drift.count("field x0")
    assert drift["field x0"] == 2


def test_drift_names_are_short_and_hold_no_number() -> None:
    """A name is one short line, in which no phone number can be read."""
    drift = Drift()
    for _ in range(2):
        drift.count("unknown field 573000000001\n" + "x" * 1000)
    [name] = drift
    assert name.startswith("unknown field 57********01 xxx")
    assert len(name) == 200
    assert drift[name] == 2


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
def test_a_copy_of_drift_counts_for_itself(again: Callable[[Drift], Drift]) -> None:
    """What a copy counts the original does not."""
    drift = Drift({"a": 1})
    other = again(drift)
    other.count("a")
    assert (drift["a"], other["a"]) == (1, 2)
