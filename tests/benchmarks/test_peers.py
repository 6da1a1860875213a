"""That every peer is pinned, told where to ask, and ended with its children; running them is the measurement's part."""

import http.server
import json
import os
import pathlib
import re
import sys
import threading
from collections.abc import Iterator

import pytest

from benchmarks.peers import litellm, portkey, smg, vllm_router
from benchmarks.peers.process import PeerError, serving
from benchmarks.peers.table import PEERS
from benchmarks.system import free_port
from services.cli.setup.lockfile import requirements, version

ROOT = pathlib.Path(__file__).parents[2]
LOCKS = ROOT / "requirements/peers"
NPM = ROOT / "benchmarks/peers/portkey"


@pytest.mark.parametrize("name", ["litellm", "vllm-router", "smg"])
def test_a_peer_of_pypi_is_pinned_with_the_hashes_of_all_that_it_needs(name: str) -> None:
    pins = requirements(LOCKS / f"{name}.lock")
    assert all("--hash=sha256:" in pin for pin in pins.values())
    asked = [line for line in (LOCKS / f"{name}.in").read_text().splitlines() if "==" in line]
    assert [line.replace("[proxy]", "") for line in asked] == [f"{name}=={version(pins[name])}"]


def test_the_peer_of_npm_is_pinned_with_the_hashes_of_all_that_it_needs() -> None:
    asked = json.loads((NPM / "package.json").read_text())
    packages = json.loads((NPM / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["dependencies"] == asked["dependencies"]
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    found = {name: packages[f"node_modules/{name}"]["version"] for name in (portkey.PACKAGE, *asked["overrides"])}
    assert found == {**asked["dependencies"], **asked["overrides"]}


def test_every_lock_belongs_to_a_peer_and_nothing_of_ours_is_in_it() -> None:
    assert {path.stem for path in LOCKS.glob("*.lock")} | {"portkey"} == set(PEERS)
    for path in LOCKS.glob("*.in"):
        assert not [line for line in path.read_text().splitlines() if line.startswith("-")]


def test_the_versions_of_peers_in_the_documents_are_those_of_the_locks() -> None:
    readme = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| [^|]+ \| (?:PyPI|npm) `([\w@/-]+)` \| ([\d.]+) \|", readme, re.MULTILINE))
    assert told.pop(portkey.PACKAGE) == json.loads((NPM / "package.json").read_text())["dependencies"][portkey.PACKAGE]
    assert told == {lock.stem: version(requirements(lock)[lock.stem]) for lock in LOCKS.glob("*.lock")}


def test_every_peer_is_told_where_to_ask_and_what_it_is_asked_for() -> None:
    (model,) = json.loads(litellm.config(4000, "some"))["model_list"]
    assert model["model_name"] == "some"
    assert model["litellm_params"]["model"] == "openai/some"
    assert model["litellm_params"]["api_base"] == "http://127.0.0.1:4000/v1"
    assert "http://127.0.0.1:4000" in vllm_router.command(1, 2, 4000)
    assert "grpc://127.0.0.1:4000" in smg.command(1, 2, "grpc://127.0.0.1:4000")
    assert portkey.headers(4000)["x-portkey-custom-host"] == "http://127.0.0.1:4000/v1"


def test_every_peer_listens_where_it_is_told() -> None:
    for command in (litellm.command(7001, "file"), vllm_router.command(7001, 2, 3), smg.command(7001, 2, "http://h:3")):
        assert command[command.index("--host") + 1] == "127.0.0.1"
        assert command[command.index("--port") + 1] == "7001"
    assert "--port=7001" in portkey.command(7001)


@pytest.fixture
def health() -> Iterator[str]:
    """An address that answers 200."""

    class Well(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Well) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def test_a_peer_ends_with_its_children(health: str, tmp_path: pathlib.Path) -> None:
    # The child holds the writing end of the pipe: reading ends when it is gone.
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    script = f"exec 3> {fifo}; sleep 1000 & wait"
    with serving(["sh", "-c", script], health=health) as pid:
        reading = fifo.open("rb")
        assert os.getpgid(pid) == pid
    with reading:
        assert reading.read() == b""


def test_a_peer_that_does_not_come_up_says_why() -> None:
    nobody = f"http://127.0.0.1:{free_port()}/"
    with (
        pytest.raises(PeerError, match=r"ended with 3(?s:.*)no such thing"),
        serving([sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"], health=nobody),
    ):
        pass
