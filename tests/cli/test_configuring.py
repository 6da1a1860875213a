"""What is compared with what."""

import os
import pathlib

import pytest

from services.cli import configuring, state
from services.cli.home import Home
from services.cli.lock import locked
from services.cli.problem import Problem
from services.cli.state import MeshState
from services.config.last_good import LastGood

TEXT = "providers: {e: {kind: echo}}\nmodels: [{name: m, routes: [{provider: e}]}]\n"


@pytest.fixture
def taken(home: Home, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A home's file that its gateway has taken."""
    monkeypatch.chdir(home.path)
    home.config.write_text(TEXT)
    gateway = LastGood(home.config, "gateway", "gateway", {})
    gateway.begin()
    gateway.keep()
    return home.config


def _told(home: Home, file: pathlib.Path | None) -> list[tuple[str, str]]:
    return [(each.path, when) for each, when in configuring.changes(*configuring.of_mesh(home, file, {}))]


def test_without_a_file_what_runs_is_compared_with_the_homes_own(home: Home, taken: pathlib.Path) -> None:
    assert _told(home, None) == []
    taken.write_text(TEXT + "flags: {hedging: true}\nadmin: {listen: 'unix:a'}\n")
    assert _told(home, None) == [
        ("admin.listen", "start of the whole mesh"),
        ("flags.hedging.share", "reload"),
    ]


def test_a_mesh_that_runs_knows_its_file_and_another_is_compared_with_that(home: Home, taken: pathlib.Path) -> None:
    other = taken.with_name("other.yaml")
    other.write_text(TEXT + "log: {level: debug}\n")
    with locked(home):
        state.write(
            home,
            MeshState(os.getpid(), "ready", str(taken), edge="", routers=(), dsn=None, models=("m",)),
        )
        assert _told(home, other) == [("log.level", "restart of each process")]
        assert _told(home, None) == []


def test_what_nobody_has_taken_is_told(home: Home, taken: pathlib.Path) -> None:
    other = taken.with_name("other.yaml")
    other.write_text(TEXT)
    with pytest.raises(Problem, match=r"no process in .* has taken .*other.yaml: name the file that they run by"):
        _told(home, other)


def test_a_file_with_mistakes_is_told_as_everywhere(home: Home, taken: pathlib.Path) -> None:
    taken.write_text("modles: []\n")
    with pytest.raises(Problem, match="did you mean `models`") as caught:
        _told(home, None)
    assert caught.value.code == 2
