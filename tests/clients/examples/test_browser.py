"""Pages in a real Chromium: the example over gRPC-Web, OpenAI's SDK, and one of an origin that is not let in."""

import contextlib
import functools
import http.server
import json
import pathlib
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.examples.conftest import Ledger, Run
from tests.mesh.driver import ROOT, Mesh

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(240)]  # a browser on a loaded machine

CLIENTS = ROOT / "tests" / "clients"
WORDS = 3 * ["red", "orange", "yellow", "green", "blue", "indigo", "violet"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Tells nobody who asked for what."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def served(directory: pathlib.Path) -> Iterator[int]:
    """The port of 127.0.0.1 at which the files of a directory are."""
    handler = functools.partial(Quiet, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def site(run: Run, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The example's page, built, and one with OpenAI's SDK."""
    directory = tmp_path_factory.mktemp("site")
    run("npm", "run", "build", "--prefix", "examples/browser")
    for name in ("index.html", "page.js"):
        shutil.copy(ROOT / "examples/browser/site" / name, directory)
    esbuild = CLIENTS / "node_modules/.bin/esbuild"
    run(esbuild, CLIENTS / "browser/openai.js", "--bundle", "--format=esm", f"--outfile={directory}/openai.js")
    (directory / "openai.html").write_text('<!doctype html><script type="module" src="openai.js"></script>')
    return directory


@pytest.fixture(scope="module")
def seen(run: Run, demo: Mesh, site: pathlib.Path) -> dict[str, Any]:
    """What a reader saw, page by page, and what the ledger says of it."""
    ledger = Ledger(demo)
    mesh = f"http://127.0.0.1:{demo.port}"
    with served(site) as port:
        pages = [f"http://127.0.0.1:{port}", f"http://foreign.localhost:{port}"]
        said = run("node", CLIENTS / "browser/drive.mjs", *pages, mesh, seconds=100)
    found: dict[str, Any] = json.loads(said.text)
    found["ledger"] = ledger.outcomes(10)
    found["users"] = {row["user_label"] for row in demo.requests()}
    return found


def test_text_comes_into_the_page_as_it_is_made(seen: dict[str, Any]) -> None:
    answer = seen["answer"]
    assert (answer["answer"], answer["end"]) == (" ".join(WORDS), "21 tokens")
    grown = [" ".join(WORDS[:number]) for number in range(1, 22)]
    assert [text for text in answer["texts"] if text not in grown] == []
    assert len(set(answer["texts"])) >= 3  # of 21, should the browser be late


def test_the_page_is_told_why_a_call_failed_and_when_to_come_back(seen: dict[str, Any]) -> None:
    assert seen["unknown"]["end"] == "NotFound, MODEL_NOT_FOUND, model=no-such-model"
    assert seen["busy"]["end"] == "Unavailable, ACCOUNTING_UNAVAILABLE, retry after 1500 ms"


def test_a_deadline_of_the_page_ends_the_stream(seen: dict[str, Any]) -> None:
    late = seen["deadline"]
    assert late["end"].startswith("DeadlineExceeded")
    assert late["answer"].startswith("Count")
    assert not late["answer"].endswith("200")


def test_stopping_ends_the_work_behind_the_mesh(seen: dict[str, Any]) -> None:
    stopped = seen["stopped"]
    assert stopped["end"] == "stopped"
    assert stopped["answer"].startswith("Count")
    assert not stopped["answer"].endswith("200")
    assert seen["ledger"][4] == ("inference", "cancelled", True)


def test_openais_sdk_works_in_a_page(seen: dict[str, Any]) -> None:
    found = seen["openai"]
    assert (found["models"], found["whole"], found["vectors"]) == (["echo"], "one two three", [8, 8])
    assert len([piece for piece in found["pieces"] if piece]) >= 3  # of 21
    assert "".join(found["pieces"]) == " ".join(WORDS)
    assert (found["unknown"]["name"], found["unknown"]["code"]) == ("NotFoundError", "model_not_found")
    # Headers that only a page sees to which they are exposed.
    assert found["unknown"]["id"]
    assert (found["busy"]["status"], found["busy"]["after"]) == (503, "2")


def test_a_page_of_a_foreign_origin_is_refused_and_nothing_is_done_for_it(seen: dict[str, Any]) -> None:
    assert seen["foreign"]["end"] == "Unknown: Failed to fetch"
    assert seen["foreign"]["answer"] == ""
    assert any("blocked by CORS policy" in line for line in seen["foreign"]["said"])
    assert seen["sent"] == ["opaque", "TypeError", "TypeError"]  # what was sent without asking, and with
    assert [api for api, _, _ in seen["ledger"]] == ["inference"] * 5 + ["openai"] * 5
    assert seen["users"] == {None}
