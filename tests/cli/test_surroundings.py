"""Which configuration is meant, and what processes find."""

import pathlib
import shutil
import socket
import stat
import tempfile
import uuid

import pytest

from services.cli import surroundings
from services.cli.home import Home
from services.config import mesh


def test_a_named_configuration_comes_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.config.write_text("")
    monkeypatch.chdir(home.path)
    assert surroundings.chosen_config(pathlib.Path("x.yaml"), home) == home.path / "x.yaml"


def test_then_the_homes_own(home: Home) -> None:
    home.config.write_text("")
    assert surroundings.chosen_config(None, home) == home.config


def test_then_the_built_in_one(home: Home) -> None:
    assert surroundings.chosen_config(None, home) == surroundings.LOCAL


def test_code_is_found_before_what_the_user_has() -> None:
    found = surroundings.environment({"PYTHONPATH": f"/mine:{surroundings.CLONE}", "LANG": "C"})
    assert found["PYTHONPATH"].split(":") == [str(surroundings.CLONE), str(surroundings.CLONE / "gen"), "/mine"]
    assert found["LANG"] == "C"


def test_a_model_that_the_user_names_is_kept() -> None:
    assert surroundings.environment({"HYBRID_SMOLLM2": "/mine"})["HYBRID_SMOLLM2"] == "/mine"


def test_temporary_files_are_kept_in_the_home(home: Home) -> None:
    made = surroundings.temporary(home)
    assert made == home.run / "tmp"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_with_a_long_path_they_are_where_a_socket_can_be_made(tmp_path: pathlib.Path) -> None:
    long = Home(tmp_path / ("x" * 80))
    long.prepare()
    made = surroundings.temporary(long)
    try:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.bind(str(made / str(uuid.uuid4())))
    finally:
        shutil.rmtree(made)


def test_the_longest_path_in_a_home_has_room_for_a_socket() -> None:
    base = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        for length in range(50, 70):
            home = Home(base / ("x" * (length - len(str(base)) - 1)))
            home.prepare()
            made = surroundings.temporary(home)
            with socket.socket(socket.AF_UNIX) as engine:
                engine.bind(str(made / str(uuid.uuid4())))
            shutil.rmtree(made)
    finally:
        shutil.rmtree(base)


@pytest.mark.parametrize("file", [surroundings.LOCAL, surroundings.DEMO])
def test_the_built_in_configurations_are_well_formed(file: pathlib.Path) -> None:
    assert mesh.load(file, {"HYBRID_SMOLLM2": "/cache/models/smollm2-0123"}).models
