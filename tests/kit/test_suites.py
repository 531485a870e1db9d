"""The test kit in suites of other people: each runner of async tests, and what each check reports.

Every inner suite is a pytest of its own, with warnings as errors.
"""

from __future__ import annotations

import textwrap
from importlib import metadata

import pytest

SUITE = """
import pytest

from aldeamo_async import DeliveryUnknown

{marks}


{anyio_fixture}


async def test_sends_and_reads(aldeamo_client, aldeamo_sandbox):
    user = (await aldeamo_client.users("whatsapp"))[0]
    await aldeamo_client.send("web", user.user_id, "Hola")
    assert [delivery.text for delivery in aldeamo_sandbox.deliveries] == ["Hola"]


@pytest.mark.aldeamo_faults("DROP_AFTER_EFFECT", None, only="sends")
async def test_faults(aldeamo_client, aldeamo_sandbox, assert_no_duplicates):
    with pytest.raises(DeliveryUnknown):
        await aldeamo_client.send("sms", "573000000001", "Hola")
    await aldeamo_client.send("sms", "573000000001", "Hola again")
    assert_no_duplicates()


@pytest.fixture
def greeter(aldeamo_client):
    async def greet(client_id):
        return await aldeamo_client.send("sms", client_id, "Hola")

    return greet


async def test_a_fixture_of_the_suite_has_the_client(greeter, aldeamo_no_network):
    assert (await greeter("573000000001")).message_id == "1"

"""

ANYIO = """
@pytest.fixture
def anyio_backend():
    return "{name}"
"""

# What each kind of suite writes: its ini, its marks, and a fixture that picks the loop.
RUNNERS = {
    "pytest-asyncio-strict": ("asyncio_mode = strict", "pytestmark = pytest.mark.asyncio", ""),
    "pytest-asyncio-auto": ("asyncio_mode = auto", "", ""),
    "pytest-asyncio-session-loop": (
        "asyncio_mode = auto\nasyncio_default_test_loop_scope = session",
        "",
        "",
    ),
    "anyio-asyncio": ("", "pytestmark = pytest.mark.anyio", ANYIO.format(name="asyncio")),
    "anyio-trio": ("anyio_mode = auto", "", ANYIO.format(name="trio")),
}


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """An empty suite, with warnings as errors."""
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers -p no:asyncio\n")
    return pytester


def run(suite: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    suite.makepyfile(textwrap.dedent(source))
    return suite.runpytest_inprocess("-p", "no:cacheprovider", *options)


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_fixtures_serve_every_runner(pytester: pytest.Pytester, runner: str) -> None:
    """The same tests pass under each plugin that runs async tests, and warn of nothing.

    A client, socket or loop left open would be an unraisable ResourceWarning, and so an error.
    """
    ini, marks, anyio_fixture = RUNNERS[runner]
    # pytest-asyncio asks every suite to choose; without it, the ini option would be unknown.
    scope = "asyncio_default_fixture_loop_scope = function" if "asyncio_mode" in ini else ""
    off = "" if scope else "-p no:asyncio"
    pytester.makeini(
        f"[pytest]\nfilterwarnings = error\naddopts = --strict-markers {off}\n{ini}\n{scope}\n"
    )
    result = run(pytester, SUITE.format(marks=marks, anyio_fixture=anyio_fixture))
    result.assert_outcomes(passed=3)


def test_each_check_reports_what_it_caught(suite: pytest.Pytester) -> None:
    """A double send, a hidden call to the outside, and a script without a sandbox fail by name."""
    result = run(
        suite,
        """
        import contextlib
        import socket

        import anyio
        import pytest

        from aldeamo_async import DeliveryUnknown


        @pytest.mark.aldeamo_faults("DROP_AFTER_EFFECT")
        def test_double(aldeamo_client, assert_no_duplicates):
            async def naive():
                try:
                    await aldeamo_client.send("sms", "573000000001", "Hola")
                except DeliveryUnknown:
                    await aldeamo_client.send("sms", "573000000001", "Hola")

            anyio.run(naive)
            assert_no_duplicates()


        @pytest.mark.usefixtures("aldeamo_no_network")
        def test_hidden_call():
            with contextlib.suppress(BaseException):
                socket.create_connection(("192.0.2.1", 443), timeout=0.1)


        @pytest.mark.aldeamo_faults("DROP_AFTER_EFFECT")
        def test_script_for_nobody():
            pass


        @pytest.mark.aldeamo_faults("DROP_AFTER_EFECT")
        def test_typo(aldeamo_sandbox):
            pass
        """,
    )
    # The hidden call passes its test, and is an error of the guard that stands behind it.
    result.assert_outcomes(passed=1, failed=1, errors=3)
    lines = [
        "*AssertionError: 1 of 2 deliveries repeat an earlier one.",
        "*2 times: <Delivery 1 sms ****01 4 characters at=*>, again at *",
        "*This test tried to*192.0.2.1*only loopback is allowed*",
        "*aldeamo_faults has no effect here*",
        "*Did you mean DROP_AFTER_EFFECT?*",
    ]
    for line in lines:
        result.stdout.fnmatch_lines([line])


def test_a_marker_on_a_module_suits_whoever_has_a_sandbox(suite: pytest.Pytester) -> None:
    """Tests of a module in bad weather need not all use a sandbox; the nearest script counts."""
    result = run(
        suite,
        """
        import anyio
        import pytest

        from aldeamo_async import ApiError

        pytestmark = pytest.mark.aldeamo_faults("STATUS_FALSE", repeat=True)


        def test_plain():
            pass


        def test_without_a_loop(aldeamo_client):
            assert "new" in repr(aldeamo_client)


        def test_refused(aldeamo_client):
            with pytest.raises(ApiError):
                anyio.run(aldeamo_client.send, "sms", "573000000001", "Hola")


        @pytest.mark.aldeamo_faults(None)
        def test_calm(aldeamo_client):
            anyio.run(aldeamo_client.send, "sms", "573000000001", "Hola")
        """,
    )
    result.assert_outcomes(passed=4)


def test_pytest_starts_without_the_library(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No conftest, and no test that uses no fixture of ours, finds more loaded than the kit."""
    (entry,) = metadata.entry_points(group="pytest11", name="aldeamo")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others load attrs and httpx
    suite.makepyfile(
        look="""
        import sys


        def loaded():
            mine = {name for name in sys.modules if name.startswith("aldeamo_async")}
            kit = {name for name in mine if name.startswith("aldeamo_async.pytest_plugin")}
            return mine - kit | {"attrs", "httpx"} & set(sys.modules)
        """
    )
    suite.makeconftest("from look import loaded\nassert loaded() == {'aldeamo_async'}\n")
    suite.makepyfile(
        """
        from look import loaded


        def test_plain():
            assert loaded() == {"aldeamo_async"}


        def test_later(aldeamo_sandbox):
            assert "aldeamo_async.sandbox" in loaded()
        """
    )
    # In a process of its own, where nobody has imported anything yet.
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", "-p", entry.value)
    result.assert_outcomes(passed=2)


def test_the_fixtures_explain_themselves(suite: pytest.Pytester) -> None:
    """`pytest --fixtures` lists the kit, each with a line of what it is."""
    result = run(suite, "", "--fixtures", "-q")
    for name in ("aldeamo_sandbox", "aldeamo_client", "aldeamo_server", "aldeamo_no_network"):
        result.stdout.fnmatch_lines([f"{name} -- *", "    [A-Z]*."], consecutive=True)
