"""What others can do to a mesh: callers who make names up, and other users of the host."""

import json
import os
import subprocess
import sys
from typing import Any

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.mesh.driver import Mesh, wait_until
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
        if number % 100 == 0:  # routers probe workers whom nobody asks for half a minute, which has series of its own
            echo.client.chat.completions.create(model="echo", messages=MESSAGES, user="somebody")
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


# What a database or a log might take for more than text. HTTP lets the first ones through in headers, JSON all of them.
ODD = [
    "'; DROP TABLE requests; --",
    "\"$1\" $$ E'\\'' %s {0} :a",
    "\\copy \\. \\N",
    "\x00\n\r\t\x1b[2J\u202e\U0001f600\ufffe'",
]


def test_what_looks_like_sql_is_text_in_every_field_that_reaches_the_database(echo: Mesh) -> None:
    bad = b'{"model": "echo", "user": "\xff\xfe\xed\xa0\x80", "messages": [{"role": "user", "content": "hi"}]}'
    address = f"http://127.0.0.1:{echo.port}/v1/chat/completions"
    assert echo.client._client.post(address, content=bad).status_code == 400
    labels = {}
    for odd in ODD:
        body = {"model": "echo", "user": odd, "messages": MESSAGES}
        told = {"x-hybrid-session": odd, "x-request-id": odd, "idempotency-key": odd.replace(" ", "_")}
        in_headers = {name: said for name, said in told.items() if said.isascii() and said.isprintable()}
        answer = echo.client._client.post(address, content=json.dumps(body), headers=in_headers)
        assert answer.status_code == 200, answer.text
        labels[answer.json()["id"].removeprefix("chatcmpl-")] = odd.replace("\0", "\ufffd")
        asked = {"model": odd, "messages": MESSAGES}
        assert echo.client._client.post(address, content=json.dumps(asked)).status_code == 404

    def arrived() -> bool:
        rows = echo.requests()
        told = {row["generation_id"]: row["user_label"] for row in rows}
        return labels.items() <= told.items() and set(labels.values()) <= {row["model"] for row in rows}

    wait_until(arrived, seconds=30)


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
