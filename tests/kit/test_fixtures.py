"""The test kit as this suite itself meets it: its fixtures are installed here too."""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aldeamo_async import (
    AsyncBotsClient,
    DeliveryUnknown,
    Dialect,
    NotSent,
    Outgoing,
    Sent,
    UsageError,
)
from aldeamo_async.pytest_plugin import assert_no_duplicates as no_duplicates_in
from aldeamo_async.pytest_plugin._fixtures import client_of, fault_of, make_sandbox
from aldeamo_async.sandbox import Fault, Sandbox, Weather
from support.clients import PHONE, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from aldeamo_async.pytest_plugin import NetworkGuard


# ── sandbox and client ──


async def test_a_client_talks_to_the_sandbox_of_the_test(
    aldeamo_client: AsyncBotsClient, aldeamo_sandbox: Sandbox
) -> None:
    """What the client sends is in the delivery log of the test's own sandbox."""
    receipt = await aldeamo_client.send("sms", PHONE, TEXT)
    assert receipt.message_id == "1"
    assert [delivery.text for delivery in aldeamo_sandbox.deliveries] == [TEXT]


async def test_the_next_test_starts_afresh(
    aldeamo_client: AsyncBotsClient, aldeamo_sandbox: Sandbox
) -> None:
    """No delivery and no count of another test is left."""
    assert (aldeamo_sandbox.delivered, aldeamo_client.stats().sent) == (0, 0)


async def test_a_client_may_be_closed_by_its_test(aldeamo_client: AsyncBotsClient) -> None:
    """Code under test that closes the client it was given does no harm."""
    async with aldeamo_client:
        assert len(await aldeamo_client.users("web")) == 25


async def test_a_client_does_not_outlive_its_test() -> None:
    """Once the fixture has ended, the client says that it is closed."""
    with client_of(Sandbox(), "test-key", {}) as client:
        await client.send("sms", PHONE, TEXT)
    with pytest.raises(UsageError, match="closed"):
        await client.send("sms", PHONE, "again")


@pytest.mark.aldeamo_faults("CONNECTION_REFUSED", Fault.RATE_LIMITED.with_(retry_after=0), None)
async def test_a_marker_scripts_the_faults(
    aldeamo_client: AsyncBotsClient, aldeamo_sandbox: Sandbox
) -> None:
    """Names and faults are played in turn, and a send gets through between them."""
    receipt = await aldeamo_client.send("sms", PHONE, TEXT)
    assert [attempt.status for attempt in receipt.attempts] == [None, 429, 200]
    assert aldeamo_sandbox.faults == {"CONNECTION_REFUSED": 1, "RATE_LIMITED": 1}


@pytest.mark.aldeamo_faults("HANG_AFTER_EFFECT", only="sends", repeat=True)
async def test_the_marker_takes_the_options_of_a_sequence(
    aldeamo_client: AsyncBotsClient, aldeamo_sandbox: Sandbox
) -> None:
    """Reads are left alone, every send hangs, and its fate is unknown though it arrived."""
    assert await aldeamo_client.users("web")
    for text in ("one", "two"):
        with pytest.raises(DeliveryUnknown):
            await aldeamo_client.send("sms", PHONE, text)
    assert aldeamo_sandbox.delivered == 2


@pytest.mark.aldeamo_faults("CONNECTION_REFUSED", repeat=True)
async def test_the_test_client_does_not_idle_between_attempts(
    aldeamo_client: AsyncBotsClient,
) -> None:
    """There is no back-off in the tests of a user; the number of attempts is production's."""
    with pytest.raises(NotSent) as caught:
        await aldeamo_client.send("sms", PHONE, TEXT)
    assert [attempt.waited for attempt in caught.value.attempts] == [0.0] * 4


