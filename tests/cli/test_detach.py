"""What a supervisor tells the command that waits for it."""

import os

import pytest

from services.cli.detach import _take
from services.cli.problem import Problem
from services.cli.progress import Pipe
from services.cli.state import MeshPhase, ProcessState


class Heard:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def process(self, state: ProcessState) -> None:
        self.events.append(state)

    def phase(self, phase: MeshPhase) -> None:
        self.events.append(phase)

    def ready(self, welcome: str) -> None:
        self.events.append(welcome)

    def close(self) -> None:
        pass


def test_progress_arrives_as_it_was_sent() -> None:
    read, write = os.pipe()
    pipe, heard = Pipe(write), Heard()
    pipe.process(ProcessState("router", 7, "ready", 1, 2.5))
    pipe.phase("ready")
    pipe.ready("welcome")
    with os.fdopen(read) as lines:
        assert [_take(line, heard) for line in lines] == [False, False, True]
    assert heard.events == [ProcessState("router", 7, "ready", 1, 2.5), "welcome"]


def test_a_failure_arrives_with_its_exit_code() -> None:
    read, write = os.pipe()
    Pipe(write).failed("no disk\nat all", 2)
    with os.fdopen(read) as lines, pytest.raises(Problem, match="no disk\nat all") as caught:
        _take(lines.readline(), Heard())
    assert caught.value.code == 2


def test_whoever_waits_may_go_away() -> None:
    read, write = os.pipe()
    os.close(read)
    pipe = Pipe(write)
    pipe.phase("starting")
    pipe.ready("welcome")
    pipe.close()
