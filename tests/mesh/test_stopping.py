"""Nothing is left of a mesh that has ended, however it ended; and meshes do not disturb each other."""

import os
import signal

import pytest

from tests.mesh.conftest import ECHO
from tests.mesh.driver import mesh, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.edge]

MESSAGES = [{"role": "user", "content": "still here"}]


def test_two_meshes_side_by_side_both_answer_and_end_apart() -> None:
    with mesh(ECHO) as first, mesh(ECHO) as second:
        for one in (first, second):
            answer = one.client.chat.completions.create(model="echo", messages=MESSAGES)
            assert answer.choices[0].message.content == "still here"
        first.down()
        assert first.processes() == []
        assert not first.listening()
        assert list((first.home / "run").glob("**/*")) == []
        assert not (first.home / "supervisor.pid").exists()
        answer = second.client.chat.completions.create(model="echo", messages=MESSAGES)
        assert answer.choices[0].message.content == "still here"
        assert first.hybrid("down").returncode == 0, "stopping twice is no mistake"


def test_a_killed_supervisor_leaves_nothing() -> None:
    with mesh(ECHO) as running:
        before = running.client.chat.completions.create(model="echo", messages=MESSAGES).id.removeprefix("chatcmpl-")
        running.row_of(before)
        supervisor = int((running.home / "supervisor.pid").read_text())
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: running.processes() == [], seconds=30)
        assert not running.listening()
        assert list((running.home / "run").glob("**/*.sock")) == []
        running.up()
        answer = running.client.chat.completions.create(model="echo", messages=MESSAGES)
        assert answer.choices[0].message.content == "still here"
        assert before in {row["generation_id"] for row in running.requests()}, "the ledger has not survived"
