"""What the inbox keeps: the last messages, the beginning of long ones, the pace."""

from __future__ import annotations

from aldeamo_async.sandbox import Sandbox, Weather
from aldeamo_async.sandbox._contract import Call, Request
from aldeamo_async.sandbox._faults import Fault
from aldeamo_async.sandbox._journal import SHOWN, SHOWN_ID, Journal, Pace
from aldeamo_async.sandbox._presets import preset, presets

FORM = b"auth=test-key&channel=web&client_id=507000000001&msg=Hola"


def written(journal: Journal, number: int, text: str = "Hola") -> None:
    for _ in range(number):
        journal.add("in", "web", "507000000001", text, message_id="1", at=0.0)


def test_only_the_last_are_kept() -> None:
    """Past its bound the journal forgets the oldest, and its numbers go on."""
    journal = Journal(keep=3)
    written(journal, 10)
    assert [entry.number for entry in journal.since(0)] == [8, 9, 10]
    assert [entry.number for entry in journal.since(9)] == [10]
    assert journal.since(10) == []


def test_only_the_beginning_of_a_long_text_is_kept() -> None:
    """A text is cut with its length told, and an id of any length takes no more than its room."""
    journal = Journal()
    journal.add("out", "sms", "5" * 10_000, "x" * 10_000, message_id="1", at=0.0)
    (entry,) = journal.since(0)
    assert (len(entry.text), entry.length) == (SHOWN, 10_000)
    assert len(entry.client_id) == SHOWN_ID


def test_the_pace_is_that_of_the_last_seconds() -> None:
    """It rises with what comes, makes no fuss of the first moments, and falls back to zero."""
    pace = Pace(window=2.0)
    counts = [(0.0, 5), (0.1, 7), (1.0, 10), (2.0, 20), (3.0, 20), (4.0, 20)]
    assert [pace.look(now, count) for now, count in counts] == [0.0, 2.0, 5.0, 7.5, 5.0, 0.0]


def test_a_sandbox_without_an_inbox_keeps_no_journal() -> None:
    """What happened before somebody asked is not in the journal; what comes after is."""
    sandbox = Sandbox(clock=lambda: 0.0)
    for text in ("before", "after", "after"):
        if text == "after":
            sandbox.open_journal()
        request = Request("POST", b"/messages", (), FORM.replace(b"Hola", text.encode()))
        sandbox.commit(sandbox.plan(Call.SEND, request))
    sandbox.say("web", "507000000001", "Gracias")
    entries = sandbox.open_journal().since(0)
    assert [(e.direction, e.text, e.message_id, e.duplicate) for e in entries] == [
        ("out", "after", "2", False),
        ("out", "after", "3", True),
        ("in", "Gracias", "260", False),
    ]


def test_every_fault_can_be_chosen() -> None:
    """Calm, rough and the whole catalogue are on offer, each once, and named as the weather is."""
    names = [row["name"] for row in presets()]
    assert sorted(names) == sorted(["calm", "rough", *(fault.name for fault in Fault.every())])
    assert [preset(name, once=False).name for name in names] == names


def test_a_chosen_fault_is_for_sends() -> None:
    """It meets every send, or the next one only; reads stay calm."""
    always, once = (preset("BOM", once=once) for once in (False, True))
    assert (always.lasts, once.lasts) == (True, False)
    assert [w.draw("reads").name for w in (always, once)] == ["CALM", "CALM"]
    assert [always.draw("sends").name for _ in range(2)] == ["BOM", "BOM"]
    assert [once.draw("sends").name for _ in range(2)] == ["BOM", "CALM"]
    assert (once.name, once.lasts) == ("calm", True)


def test_other_weather_is_mixed() -> None:
    """What has no name of its own says so."""
    faults = [Fault.BOM, Fault.DRIP]
    odds = {Fault.BOM: 0.5}
    weathers = [
        Weather.sequence(faults),
        Weather.sequence([Fault.BOM, Fault.BOM]),
        Weather.random(odds),
    ]
    assert {weather.name for weather in weathers} == {"mixed"}
    assert [weather.lasts for weather in weathers] == [False, False, True]
