"""The configuration of a worker alone: the file's own words, with nothing but one provider."""

import pathlib

import pytest

from services.chassis import config
from services.cli.verify.command import costs
from services.cli.verify.lone import alone
from services.config import mesh

FILE = """
edge: {port: 9999}
metrics: {listen: "127.0.0.1:9100"}
access: {keyless: true}
providers:
  vendor:
    kind: openai
    api_keys: ["${VENDOR_KEY:?a key}", '0123']
    models: [a, {name: b, capabilities: [chat]}]
    max_concurrent: ${MOST:-7}
    workers: ["127.0.0.1:7001", "127.0.0.1:7002"]
  local:
    kind: vllm
    model: models/small
    lora_adapters: {tuned: {path: adapters/tuned}}
models:
  - {name: x, routes: [{provider: vendor, model: a}]}
"""


def made(provider: str, model: str, base: pathlib.Path = pathlib.Path("/nowhere")) -> tuple[str, mesh.MeshConfig]:
    text = alone(FILE, provider, "unix:/tmp/w.sock", model=model, base=base)
    return text, config.parse(text, mesh.MeshConfig, source="alone", environment={"VENDOR_KEY": "sk-canary"})


def test_only_the_provider_is_left_with_one_worker_at_the_address_and_no_port_of_the_mesh() -> None:
    _, found = made("vendor", "a")
    assert list(found.providers) == ["vendor"]
    assert [place.address for place in found.workers()] == ["unix:/tmp/w.sock"]
    assert found.providers["vendor"].model_names == ("a", "b")
    assert "9100" not in found.metrics.listen


def test_variables_stay_variables_and_values_keep_their_kind() -> None:
    text, found = made("vendor", "a")
    assert "sk-canary" not in text
    provider = found.providers["vendor"].model_dump()
    assert provider["max_concurrent"] == 7
    assert [key.get_secret_value() for key in provider["api_keys"]] == ["sk-canary", "0123"]


def test_directories_that_are_meant_from_the_home_are_found_from_elsewhere(tmp_path: pathlib.Path) -> None:
    for name in ("models/small", "adapters/tuned"):
        (tmp_path / name).mkdir(parents=True)
    provider = made("local", "small", tmp_path)[1].providers["local"].model_dump()
    assert provider["model"] == str(tmp_path / "models/small")
    assert provider["lora_adapters"]["tuned"]["path"] == str(tmp_path / "adapters/tuned")


def test_a_model_that_is_no_directory_keeps_its_name() -> None:
    assert made("local", "small")[1].providers["local"].model_dump()["model"] == "models/small"


@pytest.mark.parametrize(
    ("url", "dear"),
    [
        ("https://api.openai.com/v1", True),
        ("http://127.0.0.1:8000/v1", False),
        ("http://localhost:11434/v1", False),
        ("http://localhost.example.com/v1", True),
    ],
)
def test_whoever_is_asked_on_another_host_may_charge(url: str, *, dear: bool) -> None:
    found = made("vendor", "a")[1].providers["vendor"]
    assert costs(found.model_copy(update={"base_url": url})) == dear


def test_a_worker_of_this_host_costs_nothing() -> None:
    assert not costs(made("local", "small")[1].providers["local"])
