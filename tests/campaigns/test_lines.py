"""Per-client order, step by step: who may go, who is held back, who stands back."""

from __future__ import annotations

from aldeamo_async import Outgoing
from aldeamo_async.campaigns import Job
from aldeamo_async.campaigns._lines import ClientLines


def job(number: int, client: int = 1) -> Job:
    return Job(number, Outgoing("sms", f"57300000000{client}", f"Hola {number}"))


def test_a_busy_client_holds_its_messages_back() -> None:
    """One message of a client at a time; the next goes when it is finished."""
    lines = ClientLines()
    assert lines.start(job(1))
    assert not lines.start(job(2))
    assert lines.start(job(3, client=2))
    assert lines.freed() is None
    lines.finish(job(1))
    assert lines.freed() == job(2)
    lines.finish(job(2))
    assert lines.freed() is None
    assert lines.start(job(4))


def test_what_was_put_off_first_comes_back_first() -> None:
    """Messages behind a put-off one stand back until it has come again, in their order."""
    lines = ClientLines()
    assert lines.start(job(1))
    assert not lines.start(job(2))
    assert lines.put_off(job(1), until=10.0) == [job(2)]
    assert lines.wait(job(5), now=4.0) == 6.0
    assert lines.wait(job(5), now=11.0) == 1.0
    assert lines.wait(job(2), now=11.0) == 1.0
    for number in (1, 2, 5):
        assert lines.wait(job(number), now=11.0) == 0.0
        assert lines.start(job(number))
        lines.finish(job(number))
    assert lines.wait(job(3), now=11.0) == 0.0


def test_a_message_that_never_comes_back_is_not_waited_for() -> None:
    """When the first is settled elsewhere, those behind it go on after a minute."""
    lines = ClientLines()
    assert lines.start(job(1))
    lines.put_off(job(1), until=10.0)
    assert lines.wait(job(2), now=60.0) > 0
    assert lines.wait(job(2), now=70.1) == 0.0
    assert lines.wait(job(3), now=70.1) == 0.0
