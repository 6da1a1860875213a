"""The whole mesh with echo workers, as a new user meets it."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from services.cli import lock
from services.cli.home import Home

CLONE = pathlib.Path(__file__).parents[2]
SECONDS = 90.0

pytestmark = [pytest.mark.slow, pytest.mark.edge]


def hybrid(home: Home, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments, "--home", str(home.path)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{CLONE}:{CLONE / 'gen'}"},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@contextlib.contextmanager
def demo(home: Home) -> Iterator[str]:
    """A running mesh; what its start has printed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    try:
        yield hybrid(home, "demo", "--detach", "--port", str(port))
    finally:
        hybrid(home, "down")


def status(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hybrid(home, "status", "--json"))
    return found


def processes(home: Home) -> list[str]:
    found = subprocess.run(["pgrep", "-af", str(home.path)], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


def groups(home: Home) -> list[int]:
    return [process["pid"] for process in status(home)["mesh"]["processes"] if process["pid"]]


def nothing_is_left(home: Home, edge: str, leaders: list[int]) -> None:
    assert lock.released(home, SECONDS)
    assert processes(home) == []
    assert [pid for pid in leaders if pathlib.Path(f"/proc/{pid}").exists()] == []
    assert list(home.run.iterdir()) == []
    kept = ["admin.key", "logs", "pepper.key", "postgres", "run", "spool", "tenant.key"]
    assert sorted(entry.name for entry in home.path.iterdir()) == kept
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{edge}/healthz", timeout=5)


def test_the_printed_examples_work_and_nothing_is_left_after_down(home: Home) -> None:
    with demo(home) as printed:
        assert printed.endswith(f"`hybrid down --home {home.path}` stops it.\n\n")
        for line in (line for line in printed.splitlines() if line.startswith("  ")):
            answer = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=SECONDS, check=True)
            assert "France?" in answer.stdout
        assert hybrid(home, "chat", "the quick brown fox") == "the quick brown fox\n"
        found = status(home)
        assert found["ready"]
        assert [worker["health"] for worker in found["workers"]] == ["healthy", "healthy"]
        edge, leaders = found["mesh"]["edge"], groups(home)
        worker = pathlib.Path(f"/proc/{found['workers'][0]['pid']}/environ").read_text().split("\0")
        assert f"TMPDIR={home.run / 'tmp'}" in worker
        assert not home.log("envoy-access").stat().st_mode & 0o077
        until = time.monotonic() + SECONDS
        while len(rows := json.loads(hybrid(home, "requests", "--json"))) < 4 and time.monotonic() < until:
            pass
        assert [row["outcome"] for row in rows] == ["success"] * 4
    nothing_is_left(home, edge, leaders)


def test_a_running_answer_is_whole_when_the_mesh_is_stopped_meanwhile(home: Home) -> None:
    with demo(home):
        body = {
            "model": "echo",
            "stream": True,
            "messages": [{"role": "user", "content": "x"}],
            "echo": {"tokens": 100, "token_ms": 30},
        }
        request = urllib.request.Request(
            f"{status(home)['mesh']['edge']}/v1/chat/completions", json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            first = answer.readline()
            assert hybrid(home, "down") == "stopped\n"
            events = [line for line in (first, *answer) if line.startswith(b"data: ")]
        assert events[-1] == b"data: [DONE]\n"
        assert len(events) > 100


def test_a_mesh_whose_supervisor_is_killed_leaves_nothing_and_keeps_its_ledger(home: Home) -> None:
    with demo(home):
        hybrid(home, "chat", "one")
        edge, leaders = status(home)["mesh"]["edge"], groups(home)
        pid = lock.written_pid(home)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        nothing_is_left(home, edge, leaders)
    with demo(home):
        until = time.monotonic() + SECONDS
        while not json.loads(hybrid(home, "requests", "--json")):
            assert time.monotonic() < until
