"""Ctrl-C with manners."""

from __future__ import annotations

import signal
import threading

import pytest

from aldeamo_async.cli._interrupt import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_third_signal_is_pythons_own(number: signal.Signals) -> None:
    """The first two are counted, the third raises, and afterwards all is as it was."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        signal.raise_signal(number)
        assert interrupts.count == 1
        signal.raise_signal(number)
        assert interrupts.count == 2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_other_threads_hear_nothing() -> None:
    """Outside the main thread no handler can be set, and none is."""
    before = signal.getsignal(signal.SIGINT)
    during = []

    def elsewhere() -> None:
        with Interrupts() as interrupts:
            during.append((interrupts.count, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert during == [(0, before)]
