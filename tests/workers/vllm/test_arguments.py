"""The engine's arguments and environment, from the configuration."""

import os
import pathlib
from typing import Any

import pytest

from services.config.provider import VllmProvider
from services.workers.vllm import arguments as engine

KNOWN = {
    *engine.CPU_DEFAULTS,
    "model",
    "shutdown_timeout",
    "tensor_parallel_size",
    "seed",
    "pipeline_parallel_size",
    "data_parallel_size",
    "reasoning_parser",
}


def provider(**fields: Any) -> VllmProvider:
    return VllmProvider(kind="vllm", model="owner/name", **fields)


def arguments(config: VllmProvider, *, on_cpu: bool, known: set[str] = KNOWN) -> dict[str, Any]:
    return engine.arguments(config, known, on_cpu=on_cpu, drain_seconds=9.6)


def test_without_a_gpu_the_engine_is_small_and_eager() -> None:
    made = arguments(provider(), on_cpu=True)
    assert made == engine.CPU_DEFAULTS | {"shutdown_timeout": 10}


def test_with_a_gpu_the_engine_decides_for_itself() -> None:
    assert arguments(provider(devices=(1,)), on_cpu=False) == {"shutdown_timeout": 10}


def test_several_gpus_share_the_model() -> None:
    assert arguments(provider(devices=(0, 3)), on_cpu=False)["tensor_parallel_size"] == 2


def test_the_configuration_wins_over_every_default() -> None:
    given = {"max_model_len": 64, "dtype": "bfloat16", "shutdown_timeout": 1, "seed": 4}
    made = arguments(provider(engine_args=given), on_cpu=True)
    assert {name: made[name] for name in given} == given


def test_defaults_that_an_older_engine_does_not_know_are_left_out() -> None:
    assert arguments(provider(), on_cpu=True, known={"enforce_eager"}) == {"enforce_eager": True}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("max_model_length", "did you mean `max_model_len`"),
        ("zzz", "not an argument"),
        ("model", "provider's `model`"),
        ("reasoning_parser", "provider's"),
    ],
)
def test_an_argument_that_is_none_is_named(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        arguments(provider(engine_args={name: 1}), on_cpu=True)
    assert f"engine_args.{name}" in str(caught.value)


@pytest.mark.parametrize("name", ["pipeline_parallel_size", "data_parallel_size"])
def test_who_uses_the_gpus_otherwise_is_let_be(name: str) -> None:
    config = provider(devices=(0, 1), engine_args={name: 2})
    assert "tensor_parallel_size" not in arguments(config, on_cpu=False)


def test_room_for_adapters_is_made_unless_it_is_given() -> None:
    needed = {"enable_lora": True, "max_loras": 2, "max_cpu_loras": 2}
    known = KNOWN | set(needed)

    def made(config: VllmProvider) -> dict[str, Any]:
        return engine.arguments(config, known, on_cpu=False, drain_seconds=1, adapters=needed)

    assert needed.items() <= made(provider()).items()
    given = made(provider(engine_args={"max_loras": 4}))
    assert given["max_loras"] == 4
    assert "max_cpu_loras" not in given


def test_the_engine_is_told_of_the_reasoning_parser_so_that_forms_apply_after_the_thinking() -> None:
    assert arguments(provider(reasoning_parser="qwen3"), on_cpu=False)["reasoning_parser"] == "qwen3"


def test_an_engine_that_could_fetch_pictures_is_given_no_domain_to_fetch_from() -> None:
    made = arguments(provider(), on_cpu=False, known=KNOWN | {"allowed_media_domains"})
    assert made["allowed_media_domains"], "an empty list would allow them all"
    assert all(domain.endswith(".invalid") for domain in made["allowed_media_domains"])


def test_a_chat_template_is_read_when_the_worker_starts(tmp_path: pathlib.Path) -> None:
    (tmp_path / "t.jinja").write_text("{{ messages }}", encoding="utf-8")
    assert engine.chat_template(provider(chat_template=str(tmp_path / "t.jinja"))) == "{{ messages }}"
    assert engine.chat_template(provider()) is None
    with pytest.raises(ValueError, match=r"chat_template: .*none\.jinja cannot be read"):
        engine.chat_template(provider(chat_template=str(tmp_path / "none.jinja")))


def test_devices_and_threads_are_set_through_the_environment() -> None:
    variables = engine.environment(provider(devices=(2, 0), threads=3), offline=True)
    assert variables["CUDA_VISIBLE_DEVICES"] == "2,0"
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["HF_HUB_OFFLINE"] == "1"
    assert variables["VLLM_NO_USAGE_STATS"] == "1"


def test_a_model_on_a_hub_needs_the_network_and_all_gpus_stay_visible() -> None:
    variables = engine.environment(provider(), offline=False)
    assert "HF_HUB_OFFLINE" not in variables
    assert "CUDA_VISIBLE_DEVICES" not in variables


def test_a_directory_is_a_local_model_and_a_name_is_not(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "m").mkdir(parents=True)
    assert engine.local_model("models/m") == os.path.realpath(tmp_path / "models" / "m")
    assert engine.local_model("owner/name") is None


@pytest.mark.parametrize("name", ["/nowhere/m", "./m", "~/no-such-model"])
def test_a_directory_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        engine.local_model(name)
