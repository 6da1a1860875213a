"""One question, and what becomes of it."""

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from services.cli.chat import chat
from services.cli.problem import Problem
from services.cli.state import MeshState

CHUNK = (
    b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":%s}]}\n\n'
)


class Edge(http.server.BaseHTTPRequestHandler):
    """Breaks off in the middle of an answer, except for the model that it does not know."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        refused = b'"nope"' in body or b'"keyed"' in body
        if b'"keyed"' in body:
            said = json.dumps({"error": {"message": f"No key: {self.headers['authorization']}."}}).encode()
            self.send_response(401)
        elif b'"nope"' in body:
            said = b'{"error": {"message": "There is no such model.", "code": "model_not_found"}}'
            self.send_response(404)
        else:
            said = CHUNK % b'{"content":"half an"}'
            self.send_response(200)
        self.send_header("content-type", "application/json" if refused else "text/event-stream")
        self.send_header("content-length", str(len(said) + (not refused)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mesh() -> Iterator[MeshState]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Edge) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield MeshState(1, "ready", "", f"http://127.0.0.1:{server.server_address[1]}", (), None, ("m",))
        server.shutdown()
        thread.join()


def test_an_answer_that_breaks_off_is_not_taken_for_a_mesh_that_is_not_there(
    mesh: MeshState, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Problem, match="the connection broke before the answer was whole"):
        chat(mesh, "x", None)
    assert capsys.readouterr().out == "half an\n"


def test_a_refusal_is_told_in_the_meshs_own_words(mesh: MeshState, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Problem) as refused:
        chat(mesh, "x", "nope")
    assert str(refused.value) == "There is no such model."
    assert capsys.readouterr().out == ""


def test_the_key_of_the_environment_is_sent_and_named_where_it_is_refused(
    mesh: MeshState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_API_KEY", "hi_mine")
    with pytest.raises(Problem) as refused:
        chat(mesh, "x", "keyed")
    assert str(refused.value) == "No key: Bearer hi_mine. This command sends the one in HYBRID_API_KEY."
