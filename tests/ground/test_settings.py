"""Unit tests of what a client is told once."""

from __future__ import annotations

import math
import pickle
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import httpx
import pytest

from aldeamo_async import Dialect, Secret, Settings, Timeouts, UsageError
from aldeamo_async._settings import as_secret, as_timeouts, is_loopback


def test_a_secret_shows_nothing() -> None:
    """A secret has no readable form but `reveal()`."""
    secret = Secret("test-key")
    assert f"{secret} {secret!r} {[secret]}".count("test-key") == 0
    assert secret.reveal() == "test-key"


def test_secrets_compare_by_value() -> None:
    """Two secrets with the same text are equal, hash alike, and are no text."""
    assert Secret("test-key") == Secret("test-key")
    assert hash(Secret("test-key")) == hash(Secret("test-key"))
    assert Secret("test-key") != Secret("\ud83d")
    assert Secret("test-key") != "test-key"
    assert Secret("test-key")
    assert not Secret("")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_settings_pickle(protocol: int) -> None:
    """Settings cross to a worker process with key, dialect and times."""
    settings = Settings("test-key", Dialect(server_tz="America/Bogota"), 5, 7)
    assert pickle.loads(pickle.dumps(settings, protocol)) == settings  # noqa: S301


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("", "empty"),
        (" ", "empty"),
        (None, "must be text, not NoneType"),
        (b"test-key", "must be text, not bytes"),
        (" test-key", "white space"),
        ("test-key\n", "white space"),
        ("test\x00key", "control"),
    ],
)
def test_a_key_that_cannot_be_one_is_refused(key: Any, what: str) -> None:
    """A key that is empty, no text, or came with its surroundings is refused, and not quoted."""
    with pytest.raises(UsageError, match=what) as caught:
        Settings(key)
    assert "test" not in str(caught.value)


def test_a_secret_is_taken_as_it_is() -> None:
    """A key may come as a `Secret`."""
    secret = Secret("test-key")
    assert as_secret(secret) is secret


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (None, Timeouts(5, 30, 10)),
        (2, Timeouts(2, 2, 2)),
        (2.5, Timeouts(2.5, 2.5, 2.5)),
        (math.inf, Timeouts(math.inf, math.inf, math.inf)),
        (Timeouts(1, 2, 3), Timeouts(1, 2, 3)),
        (httpx.Timeout(1, connect=2), Timeouts(2, 1, 1)),
        (httpx.Timeout(None), Timeouts(None, None, None)),
    ],
    ids=str,
)
def test_a_timeout_comes_in_many_forms(given: Any, taken: Timeouts) -> None:
    """Seconds, an `httpx.Timeout` or `Timeouts` are seconds for each phase."""
    assert as_timeouts(given) == taken


@pytest.mark.parametrize("wrong", [0, -1, math.nan, True, "5", (1, 2), httpx.Timeout(0)], ids=str)
def test_a_timeout_is_above_zero(wrong: Any) -> None:
    """A time that is no number above zero is refused when it is given."""
    with pytest.raises(UsageError, match=r"timeout\.connect must be a number of seconds above 0"):
        as_timeouts(wrong)


def test_time_that_is_left_bounds_every_phase() -> None:
    """`within` keeps the phases and sets the bound over all of them."""
    assert Timeouts(1, 2, 3).within(0.5) == Timeouts(1, 2, 3, 0.5)


@pytest.mark.parametrize("wrong", [0, -1, math.nan, True, "5", None])
def test_a_deadline_is_above_zero(wrong: Any) -> None:
    """A deadline that is no number above zero is refused when it is given."""
    with pytest.raises(UsageError, match="deadline must be a number of seconds above 0"):
        Settings("test-key", deadline=wrong)


def test_settings_take_a_dialect_alone() -> None:
    """A dialect given as anything else is a mistake at start-up."""
    with pytest.raises(TypeError, match="dialect"):
        Settings("test-key", dialect={})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("switch", "wrong", "what"),
    [
        ("auth_in", "body", "must be one of params, query, header"),
        ("post_encoding", "xml", "must be one of form, json, query"),
        ("auth_name", "", "a plain name"),
        ("auth_name", "auth key", "a plain name"),
        ("auth_name", "ñ", "a plain name"),
        ("auth_name", None, "a plain name"),
        ("auth_name", "msg", "a parameter of the API already"),
        ("strict_envelope", 1, "True or False"),
        ("max_response_bytes", 0, "whole number above 0"),
        ("max_response_bytes", 1.5, "whole number above 0"),
        ("max_text_length", True, "whole number above 0"),
        ("server_tz", "Bogota", "such as 'America/Bogota'"),
        ("server_tz", "America", "such as 'America/Bogota'"),
        ("server_tz", "", "such as 'America/Bogota'"),
        ("server_tz", "../etc", "such as 'America/Bogota'"),
        ("server_tz", 5, "such as 'America/Bogota'"),
        ("base_url", 5, "must be text, not int"),
    ],
)
def test_a_switch_is_checked_when_it_is_set(switch: str, wrong: Any, what: str) -> None:
    """A switch that cannot work names itself and says what would."""
    with pytest.raises(UsageError, match=f"{switch}.*{what}"):
        Dialect(**{switch: wrong})


def test_every_flag_is_checked() -> None:
    """Each switch that is on or off refuses anything else."""
    flags = [field.name for field in attrs.fields(Dialect) if isinstance(field.default, bool)]
    assert len(flags) == 5
    for flag in flags:
        with pytest.raises(UsageError, match=f"{flag} must be True or False"):
            Dialect(**{flag: "yes"})


def test_a_zone_may_be_a_name_or_an_object() -> None:
    """`server_tz` takes what Python knows as a zone."""
    assert Dialect(server_tz="America/Bogota").server_tz == ZoneInfo("America/Bogota")
    assert Dialect(server_tz=UTC).server_tz is UTC


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("apibot.aldeamo.com/bots", "must begin with https://"),
        ("ftp://tenant.example", "must begin with https://"),
        ("https://", "must begin with https://"),
        ("", "must begin with https://"),
        ("https://tenant.example/?auth=test-key", "no query"),
        ("https://tenant.example/?", "no query"),
        ("https://tenant.example/#top", "no query"),
        ("https://ana:test-key@tenant.example", "no query"),
        ("https://@tenant.example", "no query"),
        ("https://tenant.example:99999", "its host and port"),
        ("https://tenant.example:test-key", "its host and port"),
        ("https://[::1", "its host and port"),
        ("https://tenant.example/a b", "white space"),
        ("https://tenant.example/\n", "white space"),
        ("https://tenant.example\\@test-key", "backslash"),
        ("http://tenant.example", "in the clear"),
        ("http://127.0.0.1.tenant.example", "in the clear"),
        ("HTTP://tenant.example", "in the clear"),
    ],
)
def test_a_base_url_that_could_not_work_is_refused(url: str, what: str) -> None:
    """A base URL that is wrong, or not safe, says why and is not quoted."""
    with pytest.raises(UsageError, match=what) as caught:
        Dialect(base_url=url)
    assert "test-key" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("api.localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("tenant.example", False),
        ("localhost.example", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback_is_this_machine_alone(host: str, loopback: bool) -> None:
    """Only a host that cannot be another machine is loopback."""
    assert is_loopback(host) is loopback
