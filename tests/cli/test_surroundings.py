"""Which configuration is meant, and what processes find."""

import pathlib

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


@pytest.mark.parametrize("file", [surroundings.LOCAL, surroundings.DEMO])
def test_the_built_in_configurations_are_well_formed(file: pathlib.Path) -> None:
    assert mesh.load(file, {"HYBRID_SMOLLM2": "/cache/models/smollm2-0123"}).models
