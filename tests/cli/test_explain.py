"""`hybrid explain`: what is asked of the edge, and how it is shown."""

import http.server
import io
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from services.cli import explain
from services.cli.problem import Problem
from services.cli.state import MeshState

TOLD = {
    "object": "explanation", "model": "m[b]", "fate": "placed", "strategy": "adaptive", "targets": 3, "eligible": 2,
    "ahead": 0, "config_version": "abc", "error": None,
    "candidates": [
        {"provider": "local", "model": "smol", "role": "primary", "worker": "local-0", "ruled_out_by": None,
         "score": 0.12345678, "terms": {"running": 3.0, "first_content_seconds": 0.25}},
        {"provider": "vendor", "model": "big", "role": "fallback", "ruled_out_by": "max_cost", "score": None,
         "terms": {}},
    ],
}  # fmt: skip


class Edge(http.server.BaseHTTPRequestHandler):
    """Says what it was told to, and keeps what it is asked."""

    asked: list[tuple[str, dict[str, str], dict[str, Any]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, dict(self.headers.items()), body))
        refused = body.get("model") == "nope"
        said = json.dumps({"error": {"message": "There is no such model."}} if refused else TOLD).encode()
        self.send_response(404 if refused else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mesh() -> Iterator[MeshState]:
    Edge.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Edge) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield MeshState(1, "ready", "", f"http://127.0.0.1:{server.server_address[1]}", (), None, ("m",))
        server.shutdown()
        thread.join()


def shown(told: dict[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    console.print(explain.rendered(told))
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_body_and_hints_reach_the_edge(mesh: MeshState) -> None:
    wanted = explain.Wanted("s", ("eu", "fast"), "0.5", 1500, "sheddable", "local-0")
    assert explain.explain(mesh, {"model": "m", "prompt": "x"}, wanted) == TOLD
    ((path, headers, body),) = Edge.asked
    assert (path, body) == ("/v1/explain", {"model": "m", "prompt": "x"})
    assert {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-hybrid-")} == {
        "x-hybrid-session": "s",
        "x-hybrid-tags": "eu,fast",
        "x-hybrid-max-cost-usd": "0.5",
        "x-hybrid-first-content-slo-ms": "1500",
        "x-hybrid-criticality": "sheddable",
        "x-hybrid-worker": "local-0",
    }


def test_what_is_not_wanted_is_not_said(mesh: MeshState) -> None:
    explain.explain(mesh, {"model": "m"}, explain.Wanted())
    assert not [name for name in Edge.asked[0][1] if name.lower().startswith("x-hybrid-")]


def test_a_refusal_is_told_in_the_meshs_own_words(mesh: MeshState) -> None:
    with pytest.raises(Problem, match="There is no such model"):
        explain.explain(mesh, {"model": "nope"}, explain.Wanted())


def test_a_question_or_a_body_is_asked_of_the_model_that_is_named(tmp_path: pathlib.Path) -> None:
    messages = [{"role": "user", "content": "hi"}]
    assert explain.asked("hi", None, None, "d") == {"model": "d", "messages": messages}
    assert explain.asked("hi", None, "m", "d") == {"model": "m", "messages": messages}
    file = tmp_path / "body.json"
    file.write_text('{"model": "own", "prompt": "x"}')
    assert explain.asked(None, file, None, "d") == {"model": "own", "prompt": "x"}
    assert explain.asked(None, file, "m", "d") == {"model": "m", "prompt": "x"}


def test_neither_both_nor_nonsense_is_asked(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "body.json"
    file.write_text("[1]")
    for question, path in ((None, None), ("hi", file), (None, file), (None, tmp_path / "none")):
        with pytest.raises(Problem) as caught:
            explain.asked(question, path, None, "d")
        assert caught.value.code == 2
    assert str(caught.value).endswith("none: cannot be read: No such file or directory")


def test_candidates_are_shown_with_terms_or_with_what_rules_them_out() -> None:
    lines = shown(TOLD)
    assert lines[0] == "m[b]: it would be placed on the first of these"
    assert lines[1] == "adaptive, 2 of 3 eligible; configuration abc"
    assert lines[3] == "local-0 local smol primary 0.1235 first_content_seconds 0.25, running 3"
    assert lines[4] == "- vendor big fallback - max_cost"


def test_waits_and_refusals_are_told() -> None:
    assert shown(TOLD | {"fate": "waiting", "ahead": 4})[0] == "m[b]: it would wait, behind 4 others"
    nothing = {"targets": 0, "candidates": [], "fate": "refused", "error": {"message": "There is \x1b[31mno model."}}
    assert shown(TOLD | nothing) == ["m[b]: it would be refused: There is \ufffd[31mno model.", "configuration abc"]
