"""`hybrid init`: whatever it writes can be used."""

import pathlib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import config as reading
from services.cli import first, litellm
from services.cli.first import Wanted
from services.cli.problem import Problem
from services.config.mesh import MeshConfig

USUAL: dict[str, Any] = {
    "model_list": [
        {"model_name": "gpt-4o", "litellm_params": {"model": "openai/gpt-4o", "api_key": "os.environ/OPENAI_KEY_A"}},
        {
            "model_name": "gpt-4o",
            "litellm_params": {"model": "openai/gpt-4o", "api_key": "os.environ/OPENAI_KEY_B", "rpm": 60, "tpm": 90000},
        },
        {"model_name": "gpt-4o", "litellm_params": {"model": "azure/gpt-4o", "api_base": "https://x.azure.com"}},
        {"model_name": "flash", "litellm_params": {"model": "gemini/gemini-2.5-flash", "api_key": "sk-in-the-file"}},
        {"model_name": "own", "litellm_params": {"model": "hosted_vllm/meta/llama", "api_base": "http://gpu:8000/v1"}},
        {"model_name": "claude", "litellm_params": {"model": "anthropic/claude-sonnet-4", "temperature": 0}},
        {"model_name": "*", "litellm_params": {"model": "openai/*"}},
    ],
    "router_settings": {
        "fallbacks": [{"gpt-4o": ["flash", "claude"]}],
        "model_group_alias": {"gpt-4": "gpt-4o"},
        "routing_strategy": "simple-shuffle",
    },
    "litellm_settings": {"drop_params": True},
    "general_settings": {"master_key": "sk-1234"},
}
VALUES = {name: name.lower() for name in ("OPENAI_KEY_A", "OPENAI_KEY_B", "GEMINI_API_KEY", "HYBRID_SMOLLM2", "K")}


def read(text: str) -> MeshConfig:
    return reading.parse(text, MeshConfig, source="f", environment=VALUES)


def test_a_usual_litellm_file_becomes_providers_routes_and_fallbacks() -> None:
    text = first.text(Wanted(local=False, imported=litellm.read(USUAL)))
    made = read(text)
    assert list(made.providers) == ["openai", "openai-2", "gemini", "gpu-8000"]
    models = {model.name: [(r.provider, r.model, r.role) for r in model.routes] for model in made.models}
    assert models == {
        "gpt-4o": [
            ("openai", "gpt-4o", "primary"),
            ("openai-2", "gpt-4o", "primary"),
            ("gemini", "gemini-2.5-flash", "fallback"),
        ],
        "flash": [("gemini", "gemini-2.5-flash", "primary")],
        "own": [("gpu-8000", "meta/llama", "primary")],
    }
    assert made.models[0].aliases == ("gpt-4",)
    assert made.models[0].strategy.name == "adaptive"
    assert "sk-in-the-file" not in text
    assert "sk-1234" not in text
    assert "${OPENAI_KEY_A:?" in text


@pytest.mark.parametrize(
    "said",
    [
        "model_list[1] (gpt-4o): rpm 60, tpm 90000",
        "model_list[2] (gpt-4o): Azure's deployments",
        "model_list[3] (flash): its key stands in the file and is not copied; put it into GEMINI_API_KEY",
        "model_list[5] (claude): the provider `anthropic` is not spoken here",
        "model_list[6] (*): names with `*`",
        "`router_settings.routing_strategy` is not read",
        "`litellm_settings.drop_params` is not read",
        "`general_settings` is not read",
    ],
)
def test_what_is_left_out_is_said_in_the_file(said: str) -> None:
    text = first.text(Wanted(local=False, imported=litellm.read(USUAL)))
    assert [line for line in text.splitlines() if line.startswith(f"# {said}")]


