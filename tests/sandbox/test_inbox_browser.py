"""The inbox in a real browser: what people see, type and hear of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from anyio.from_thread import start_blocking_portal

from aldeamo_async import ApiError, AsyncBotsClient, DeliveryUnknown, Message, RetryPolicy
from aldeamo_async.sandbox import Fault, Sandbox, Weather, serve
from support.browser import Browser, browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

pytestmark = [pytest.mark.browser, pytest.mark.real_clock]

ANA, LUIS = "507000000001", "507000000002"
ROW = "#conversation-web-{}"
# Every role that a reader can do something with.
CONTROLS = {
    *("button", "checkbox", "combobox", "listbox", "option", "searchbox", "textbox"),
    *("form", "region", "link"),
}


class Desk:
    """A served sandbox, a real client of it, and a browser at its inbox."""

    def __init__(
        self, portal: BlockingPortal, sandbox: Sandbox, client: AsyncBotsClient, page: Browser
    ) -> None:
        self._portal = portal
        self._client = client
        self.sandbox = sandbox
        self.page = page

    def send(self, client_id: str, text: str, channel: str = "web") -> None:
        self._portal.call(self._client.send, channel, client_id, text)

    def messages(self, client_id: str) -> list[Message]:
        return self._portal.call(self._client.messages, "web", client_id)

    def title(self) -> str:
        return " ".join(self.page.text("#thread-title").split())

    def sees(self, css: str, text: str) -> None:
        self.page.wait(lambda: text in self.page.text(css), f"{text!r} in {css}")


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for the module: starting it takes a second or two."""
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def desk(window: Browser) -> Iterator[Desk]:
    sandbox = Sandbox()
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(sandbox)) as url,
        portal.wrap_async_context_manager(
            AsyncBotsClient("test-key", base_url=url, retry=RetryPolicy(attempts=1))
        ) as client,
    ):
        window.size(1280, 800)
        window.open(url.replace("/bots", "/"))
        desk = Desk(portal, sandbox, client, window)
        desk.sees("#link", "Live")
        yield desk
        assert window.console() == []
        window.open("about:blank")


def test_the_empty_page_says_what_to_do(desk: Desk) -> None:
    """Before the first message there are the settings and a command to copy."""
    assert desk.page.text("#guide-title") == "No messages yet"
    port = desk.page.run("return location.port")
    assert desk.page.text("#settings").splitlines() == [
        f"export ALDEAMO_BASE_URL=http://127.0.0.1:{port}/bots",
        "export ALDEAMO_API_KEY=test-key",
    ]
    assert desk.page.text("#command").startswith("aldeamo send web 507")
    desk.page.call("POST", "permissions", descriptor={"name": "clipboard-write"}, state="granted")
    desk.page.click("[data-copies=command]")
    desk.sees("[data-copies=command]", "Copied")


def test_a_message_arrives_and_is_answered(desk: Desk) -> None:
    """What the client sends appears by itself; what is written as the user, the client reads."""
    page = desk.page
    desk.send(ANA, "Hola Ana <b>&amp;</b>")
    desk.sees(ROW.format(ANA), "Hola Ana <b>&amp;</b>")
    desk.sees("#delivered", "1")
    desk.send(LUIS, "Hola Luis")
    desk.sees(ROW.format(LUIS), "1 new")
    assert f"Delivered to {LUIS} on web: Hola Luis" in page.run(
        "return document.getElementById('news').textContent"
    )
    page.run("document.getElementById('filter').focus()")
    page.press("ArrowDown")
    assert page.focused() == "conversations"
    page.press("ArrowDown", "ArrowDown")
    assert desk.title() == f"web {ANA}"
    assert page.texts("#messages .text") == ["Hola Ana <b>&amp;</b>"]
    page.press("Home")
    assert desk.title() == f"web {LUIS}"
    page.press("End", "Enter")
    assert (desk.title(), page.focused()) == (f"web {ANA}", "text")
    page.press(*"¿Y mi saldo?", "Enter")
    desk.sees("#messages li:last-child", "¿Y mi saldo?")
    assert desk.messages(ANA)[-1].text == "¿Y mi saldo?"
    assert page.run("return document.getElementById('text').value") == ""
    page.press("Escape")
    assert page.focused() == "conversations"
    page.press("Escape")
    assert page.text("#guide-title") == "Choose a conversation"


def test_a_new_user_writes_first(desk: Desk) -> None:
    """A conversation can be opened with anybody; on sms there is nobody who could write."""
    page = desk.page
    page.choose("#new-channel", "web")
    page.click("#new button")
    assert page.focused() == "text"
    page.press(*"Hola bot", "Enter")
    desk.sees("#messages", "Hola bot")
    assert desk.messages("573000000001")[-1].text == "Hola bot"
    desk.send("573000000002", "Su código es 4821", "sms")
    desk.sees("#conversations", "sms")
    page.click("#conversation-sms-573000000002")
    assert "Nobody can write on sms" in page.text("#composer-label")
    assert page.run("return document.getElementById('text').disabled")
    page.click("#filter")
    page.press(*"4821")
    assert len(page.texts("#conversations li:not([hidden])")) == 1


