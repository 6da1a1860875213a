"""The page at the edge in a real Chromium, over a mesh of echo workers."""

import asyncio
import itertools
import pathlib
import re
import struct
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import pytest

from services.cli import requests, running
from services.cli.home import Home
from services.gateway.identity.credential import Credential
from services.gateway.identity.peppers import Peppers
from tests.gateway.identity.keys import insert, made
from tests.mesh.driver import Mesh, mesh
from tests.ops.webdriver import ENTER, ESCAPE, RIGHT, SPACE, TAB, Browser, chromium, until

pytestmark = [pytest.mark.ops, pytest.mark.slow]

CONFIG = """
gateway: {drain_seconds: 1, show_worker: true}
access: {keyless: false}
providers:
  local: {kind: echo, workers: 2, token_ms: 50, capacity: 8, drain_seconds: 1}
  poor: {kind: echo, failure_rate: 1, drain_seconds: 1}
  endless: {kind: echo, first_token_ms: 1, token_ms: 1000, drain_seconds: 1}
models:
  - name: chat
    strategy: adaptive
    routes: [{provider: local, price: {input: 1, output: 2}}]
  - name: failing
    routes: [{provider: poor}]
  - name: slow
    routes: [{provider: endless}]
"""
WORDS = "red orange yellow green blue indigo violet " * 6
# WCAG 2.2, 1.4.3.
LEAST_CONTRAST = 4.5
SEEN = "document.querySelector(arguments[0]).checkVisibility()"
ENDLESS = "document.querySelector('#workers tr[data-key=endless-0]').cells[3].innerText"


class Keyed:
    """A mesh, and a key of it for everything."""

    def __init__(self, behind: Mesh) -> None:
        self.mesh = behind
        self.url = f"http://127.0.0.1:{behind.port}"
        self._dsn = requests.dsn_of(running.required(Home(behind.home)))
        self._peppers = Peppers.of_file(behind.home / "pepper.key")
        self.whole = self.key("generate", "models", "explain", "overview")

    def key(self, *scopes: str, owner: str = "callers", models: Sequence[str] = ()) -> Credential:
        """A new key."""
        row = {"owner": owner, "scopes": list(scopes), "models": list(models)}
        return asyncio.run(insert(self._dsn, made(), peppers=self._peppers, **row))

    def complete(self, text: str = "one two three", *, key: Credential | None = None, **more: Any) -> httpx2.Response:
        """The answer to a chat; by the key for everything unless told otherwise."""
        body = {"model": "chat", "messages": [{"role": "user", "content": text}], **more}
        url = f"{self.mesh.base_url}/chat/completions"
        return httpx2.post(url, json=body, headers=authorized(key or self.whole), timeout=60)


def authorized(key: Credential) -> dict[str, str]:
    return {"authorization": f"Bearer {key.text()}"}


def identity(reply: httpx2.Response) -> str:
    """The id of the generation that an answer was."""
    return str(reply.json()["id"]).removeprefix("chatcmpl-")


@pytest.fixture(scope="module")
def keyed() -> Iterator[Keyed]:
    """One mesh for all; no test harms it."""
    with mesh(CONFIG) as behind:
        yield Keyed(behind)


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    """A browser that all tests share; each loads the page anew."""
    with tempfile.TemporaryDirectory(prefix="page-") as directory, chromium(pathlib.Path(directory)) as browser:
        yield browser


@pytest.fixture
def page(keyed: Keyed, window: Browser) -> Iterator[Browser]:
    """The page, as somebody sees it who may see everything; it may not have had anything to complain of."""
    shown(window, keyed, keyed.whole)
    window.until("document.querySelectorAll('#workers tr').length === 4")
    yield window
    assert window.complaints() == []


def shown(window: Browser, keyed: Keyed, key: Credential | None) -> None:
    """Load the page, with nothing that an earlier test has left, and that key."""
    window.wear("light")
    window.size(1500, 1000)
    window.go(f"{keyed.url}/page/style.css")
    window.run("sessionStorage.clear(); localStorage.clear()")
    if key:
        window.run("sessionStorage.setItem('hybrid-key', arguments[0])", key.text())
    window.complaints()
    window.go(f"{keyed.url}/")


def choose(page: Browser, model: str) -> None:
    page.run("document.getElementById('model').value = arguments[0]", model)


