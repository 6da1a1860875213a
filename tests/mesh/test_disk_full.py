"""A home whose disk is full: refusals that say so, no answer cut short, no row lost, and service once there is room."""

import collections
import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.mesh.driver import Mesh, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.edge,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]

CONFIG = """
gateway: {drain_seconds: 2}
providers:
  echo: {kind: echo, workers: 1, token_ms: 10, drain_seconds: 2}
models:
  - name: echo
    routes: [{provider: echo}]
"""
QUESTION = "one two three four five six seven eight"


@pytest.fixture
def small() -> Iterator[Mesh]:
    """A mesh on a disk of its own."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="hi-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=110m", "tmpfs", str(home)], check=False)
    if mounted.returncode != 0:
        home.rmdir()
        pytest.skip("nothing can be mounted here")
    running = Mesh(home, CONFIG)
    try:
        running.up()
        yield running
    finally:
        running.client.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.hybrid("down", timeout=60)
        for process in running.processes():
            process.kill()
        subprocess.run(["umount", "--lazy", str(home)], check=True)
        home.rmdir()


class Callers:
    """Some clients who ask all the time; `ends` counts what became of it."""

    def __init__(self, mesh: Mesh) -> None:
        self.ends: collections.Counter[str] = collections.Counter()
        self._mesh = mesh
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(bool(number % 2),)) for number in range(6)]

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, streamed: bool) -> None:
        while not self._over.is_set():
            end = self._streamed() if streamed else self._whole()
            self.ends[end] += 1
            if end != "whole":
                self._over.wait(0.1)

    def _whole(self) -> str:
        try:
            answer = self._create(stream=False)
        except openai.APIStatusError as error:
            return f"{error.status_code} {error.code}"
        return "whole" if answer.choices[0].message.content == QUESTION else "cut"

    def _streamed(self) -> str:
        text, reason = "", None
        try:
            for chunk in self._create(stream=True):
                text += chunk.choices[0].delta.content or ""
                reason = chunk.choices[0].finish_reason or reason
        except openai.APIStatusError as error:
            return f"{error.status_code} {error.code}"
        return "whole" if (text, reason) == (QUESTION, "stop") else "cut"

    def _create(self, *, stream: bool) -> Any:
        messages: Any = [{"role": "user", "content": QUESTION}]
        return self._mesh.client.chat.completions.create(model="echo", messages=messages, stream=stream)


def fill(path: pathlib.Path) -> None:
    """Leave not a byte."""
    for size in (1 << 20, 1 << 12, 1):
        with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
            while True:
                file.write(b"x" * size)


def test_a_full_disk_refuses_and_recovers(small: Mesh) -> None:
    ballast = small.home / "ballast"
    refused = "503 service_unavailable"
    with Callers(small) as callers:
        wait_until(lambda: callers.ends["whole"] >= 30, seconds=20)
        fill(ballast)
        wait_until(lambda: callers.ends[refused] >= 30, seconds=30)
        ballast.unlink()
        answered = callers.ends["whole"]
        wait_until(lambda: callers.ends["whole"] >= answered + 30, seconds=30)
    assert set(callers.ends) == {"whole", refused}, callers.ends
    wait_until(lambda: len(rows(small)) >= callers.ends["whole"], seconds=30)
    assert {row["outcome"] for row in rows(small)} == {"success"}
    assert len(rows(small)) == callers.ends["whole"]
    assert all(process["restarts"] == 0 for process in small.status()["mesh"]["processes"])


def rows(mesh: Mesh) -> list[dict[str, Any]]:
    """All rows: there are fewer than the most that can be asked for."""
    found: list[dict[str, Any]] = json.loads(mesh.hybrid("requests", "--json", "--limit", "1000").stdout)
    return found
