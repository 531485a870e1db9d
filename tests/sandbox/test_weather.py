"""When faults come: scripts, dice, and what they leave alone."""

from __future__ import annotations

import copy
import pickle
from collections import Counter

import pytest

from aldeamo_async.sandbox import Fault, Weather


def drawn(weather: Weather, number: int, call: str = "sends") -> list[str]:
    return [weather.draw(call).name for _ in range(number)]  # type: ignore[arg-type]


def test_calm() -> None:
    """In calm weather nothing goes wrong."""
    assert drawn(Weather.calm(), 3) == ["CALM"] * 3


def test_sequence() -> None:
    """A script gives its faults in turn, None for a calm request, and then stays calm."""
    weather = Weather.sequence([Fault.BOM, None, Fault.DRIP])
    assert drawn(weather, 5) == ["BOM", "CALM", "DRIP", "CALM", "CALM"]


def test_sequence_again() -> None:
    """A script may begin again from the top."""
    weather = Weather.sequence([Fault.BOM, None], repeat=True)
    assert drawn(weather, 5) == ["BOM", "CALM", "BOM", "CALM", "BOM"]


def test_random_shares() -> None:
    """Each fault comes about as often as its probability says."""
    weather = Weather.random({Fault.BOM: 0.1, Fault.DRIP: 0.3}, seed=1)
    found = Counter(drawn(weather, 10_000))
    assert 900 < found["BOM"] < 1100
    assert 2800 < found["DRIP"] < 3200
    assert found.total() == 10_000


def test_random_is_seeded() -> None:
    """The same seed gives the same weather, another seed another."""
    first, again, other = (drawn(Weather.rough(seed), 1000) for seed in (1, 1, 2))
    assert first == again != other


def test_certain_fault() -> None:
    """Probabilities may add up to one."""
    weather = Weather.random({Fault.BOM: 0.9, Fault.DRIP: 0.1})
    assert "CALM" not in drawn(weather, 1000)


@pytest.mark.parametrize("odds", [{Fault.BOM: 0.6, Fault.DRIP: 0.5}, {Fault.BOM: -0.1}])
def test_impossible_odds(odds: dict[Fault, float]) -> None:
    """Probabilities below 0, or above 1 in all, are refused."""
    with pytest.raises(ValueError, match="probability"):
        Weather.random(odds)


def test_rough() -> None:
    """Rough weather spoils about one request in ten, in many ways, and spares most."""
    found = Counter(drawn(Weather.rough(seed=7), 10_000))
    assert 8_500 < found["CALM"] < 9_500
    assert len(found) > 20


@pytest.mark.parametrize(("only", "other"), [("sends", "reads"), ("reads", "sends")])
def test_only(only: str, other: str) -> None:
    """Weather for one kind of call takes nothing from the other."""
    weather = Weather.sequence([Fault.BOM], only=only)  # type: ignore[arg-type]
    assert drawn(weather, 2, other) == ["CALM", "CALM"]
    assert drawn(weather, 2, only) == ["BOM", "CALM"]


def test_at_accept() -> None:
    """A fresh connection takes only the drop that is next in a script for all calls."""
    weather = Weather.sequence([Fault.BOM, Fault.DROP_AT_ACCEPT, None])
    assert weather.draw_at_accept().name == "CALM"
    assert drawn(weather, 1) == ["BOM"]
    assert weather.draw_at_accept().name == "DROP_AT_ACCEPT"
    assert drawn(weather, 1) == ["CALM"]
    for other in (Weather.rough(), Weather.sequence([Fault.DROP_AT_ACCEPT], only="sends")):
        assert other.draw_at_accept().name == "CALM"


def test_weather_repr() -> None:
    """The repr says what is still to come."""
    weather = Weather.sequence([Fault.BOM, Fault.DRIP.with_(seconds=1)], only="sends")
    weather.draw("sends")
    text = "<Weather script=[Fault.DRIP.with_(seconds=1)] repeat=False faults=[] only='sends'>"
    assert repr(weather) == text


def test_fault_repr() -> None:
    """A fault shows as the expression that makes it."""
    fault = Fault.RATE_LIMITED.with_(retry_after=2, status=420)
    assert repr(fault) == "Fault.RATE_LIMITED.with_(status=420, retry_after=2)"
    assert repr(Fault.RATE_LIMITED) == "Fault.RATE_LIMITED"


def test_unknown_figure() -> None:
    """A figure that faults do not have is an error at once."""
    with pytest.raises(TypeError):
        Fault.DRIP.with_(pieces=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("fault", Fault.every(), ids=repr)
def test_faults_are_values(fault: Fault) -> None:
    """Faults pickle, copy, compare and hash."""
    assert pickle.loads(pickle.dumps(fault)) == copy.deepcopy(fault) == fault  # noqa: S301
    assert len({fault, copy.copy(fault), fault.with_(seconds=99)}) == 2