def watch_answers(page: Browser) -> None:
    """Keep every state of the conversation that was there to be seen."""
    page.run(
        "globalThis.seen = [];"
        "const log = document.getElementById('log');"
        "const look = () => seen.push([...log.querySelectorAll('.assistant .text')].at(-1)?.textContent ?? '');"
        "new MutationObserver(look).observe(log, {childList: true, subtree: true, characterData: true})"
    )


def test_workers_models_and_processes_are_there_and_the_page_says_that_it_is_live(page: Browser) -> None:
    assert page.until("document.getElementById('live').dataset.state === 'live'")
    assert page.run("return [...document.querySelectorAll('#workers b')].map(b => b.textContent)") == [
        "endless-0", "local-0", "local-1", "poor-0"
    ]  # fmt: skip
    assert "4 of 4" in page.text("#tiles")
    assert "$1.00" in page.text("#models")
    assert "$2.00" in page.text("#models")
    states = page.run(
        "return Object.fromEntries([...document.querySelectorAll('#processes li')]"
        ".map(li => [li.querySelector('.name').textContent, li.querySelector('.state').innerText.trim()]))"
    )
    assert states["envoy"] == states["gateway"] == states["router"] == "serving"
    assert states["local-0"] == "healthy"
    assert states["loader"] == states["admin"] == "not watched"


def test_a_request_appears_with_who_served_it_and_opens_to_why_it_went_there(page: Browser, keyed: Keyed) -> None:
    reply = keyed.complete()
    row = f"#requests tr[data-key='{identity(reply)}']"
    page.until("document.querySelector(arguments[0])", row)
    text = page.text(row)
    assert reply.headers["x-hybrid-worker"] in text
    assert "adaptive" in text
    assert "success" in text
    page.click(f"{row} button")
    detail = page.text(f"#requests tr[data-key='detail {identity(reply)}']")
    assert identity(reply) in detail
    assert "of 2 could" in detail
    assert "uncached_tokens" in detail
    assert page.run("return document.querySelector(arguments[0]).ariaExpanded", f"{row} button") == "true"
    # A poll that comes meanwhile leaves what is open, and the focus, as they are.
    keyed.complete()
    page.until("document.querySelector('#requests tr').dataset.key !== arguments[0]", identity(reply))
    assert page.run("return document.activeElement.closest('tr').dataset.key") == identity(reply)
    assert page.run(
        "return document.querySelector(arguments[0]) !== null", f"#requests tr[data-key='detail {identity(reply)}']"
    )


def test_an_answer_is_seen_to_grow_and_says_where_it_came_from(page: Browser) -> None:
    watch_answers(page)
    page.click("#question")
    page.write(WORDS)
    page.press(ENTER)
    page.until("document.getElementById('chat-state').textContent === 'Answered.'")
    states = [state for state in dict.fromkeys(page.run("return seen")) if state]
    assert len(states) > 5, "it came in one piece"
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(states))
    assert states[-1].split() == WORDS.split()
    assert re.search(r"local-\d · \d+ tokens · first after .+ · done in ", page.text("#log .meta"))
    page.click("#log .meta button")
    page.until("document.querySelector('#requests tr.detail')")
    assert page.run("return document.activeElement.className") == "open"


def test_an_answer_that_is_stopped_ends_at_the_worker_too_and_the_next_one_is_whole(page: Browser) -> None:
    choose(page, "slow")
    page.click("#question")
    page.write("one two three four five six seven eight nine ten")
    page.press(ENTER)
    page.until("document.querySelector('#log .assistant .text').textContent")
    page.until(f"{ENDLESS} === '1'")
    page.click("#stop")
    page.until("document.querySelector('#log .meta')?.textContent.startsWith('Stopped by you.')")
    page.until("[...document.querySelectorAll('#requests tr')].some(r => /slow.*cancelled/s.test(r.innerText))")
    page.until(f"{ENDLESS} === '0'")
    choose(page, "chat")
    page.click("#question")
    page.write("again")
    page.press(ENTER)
    page.until("document.getElementById('chat-state').textContent === 'Answered.'")


def test_a_failure_is_told_in_words_here_and_in_the_list(page: Browser) -> None:
    choose(page, "failing")
    page.click("#question")
    page.write("hello")
    page.press(ENTER)
    page.until("document.getElementById('chat-state').textContent === 'Not answered.'")
    assert "failed" in page.run("return document.querySelector('#log .assistant').className")
    assert len(page.text("#log .meta")) > 10
    page.until("[...document.querySelectorAll('#requests tr')].some(r => r.querySelector('.state[data-state=bad]'))")
    assert [each for each in page.complaints() if " 5" not in each] == [], "the answer itself was a 5xx, no more"