def test_the_weather_is_switched(desk: Desk) -> None:
    """A fault that is chosen meets the next send as it says, and a duplicate is loud."""
    page = desk.page
    page.choose("#weather", "STATUS_FALSE")
    page.wait(lambda: desk.sandbox.outlook() == ("STATUS_FALSE", True), "the fault is on")
    with pytest.raises(ApiError):
        desk.send(ANA, "Promo")
    page.click("#once")
    page.choose("#weather", "DROP_AFTER_EFFECT")
    page.wait(lambda: desk.sandbox.outlook() == ("DROP_AFTER_EFFECT", False), "once")
    assert page.run("return document.getElementById('alarm').hidden")
    with pytest.raises(DeliveryUnknown):
        desk.send(ANA, "Promo")
    page.wait(lambda: page.run("return document.getElementById('weather').value") == "calm", "over")
    desk.send(ANA, "Promo")
    desk.sees("#alarm", "1 duplicate: somebody got the same message twice.")
    desk.sees("#duplicates", "1")
    desk.sees("#faults", "2")
    page.click("#alarm-show")
    assert page.texts("#messages .twice") == ["▲ Duplicate: this client got this text before"]
    desk.sandbox.weather = Weather.sequence([Fault.BOM, Fault.DRIP])
    page.wait(lambda: "Mixed" in page.run("return weather.selectedOptions[0].label"), "mixed")


def test_memory_is_bounded(desk: Desk) -> None:
    """Past a thousand messages the oldest leave the page, with the conversations that end so."""
    desk.sandbox.say("web", ANA, "first of all")
    desk.sees("#conversations", "first of all")
    for number in range(1001):
        desk.sandbox.say("web", LUIS, f"number {number}")
    desk.sees("#conversations", "number 1000")
    assert len(desk.page.texts("#conversations li")) == 1
    desk.page.click(ROW.format(LUIS))
    assert desk.page.text("#thread-count") == "1,000 messages"
    assert len(desk.page.texts("#messages li")) == 1000
    desk.sandbox.say("web", LUIS, "the last")
    desk.sees("#messages li:last-child", "the last")
    assert len(desk.page.texts("#messages li")) == 1000


def test_it_comes_back_after_a_restart(desk: Desk) -> None:
    """When the sandbox ends the page says so, and starts afresh once another is there."""
    page = desk.page
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(serve(Sandbox())) as url:
            page.open(url.replace("/bots", "/inbox"))
            page.click("#new button")
            page.press(*"Hola", "Enter")
            desk.sees("#messages", "Hola")
        desk.sees("#link", "does not answer")
        port = urlsplit(url).port or 0
        with portal.wrap_async_context_manager(serve(Sandbox(), port=port)):
            desk.sees("#link", "Live")
            assert desk.title() == "whatsapp 573000000001"
            assert page.texts("#messages .text") == []
    page.open("about:blank")
    assert all("ERR_" in line for line in page.console())  # the browser tells that nobody answered


@pytest.mark.parametrize("width", [1280, 390])
def test_every_control_has_a_name(desk: Desk, width: int, tmp_path: Path) -> None:
    """A screen reader is told what each control is, nothing overflows, at any width."""
    page = desk.page
    page.size(width, 844)
    page.screenshot(tmp_path / f"{width}-empty.png")
    named = controls(page)
    desk.send(ANA, "Hola Ana, ¿en qué puedo ayudarte hoy?")
    desk.sandbox.say("web", ANA, "¿Cuál es mi saldo?")
    desk.sees(ROW.format(ANA), "saldo")
    page.screenshot(tmp_path / f"{width}-list.png")
    named |= controls(page)
    page.click(ROW.format(ANA))
    page.screenshot(tmp_path / f"{width}-thread.png")
    named |= controls(page)
    page.dark(True)
    page.screenshot(tmp_path / f"{width}-dark.png")
    page.dark(False)
    page.run("document.getElementById('text').focus()")
    page.press("Escape")
    assert page.focused() == "conversations"
    found = {role for role, _ in named}
    assert found >= CONTROLS - {"link"}
    assert [pair for pair in named if not pair[1]] == []


def controls(page: Browser) -> set[tuple[str, str]]:
    """The roles and names of what can be worked with; nothing is wider than the window."""
    widths = "[...document.querySelectorAll('html, main, .guide')].map((e) => e.scrollWidth)"
    assert page.run(f"return Math.max(...{widths}) <= innerWidth")
    nodes = [(node["role"]["value"], node) for node in page.accessibility_tree()]
    return {
        (role, node.get("name", {}).get("value", "").strip())
        for role, node in nodes
        if role in CONTROLS
    }
