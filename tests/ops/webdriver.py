"""A real Chromium, driven by Debian's chromedriver over the W3C's WebDriver protocol, as far as tests here need it."""

import base64
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx2

ENTER, ESCAPE, SPACE, TAB, RIGHT = "\ue007", "\ue00c", "\ue00d", "\ue004", "\ue014"

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--force-prefers-no-reduced-motion",
)
# A browser's start on a machine that does other things as well.
_PATIENCE_SECONDS = 60.0


class Browser:
    """One window."""

    def __init__(self, http: httpx2.Client, session: str) -> None:
        self._http = http
        self._session = session

    def go(self, url: str) -> None:
        """Load a page."""
        self._ask("url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function's body returns that runs in the page; it finds its arguments in `arguments`."""
        return self._ask("execute/sync", script=script, args=arguments)

    def until(self, script: str, *arguments: Any, seconds: float = 60.0) -> Any:
        """What an expression of the page is, once it is true of something."""
        return until(lambda: self.run(f"return {script}", *arguments), what=script, seconds=seconds)

    def text(self, selector: str) -> str:
        """What a reader sees of an element."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._ask("actions", actions=[{"type": "key", "id": "keyboard", "actions": strokes}])

    def write(self, text: str) -> None:
        """Type a text wherever the focus is."""
        self.press(*text)

    def click(self, selector: str) -> None:
        """Click on an element as a person does, which has to be there to be clicked on."""
        found = self._ask("element", using="css selector", value=selector)
        self._ask(f"element/{next(iter(found.values()))}/click")

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of the Chrome DevTools protocol."""
        return self._ask("goog/cdp/execute", cmd=command, params=parameters)

    def wear(self, scheme: str) -> None:
        """Have the system prefer `light` or `dark`."""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def size(self, width: int, height: int) -> None:
        """The viewport, in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.devtools("Emulation.setDeviceMetricsOverride", **metrics)

    def picture(self, path: pathlib.Path, *, whole: bool = True) -> None:
        """Write a screenshot; the `whole` page, or what is in view."""
        taken = self.devtools("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(taken["data"]))

    def complaints(self) -> list[str]:
        """What the console has had to say since it was asked last, and what a policy has kept from happening."""
        return [f"{entry['level']}: {entry['message']}" for entry in self._ask("se/log", type="browser")]

    def _ask(self, command: str, **body: Any) -> Any:
        reply = self._http.post(f"/session/{self._session}/{command}", json=body).json()["value"]
        assert not (isinstance(reply, dict) and "error" in reply), reply
        return reply


def until(condition: Callable[[], Any], *, what: str, seconds: float = 60.0) -> Any:
    """What a condition is, once it is true of something."""
    begun = time.monotonic()
    while not (value := condition()):
        assert time.monotonic() - begun < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return value


@contextlib.contextmanager
def chromium(directory: pathlib.Path, *more: str) -> Iterator[Browser]:
    """A browser of its own, with nothing in it; `directory` takes its files, `more` are arguments of Chromium's."""
    command = ["chromedriver", "--port=0"]
    # It and its browser are a group of their own, and gone together.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=directory, start_new_session=True) as driver:
        try:
            assert driver.stdout is not None
            port = next(found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line)))
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=_PATIENCE_SECONDS) as http:
                made = http.post("/session", json=_wanted(directory, more)).json()["value"]
                assert "sessionId" in made, made
                yield Browser(http, made["sessionId"])
                http.delete(f"/session/{made['sessionId']}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGKILL)


def _wanted(directory: pathlib.Path, more: Sequence[str]) -> dict[str, Any]:
    arguments = [*_ARGUMENTS, f"--user-data-dir={directory}/profile", *more]
    options = {"binary": "/usr/bin/chromium", "args": arguments}
    always = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    return {"capabilities": {"alwaysMatch": always}}
