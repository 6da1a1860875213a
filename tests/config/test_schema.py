"""The JSON Schema agrees with what is read."""

import copy
import pathlib
from typing import Any

import jsonschema
import pydantic
import pytest
import yaml

from services.cli import configuring
from services.config import schema
from services.config.mesh import MeshConfig

DIRECTORY = pathlib.Path(__file__).parents[2] / "infrastructure" / "config"
BUILT_IN = sorted(DIRECTORY.glob("*.yaml"))
GOOD: dict[str, Any] = {
    "edge": {"port": "${PORT:-8000}"},
    "flags": {"hedging": True, "continuation": {"share": 0.5, "models": ["m"]}},
    "providers": {
        "a": {"kind": "echo", "workers": 2},
        "v": {"kind": "openai", "api_keys": ["${KEY}"], "models": ["x", {"name": "y"}], "adaptive_limit": "off"},
    },
    "models": [{"name": "m", "strategy": "adaptive", "routes": [{"provider": "a"}]}],
}


@pytest.fixture(scope="module")
def validator() -> Any:
    document = schema.document()
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


@pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: path.name)
def test_built_in_configurations_are_valid(validator: Any, path: pathlib.Path) -> None:
    assert not list(validator.iter_errors(yaml.safe_load(path.read_text())))


@pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: path.name)
def test_built_in_configurations_name_the_schema_that_is_beside_them(path: pathlib.Path) -> None:
    assert path.read_text().startswith(f"{configuring.HINT}schema.json\n")


def test_the_schema_in_the_repository_is_the_models_own() -> None:
    text = (DIRECTORY / "schema.json").read_text(encoding="utf-8")
    assert text == f"{configuring.schema_text()}\n", "make config-schema writes it again"


def test_short_forms_and_variables_are_valid(validator: Any) -> None:
    assert not list(validator.iter_errors(GOOD))


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file["edge"].update(prot=1),
        lambda file: file["edge"].update(port="eight"),
        lambda file: file["flags"].update(hedging="perhaps"),
        lambda file: file["providers"]["a"].update(kind="ech"),
        lambda file: file["models"][0].update(strategy="fastest"),
        lambda file: file.pop("models"),
    ],
)
def test_what_is_refused_when_read_is_marked_by_an_editor(validator: Any, change: Any) -> None:
    file = copy.deepcopy(GOOD)
    file["edge"] = {}
    change(file)
    assert list(validator.iter_errors(file))
    with pytest.raises(pydantic.ValidationError):
        MeshConfig.model_validate(file)