def test_where_a_message_would_go_is_told_without_sending_it(page: Browser, keyed: Keyed) -> None:
    before = page.run("return document.querySelectorAll('#requests tr').length")
    page.click("#question")
    page.write("a question")
    page.click("#explain")
    page.until("document.querySelector('#log .explained table')")
    told = page.text("#log .explained")
    assert "It would be placed now." in told
    assert "local-0" in told
    assert "local-1" in told
    assert page.run("return document.getElementById('question').value") == "a question"
    assert page.run("return document.querySelectorAll('#requests tr').length") == before


def test_all_of_it_is_done_with_the_keyboard(page: Browser, keyed: Keyed) -> None:
    keyed.complete()
    page.until("document.querySelector('#requests tr')")
    focus = "return document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
    page.press(TAB)
    assert page.run(focus) == "skip", "the first stop leads past everything"
    assert page.run("return document.activeElement.getBoundingClientRect().height") > 20, (
        "and is seen while it has the focus"
    )
    stops = []
    while "question" not in stops:
        page.press(TAB)
        stops.append(page.run(focus))
        assert page.run("return document.activeElement.matches(':focus-visible')"), stops
        assert len(stops) < 150, stops
    assert {"key", "open", "model", "log"} <= set(stops)
    page.write("by hand")
    page.press(ENTER)
    page.until("document.getElementById('chat-state').textContent === 'Answered.'")
    page.run("document.querySelector('#requests button').focus()")
    page.press(SPACE)
    page.until("document.querySelector('#requests tr.detail')")
    page.run("document.querySelector('#theme input:checked').focus()")
    page.press(RIGHT)
    assert page.run("return document.documentElement.dataset.theme") == "light"
    choose(page, "slow")
    page.run("document.getElementById('question').focus()")
    page.write("one two three four five six seven eight")
    page.press(ENTER)
    page.until("!document.getElementById('stop').disabled")
    page.press(ESCAPE)
    page.until("document.getElementById('chat-state').textContent === 'Stopped.'")


