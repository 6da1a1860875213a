"""One change of a running mesh at a time."""

import threading

import pytest

from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.turn import turn


def test_the_second_begins_when_the_first_has_ended(home: Home) -> None:
    (home.run / "envoy").mkdir()
    said: list[str] = []
    asked = threading.Event()

    def second() -> None:
        asked.set()
        with turn(home):
            said.append("second")

    thread = threading.Thread(target=second)
    with turn(home):
        thread.start()
        asked.wait()
        thread.join(0.1)
        said.append("first")
    thread.join()
    assert said == ["first", "second"]


def test_a_mesh_without_an_edge_is_told(home: Home) -> None:
    with pytest.raises(Problem, match="the edge is not there yet"), turn(home):
        pass
