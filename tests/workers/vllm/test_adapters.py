"""LoRA adapters, as they lie on disk."""

import json
import pathlib
from typing import Any

import pydantic
import pytest

from services.config.provider import LoraAdapter, VllmProvider
from services.workers.vllm import adapters


def written(directory: pathlib.Path, **config: Any) -> LoraAdapter:
    directory.mkdir()
    (directory / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return LoraAdapter(path=str(directory))


def test_an_engine_gets_room_for_its_adapters_at_the_rank_of_the_largest(tmp_path: pathlib.Path) -> None:
    given = {
        "a": written(tmp_path / "a", r=8),
        "b": written(tmp_path / "b", r=4, rank_pattern={"q_proj": 20}),
    }
    found = adapters.directories(given)
    assert found == {"a": tmp_path / "a", "b": tmp_path / "b"}
    assert adapters.engine_arguments(found) == {
        "enable_lora": True,
        "max_loras": 2,
        "max_cpu_loras": 2,
        "max_lora_rank": 32,
    }


def test_of_many_adapters_some_wait_in_the_hosts_memory(tmp_path: pathlib.Path) -> None:
    found = adapters.directories({f"a{n}": written(tmp_path / f"a{n}", r=8) for n in range(20)})
    made = adapters.engine_arguments(found)
    assert (made["max_loras"], made["max_cpu_loras"]) == (8, 20)


def test_without_adapters_the_engine_is_left_alone() -> None:
    assert adapters.engine_arguments(adapters.directories({})) == {}


def test_a_directory_that_is_missing_or_no_adapter_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"lora_adapters\.law: the directory .*/none does not exist"):
        adapters.directories({"law": LoraAdapter(path=str(tmp_path / "none"))})
    with pytest.raises(ValueError, match=r"lora_adapters\.law: .* has no adapter_config\.json"):
        adapters.directories({"law": LoraAdapter(path=str(tmp_path))})


@pytest.mark.parametrize(("config", "words"), [({}, "cannot be read"), ({"r": 1024}, "at most 512")])
def test_an_adapter_that_cannot_be_held_is_named(tmp_path: pathlib.Path, config: Any, words: str) -> None:
    found = adapters.directories({"law": written(tmp_path / "law", **config)})
    with pytest.raises(ValueError, match=rf"lora_adapters\.law: .*{words}"):
        adapters.engine_arguments(found)


def test_adapters_are_models_that_routes_may_ask_for() -> None:
    given = {"kind": "vllm", "model": "owner/base", "lora_adapters": {"law": {"path": "p"}}}
    assert VllmProvider.model_validate(given).model_names == ("base", "law")
    with pytest.raises(pydantic.ValidationError, match="the name of the model itself"):
        VllmProvider.model_validate(given | {"served_model": "law"})