class TestOptions:
    """Both options fixtures, overridden as a user does it."""

    @pytest.fixture
    def aldeamo_sandbox_options(self) -> dict[str, Any]:
        """Another key, and users by the handful."""
        return {"api_key": "another-key", "users_per_channel": 3}

    @pytest.fixture
    def aldeamo_client_options(self) -> dict[str, Any]:
        """A dialect with a base URL of its own."""
        return {"dialect": Dialect(base_url="https://tenant.invalid/api"), "deadline": 5}

    async def test_options_reach_sandbox_and_client(self, aldeamo_client: AsyncBotsClient) -> None:
        """The client has the sandbox's key, and its own settings."""
        assert len(await aldeamo_client.users("web")) == 3
        assert "tenant.invalid" in repr(aldeamo_client)

    def test_the_environment_has_the_sandboxes_key(
        self, aldeamo_env: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An application that reads its key from the environment finds the right one."""
        answer = httpx.get(f"{aldeamo_env}/users", params={"auth": "another-key", "channel": "web"})
        assert len(answer.json()["data"]) == 3


# ── the marker, misused ──


def test_a_misspelt_fault_is_found_out() -> None:
    """The error names the fault that was meant."""
    with pytest.raises(UsageError, match="Did you mean RATE_LIMITED"):
        fault_of("rate-limted")


def test_a_list_of_faults_is_refused() -> None:
    """The error shows how to write them one after the other."""
    with pytest.raises(UsageError, match=r"not in a list: aldeamo_faults\(\*\['BAD_GATEWAY'\]\)"):
        fault_of(["BAD_GATEWAY"])


def test_what_is_no_fault_is_refused() -> None:
    """A status code is no fault, and the error says where the faults are listed."""
    with pytest.raises(UsageError, match=r"500 is none\. Fault\.every"):
        fault_of(500)


def test_a_marker_without_faults_is_refused() -> None:
    """An empty script would be calm weather under a stormy name."""
    with pytest.raises(UsageError, match="at least one"):
        make_sandbox(pytest.mark.aldeamo_faults().mark, {})


def test_a_marker_with_a_wrong_option_is_refused() -> None:
    """The options are those of a sequence, and the error says which."""
    with pytest.raises(UsageError, match=r"repeat= and only=; not seed="):
        make_sandbox(pytest.mark.aldeamo_faults("BOM", seed=1).mark, {})


# ── the socket ──


@pytest.mark.real_clock
@pytest.mark.aldeamo_faults("DROP_AFTER_EFFECT", only="sends")
async def test_an_app_finds_the_served_sandbox_in_the_environment(
    aldeamo_env: str, aldeamo_server: str, aldeamo_sandbox: Sandbox
) -> None:
    """A client made from the environment meets the same sandbox, script and all, on a socket."""
    assert aldeamo_env == aldeamo_server
    async with AsyncBotsClient.from_env() as client:
        with pytest.raises(DeliveryUnknown):
            await client.send("sms", PHONE, TEXT)
        await client.send("sms", PHONE, "another")
    assert [delivery.text for delivery in aldeamo_sandbox.deliveries] == [TEXT, "another"]


@pytest.mark.real_clock
def test_a_missing_extra_is_named(
    aldeamo_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra `sandbox`, the error says what to install."""
    from aldeamo_async.pytest_plugin._fixtures import served

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "aldeamo_async.sandbox._server", raising=False)
    monkeypatch.delattr("aldeamo_async.sandbox._server", raising=False)
    with pytest.raises(ImportError, match=r"aldeamo-async\[sandbox\]"), served(aldeamo_sandbox):
        raise AssertionError("it was served")


# ── duplicates ──


async def naive_send(client: AsyncBotsClient, text: str) -> None:
    """What an application must not do."""
    try:
        await client.send("sms", PHONE, text)
    except DeliveryUnknown:
        await client.send("sms", PHONE, text)


@pytest.mark.aldeamo_faults("DROP_AFTER_EFFECT")
async def test_a_retry_after_unknown_is_caught(
    aldeamo_client: AsyncBotsClient, assert_no_duplicates: Callable[[], None]
) -> None:
    """The assertion fails, and says who got how many, without the whole number or the text."""
    assert_no_duplicates()
    await naive_send(aldeamo_client, TEXT)
    with pytest.raises(AssertionError) as caught:
        assert_no_duplicates()
    told = str(caught.value)
    assert told.startswith("1 of 2 deliveries repeat an earlier one.\n  2 times: <Delivery 1 sms")
    assert PHONE not in told
    assert TEXT not in told


@pytest.mark.aldeamo_faults("DROP_AFTER_EFFECT", None, repeat=True)
async def test_a_long_list_of_duplicates_is_cut(
    aldeamo_client: AsyncBotsClient, aldeamo_sandbox: Sandbox
) -> None:
    """Ten are shown, the rest are counted."""
    for number in range(12):
        await naive_send(aldeamo_client, f"Hola {number}")
    with pytest.raises(AssertionError, match="12 of 24") as caught:
        no_duplicates_in(aldeamo_sandbox)
    assert str(caught.value).count("2 times") == 10
    assert "and 2 more messages" in str(caught.value)


@pytest.mark.parametrize("options", [{"keep_deliveries": False}, {"detect_duplicates": False}])
async def test_duplicates_are_found_in_a_log_that_keeps_less(options: dict[str, bool]) -> None:
    """Counts without deliveries are enough, and so are deliveries without counts."""
    sandbox = Sandbox(**options, weather=Weather.sequence([Fault.DROP_AFTER_EFFECT]))
    with client_of(sandbox, "test-key", {}) as client:
        await naive_send(client, TEXT)
    with pytest.raises(AssertionError, match="1 of 2"):
        no_duplicates_in(sandbox)


# ── the network ──


def test_the_guard_is_on(aldeamo_no_network: NetworkGuard) -> None:
    """A far address is refused, and the test may look at what was."""
    with pytest.raises(AssertionError, match="only loopback"):
        httpx.get("http://192.0.2.1")
    assert len(aldeamo_no_network.refused) == 1
    aldeamo_no_network.refused.clear()


async def test_a_bulk_run_of_the_kit_sends_each_message_once(
    aldeamo_client: AsyncBotsClient,
    aldeamo_sandbox: Sandbox,
    assert_no_duplicates: Callable[[], None],
) -> None:
    """In rough weather every message has its outcome, and none arrives twice."""
    aldeamo_sandbox.weather = Weather.rough(seed=3)
    source = (Outgoing("sms", f"5730000000{n:02}", f"Hola {n}") for n in range(100))
    async with aldeamo_client.send_many(source, concurrency=10) as outcomes:
        found = [outcome async for outcome in outcomes]
    assert len(found) == 100
    assert sum(isinstance(outcome, Sent) for outcome in found) <= aldeamo_sandbox.delivered
    assert_no_duplicates()


def test_the_kit_s_assertion_pickles() -> None:
    """It can be handed to a process pool."""
    assert pickle.loads(pickle.dumps(no_duplicates_in)) is no_duplicates_in  # noqa: S301
