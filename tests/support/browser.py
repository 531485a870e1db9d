"""A real browser for tests: Chromium, driven over the WebDriver protocol (W3C) by plain HTTP.

Rule: nothing is downloaded; the browser and its driver come with the machine, and a test that
finds none fails and says what to install.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from support.visitors import TLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    "Chromium and its driver are not installed; on Debian: "
    "apt-get install --no-install-recommends chromium chromium-driver"
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--lang=en",
)
# The names of keys in WebDriver.
KEYS = {
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Home": "\ue011",
    "End": "\ue010",
    "ArrowUp": "\ue013",
    "ArrowDown": "\ue015",
    "Tab": "\ue004",
}
# How long a page may take to show what it was told; only there so that nothing hangs for ever.
PATIENCE_SECONDS = 10.0

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id, fixed by W3C


class Browser:
    """One window, with what a reader does in it."""

    def __init__(self, driver: httpx.Client, session: str) -> None:
        self._driver = driver
        self._session = session

    def call(self, method: str, path: str, **content: Any) -> Any:
        body = content if method == "POST" else None
        answer = self._driver.request(method, f"/session/{self._session}/{path}", json=body)
        found = answer.json()["value"]
        assert answer.is_success, f"{method} {path}: {found}"
        return found

    def cdp(self, command: str, **params: Any) -> Any:
        """Call the DevTools protocol."""
        return self.call("POST", "goog/cdp/execute", cmd=command, params=params)

    def open(self, url: str) -> None:
        self.call("POST", "url", url=url)

    def run(self, script: str, *args: Any) -> Any:
        return self.call("POST", "execute/sync", script=script, args=list(args))

    def text(self, css: str) -> str:
        """The text that is shown there, "" where nothing is."""
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", css)

    def texts(self, css: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)"
        return self.run(script, css)

    def click(self, css: str) -> None:
        self.call("POST", f"element/{self._find(css)}/click")

    def press(self, *keys: str) -> None:
        """Type into whatever has the focus: names of keys, or text."""
        strokes = "".join(KEYS.get(key, key) for key in keys)
        actions = [{"type": t, "value": s} for s in strokes for t in ("keyDown", "keyUp")]
        typing = {"type": "key", "id": "keyboard", "actions": actions}
        self.call("POST", "actions", actions=[typing])

    def choose(self, css: str, value: str) -> None:
        """Choose an option of a select, as a click on it does."""
        self.click(f'{css} option[value="{value}"]')

    def focused(self) -> str:
        return self.run("return document.activeElement.id")

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.cdp("Emulation.setDeviceMetricsOverride", **metrics)

    def dark(self, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("GET", "screenshot")))

    def accessibility_tree(self) -> list[dict[str, Any]]:
        """The nodes that a screen reader is told of."""
        self.cdp("Accessibility.enable")
        nodes = self.cdp("Accessibility.getFullAXTree")["nodes"]
        return [node for node in nodes if not node["ignored"]]

    def console(self) -> list[str]:
        """Errors and warnings since the last time."""
        found = self.call("POST", "se/log", type="browser")
        return [line["message"] for line in found if line["level"] in ("SEVERE", "WARNING")]

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait until the page has caught up."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < end, f"{what}: {self.text('body')}"
            time.sleep(0.02)

    def _find(self, css: str) -> str:
        return self.call("POST", "element", using="css selector", value=css)[_ELEMENT]


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A fresh browser with an empty profile, ended afterwards with all its processes."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    assert program, MISSING
    assert driver, MISSING
    with (
        subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True) as process,
        httpx.Client(timeout=60, transport=httpx.HTTPTransport(verify=TLS)) as client,
    ):
        try:
            client.base_url = f"http://127.0.0.1:{_port_of(process)}"
            flags = [*FLAGS, f"--user-data-dir={profile}"]
            options = {"binary": program, "args": flags}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            asked = {"capabilities": {"alwaysMatch": wanted}}
            answer = client.post("/session", json=asked).json()["value"]
            assert "sessionId" in answer, json.dumps(answer)
            session = answer["sessionId"]
            yield Browser(client, session)
            client.delete(f"/session/{session}")
        finally:
            process.terminate()


def _port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"started successfully on port (\d+)", line):
            return int(found[1])
    raise AssertionError("chromedriver ended before it listened")