def luminance(colour: str) -> float:
    """WCAG's, of `rgb(r, g, b)`."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("scheme", "width"), [("light", 1500), ("dark", 1500), ("light", 390), ("dark", 390)])
def test_light_dark_and_narrow_are_legible_and_nothing_sticks_out(
    page: Browser, keyed: Keyed, tmp_path: pathlib.Path, scheme: str, width: int
) -> None:
    keyed.complete()
    page.wear(scheme)
    page.size(width, 900)
    page.until("document.querySelector('#requests tr')")
    page.click("#requests button")
    assert page.run("return document.documentElement.scrollWidth <= innerWidth"), "tables scroll by themselves"
    page.picture(tmp_path / f"{scheme}-{width}.png")
    taken = (tmp_path / f"{scheme}-{width}.png").read_bytes()
    assert struct.unpack(">II", taken[16:24])[0] >= width - 20
    ground = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (luminance(ground) > 0.5) == (scheme == "light")
    # Every text that is seen, by the colours of itself and of what is behind it.
    pairs = page.run(
        """
        const seen = new Map();
        for (const node of document.querySelectorAll('body *')) {
          const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
          const box = node.getBoundingClientRect();
          if (!own || box.width < 2 || node.disabled || !node.checkVisibility({visibilityProperty: true})) continue;
          let behind = node, ground;
          do { ground = getComputedStyle(behind).backgroundColor; behind = behind.parentElement; }
          while (behind && /, 0(\\.\\d+)?\\)$/.test(ground));
          const colour = getComputedStyle(node).color;
          seen.set(`${colour} ${ground}`, [colour, ground, node.textContent.trim().slice(0, 40)]);
        }
        return [...seen.values()];
        """
    )
    assert len(pairs) > 5
    for colour, behind, text in pairs:
        high, low = sorted((luminance(colour), luminance(behind)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= LEAST_CONTRAST, (text, colour, behind)


def test_what_a_screen_reader_needs_is_there(page: Browser) -> None:
    unnamed = page.run(
        """
        const kinds = 'input, select, textarea, button, [role=region], [role=log], section, aside';
        return [...document.querySelectorAll(kinds)]
          .filter((node) => node.checkVisibility())
          .filter((node) => !node.ariaLabel && !node.hasAttribute('aria-labelledby'))
          .filter((node) => !node.textContent.trim() && !node.labels?.length)
          .map((node) => node.outerHTML.slice(0, 80));
        """
    )
    assert unnamed == []
    for landmark in ("header", "main", "aside", "h1", "[role=log][aria-live=polite]", "[role=status]"):
        assert page.run("return document.querySelectorAll(arguments[0]).length", landmark) >= 1, landmark
    tree = page.devtools("Accessibility.getFullAXTree")["nodes"]
    names = {(node["role"]["value"], node.get("name", {}).get("value")) for node in tree if not node["ignored"]}
    assert {("main", "Mesh"), ("complementary", "Chat"), ("log", "Conversation"), ("textbox", "Your message")} <= names


def test_a_page_that_is_hidden_asks_nothing_and_one_that_hears_nothing_says_so(page: Browser, keyed: Keyed) -> None:
    asked = "return performance.getEntriesByType('resource').filter(e => e.name.includes('overview')).length"
    page.run(
        "Object.defineProperty(document, 'hidden', {get: () => globalThis.away ?? false});"
        "globalThis.away = true; document.dispatchEvent(new Event('visibilitychange'))"
    )
    before = page.run(asked)
    page.run("return new Promise((resolve) => setTimeout(resolve, 2500))")
    assert page.run(asked) <= before + 1, "one may have been under way"
    page.devtools("Network.enable")
    page.devtools(
        "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    try:
        page.run("globalThis.away = false; document.dispatchEvent(new Event('visibilitychange'))")
        page.until("document.getElementById('live').dataset.state === 'stale'")
        assert "does not answer" in page.until("document.getElementById('notice').innerText")
        assert page.run("return document.querySelectorAll('#workers tr').length") == 4, "what was heard stays"
    finally:
        page.devtools(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
    page.until("document.getElementById('live').dataset.state === 'live'")
    assert all("ERR_INTERNET_DISCONNECTED" in each for each in page.complaints())


def test_a_stranger_sees_counts_a_key_its_own_and_one_for_the_overview_everything(
    window: Browser, keyed: Keyed
) -> None:
    mine, others = keyed.key(owner="me", models=["chat"]), keyed.key(owner="they")
    theirs, own = identity(keyed.complete(key=others)), identity(keyed.complete(key=mine))
    shown(window, keyed, None)
    window.until("document.querySelector('#tiles .tile')")
    assert "4 of 4" in window.text("#tiles")
    assert "answers with keys" in window.text("#notice")
    for section in ("#workers-section", "#models-section", "#requests-section", "#processes-section", "#chat"):
        assert not window.run(f"return {SEEN}", section), section
    use(window, mine)
    window.until("document.querySelector('#requests tr')")
    assert window.run("return [...document.querySelectorAll('#requests tr')].map(r => r.dataset.key)") == [own]
    assert window.run("return [...document.querySelectorAll('#model option')].map(o => o.value)") == ["chat"]
    assert not window.run(f"return {SEEN}", "#workers-section")
    use(window, keyed.key("overview", "models", owner="operator"))
    window.until("document.querySelectorAll('#workers tr').length === 4")
    for each in (own, theirs):
        window.until("document.querySelector(arguments[0])", f"#requests tr[data-key='{each}']")
    assert window.complaints() == []
    use(window, made())
    assert not window.run(f"return {SEEN}", "#workers-section"), "what another key was told is gone at once"
    window.until("document.getElementById('notice').innerText.includes('is not valid')")
    kept = window.run("return [{...sessionStorage}, {...localStorage}, document.cookie]")
    assert list(kept[0]) == ["hybrid-key"], "in this tab alone"
    assert kept[1:] == [{}, ""]
    assert all(" 401 " in each for each in window.complaints())


def use(window: Browser, key: Credential) -> None:
    """Enter a key as a person does."""
    window.click("#key")
    window.write(key.text())
    window.press(ENTER)
    until(lambda: window.run("return document.getElementById('key').value") == "", what="the key is taken")


def test_nothing_of_what_was_said_is_told(page: Browser, keyed: Keyed) -> None:
    secret = "the-words-of-a-caller"
    done = identity(keyed.complete(secret, user=secret))
    page.until("document.querySelector(arguments[0])", f"#requests tr[data-key='{done}']")
    page.click(f"#requests tr[data-key='{done}'] button")
    told = httpx2.get(f"{keyed.url}/api/v1/overview", headers=authorized(keyed.whole)).text
    assert done in told
    assert secret not in told
    assert secret not in page.run("return document.documentElement.outerHTML")
