"""What others can do to a mesh: callers who make names up, and other users of the host."""

import json
import os
import subprocess
import sys
from typing import Any

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.mesh.driver import Mesh
from tests.mesh.scrape import exposition

pytestmark = [pytest.mark.slow, pytest.mark.edge]

PROCESSES = ("gateway", "router", "echo-0", "echo-1", "loader")
MESSAGES: Any = [{"role": "user", "content": "hello"}]
# Becomes somebody else, who might not be let in to the interpreter itself. Reads every file that it is told of by name,
# and knocks at every socket; prints where it got in.
STRANGER = """
import json, os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for path in json.load(sys.stdin):
    try:
        open(path, "rb").read(1)
        print("read", path)
    except OSError:
        pass
    with socket.socket(socket.AF_UNIX) as knocking:
        try:
            knocking.connect(path)
            print("connected", path)
        except OSError:
            pass
"""


def series(mesh: Mesh) -> set[tuple[str, str, str]]:
    """Every time series of every process."""
    return {
        (process, sample.name, json.dumps(sample.labels, sort_keys=True))
        for process in PROCESSES
        for family in text_string_to_metric_families(exposition(mesh, process))
        for sample in family.samples
    }


def test_a_thousand_invented_names_add_no_time_series(echo: Mesh) -> None:
    def ask(number: int) -> None:
        name = f"invented-{number}" if number % 2 else f"in\"vented'\\\n\x00\x1b{{{number}}}"
        with pytest.raises(openai.NotFoundError):
            echo.client.chat.completions.create(model=name, messages=MESSAGES)

    for _ in range(20):  # until both workers have served, which adds what they tell
        echo.client.chat.completions.create(model="echo", messages=MESSAGES, user="somebody")
    for number in range(2):  # the first of their kind add the series of their outcome
        ask(number)
    before = series(echo)
    for number in range(1000):
        ask(number)
    for number in range(20):
        echo.client.chat.completions.create(
            model="echo",
            messages=MESSAGES,
            user=f"invented-{number}",
            extra_headers={"x-request-id": f"invented-{number}"},
        )
    # Histograms and counters of Python's own may come to life meanwhile; none of them is about requests.
    grown = {one for one in series(echo) - before if one[1].startswith(("hybrid_", "grpc_"))}
    assert not grown
    assert not [one for one in before | grown if "vented" in one[2]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_of_the_host_gets_nowhere(echo: Mesh) -> None:
    echo.client.chat.completions.create(model="echo", messages=MESSAGES)
    # The configuration is the user's own file: its mode is theirs to choose.
    paths = [str(path) for path in echo.home.rglob("*") if path != echo.config]
    assert len([path for path in paths if path.endswith(".sock")]) >= 9
    assert any(".s.PGSQL." in path for path in paths)
    assert any(path.endswith("envoy-access.log") for path in paths)
    tried = subprocess.run(
        [sys.executable, "-I", "-S", "-c", STRANGER],
        input=json.dumps(paths),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (tried.returncode, tried.stderr) == (0, "")
    assert [line for line in tried.stdout.splitlines() if not line.endswith("supervisor.pid")] == []


def test_nothing_secret_is_in_an_argument(echo: Mesh) -> None:
    words = [word for process in echo.processes() for word in process.cmdline()]
    assert any(word.startswith("postgresql://") for word in words), "the embedded server's, which has no password"
    assert not [word for word in words if "password" in word.lower() or "api_key" in word.lower()]