@pytest.mark.parametrize(
    "base",
    ["https://user:hunter2@host/v1", "https://host/v1?key=hunter2", "user:hunter2@host/v1", "https://h/v1#hunter2"],
)
def test_a_secret_in_an_address_is_neither_copied_nor_told(base: str) -> None:
    entry = {"model_name": "own", "litellm_params": {"model": "hosted_vllm/m", "api_base": base}}
    imported = litellm.read({"model_list": [*USUAL["model_list"], entry]})
    text = first.text(Wanted(local=False, imported=imported))
    assert "hunter2" not in text
    assert not [note for note in imported.notes if "hunter2" in note]
    assert "model_list[7] (own): `api_base` is not" in text


def test_engines_have_a_gpu_each_or_one_runs_on_the_cpu() -> None:
    two = read(first.text(Wanted(gpus=2, model="org/big")))
    assert {name: provider.devices for name, provider in two.providers.items()} == {"gpu0": (0,), "gpu1": (1,)}  # type: ignore[union-attr]
    assert [(model.name, len(model.routes)) for model in two.models] == [("big", 2)]
    assert list(read(first.text(Wanted())).providers) == ["local"]


def test_vendors_are_named_by_the_variable_of_their_key() -> None:
    text = first.text(Wanted(local=False, vendors=first.bought("openai", "K", ["a", "b"])))
    assert [model.name for model in read(text).models] == ["a", "b"]
    with pytest.raises(Problem, match="never the key itself") as refused:
        first.bought("openai", "sk-abc/def", ["a"])
    assert "sk-abc" not in str(refused.value)
    with pytest.raises(Problem, match="never the key itself") as refused:
        first.bought("gemini", "AIzaSyA_letters_and_digits_alone_0123456", ["a"])
    assert "AIza" not in str(refused.value)
    for variable, models in (("K", []), (None, ["a"])):
        with pytest.raises(Problem):
            first.bought("openai", variable, models)


def test_nothing_is_overwritten_unless_asked(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "h" / "hybrid.yaml"
    first.write(path, "a", force=False)
    with pytest.raises(Problem, match="--force"):
        first.write(path, "b", force=False)
    assert path.read_text() == "a"
    first.write(path, "b", force=True)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("b", 0o600)


@pytest.mark.parametrize("text", ["", "[]", "model_list: 3", "a: [", "model_list: {}"])
def test_what_is_no_litellm_file_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(Problem, match=r"x\.yaml"):
        first.imported(path)


NAMES = st.sampled_from(["gpt-4o", "small", "org/big:1", "a b", "name: {x}", "é", "gpt-4"])
PREFIXES = st.sampled_from(["openai/", "gemini/", "azure/", "groq/", "hosted_vllm/", "bedrock/", "", "mistral/"])
VALUE = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.lists(st.integers(), max_size=2))
PARAMS = st.fixed_dictionaries(
    {"model": st.builds(str.__add__, PREFIXES, NAMES)},
    optional={
        "api_key": st.sampled_from(["os.environ/OPENAI_KEY_A", "os.environ/K", "sk-secret-secret", "", None]),
        "api_base": st.sampled_from(["http://h:1/v1", "https://api.openai.com/v1", "not an address", "", None]),
        "rpm": VALUE,
        "weight": VALUE,
        "timeout": VALUE,
    },
)
ENTRIES = st.lists(st.one_of(st.fixed_dictionaries({"model_name": NAMES, "litellm_params": PARAMS}), VALUE), max_size=8)


@given(
    ENTRIES,
    st.lists(st.dictionaries(NAMES, st.lists(NAMES, max_size=3), max_size=2), max_size=3),
    st.dictionaries(NAMES, st.one_of(NAMES, st.fixed_dictionaries({"model": NAMES})), max_size=3),
)
def test_whatever_a_litellm_file_says_what_is_made_of_it_can_be_used_and_has_no_secret(
    entries: list[Any], fallbacks: list[Any], aliases: dict[str, Any]
) -> None:
    router = {"fallbacks": fallbacks, "model_group_alias": aliases}
    found = litellm.read({"model_list": entries, "router_settings": router})
    text = first.text(Wanted(imported=found))  # raises where it cannot be used
    assert "sk-secret" not in text
    made = yaml.safe_load(text)
    assert len(made["models"]) == 1 + len({each.name for each in found.deployments})
