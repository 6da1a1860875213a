"""Finding vLLM's parts where this release keeps them."""

import collections
import json
import os
import subprocess
from typing import Any

import pytest

from services.cli.setup.environment import CLONE, engine_environment
from services.cli.setup.models import smollm2_directory
from services.workers.vllm import compat


def test_a_thing_is_found_in_the_first_place_that_has_it() -> None:
    assert compat._find("OrderedDict", "no.such.module", "json", "collections", "typing") is collections.OrderedDict


def test_what_is_nowhere_is_named_with_every_place() -> None:
    with pytest.raises(ImportError, match=r"no `Nothing` \(json: .*; no\.such\.module: "):
        compat._find("Nothing", "json", "no.such.module")


def test_an_exception_that_a_release_lacks_has_a_stand_in() -> None:
    assert compat._error("NoSuchError", ValueError) is ValueError


def test_an_engine_that_cannot_remember_its_environment_reads_it_each_time() -> None:
    compat.remember_environment()  # there is none here, and so no such function


def test_without_the_engine_loading_says_what_is_missing() -> None:
    with pytest.raises(ImportError, match="vllm"):
        compat.load()


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What `contract.py` finds in the engine's environment."""
    engine = engine_environment()
    ran = subprocess.run(
        [engine.python, "-m", "tests.workers.vllm.contract", smollm2_directory()],
        cwd=CLONE,
        env={**os.environ, "PYTHONPATH": f"{CLONE}:{CLONE}/gen", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    parsed: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return parsed


@pytest.mark.engine
@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        (
            "generate",
            {
                *("prompt", "sampling_params", "request_id", "lora_request", "trace_headers"),
                *("reasoning_ended", "reasoning_parser_kwargs"),
            },
        ),
        ("encode", {"prompt", "pooling_params", "request_id"}),
        ("abort", {"request_id"}),
        ("add_lora", {"lora_request"}),
        ("shutdown", {"timeout"}),
        ("from_vllm_config", {"vllm_config", "stat_loggers"}),
    ],
)
def test_the_engine_takes_what_it_is_given(found: dict[str, Any], method: str, parameters: set[str]) -> None:
    assert parameters <= set(found["parameters"][method])


@pytest.mark.engine
def test_every_argument_that_is_set_by_default_is_one_of_the_engines(found: dict[str, Any]) -> None:
    others = {"model", "shutdown_timeout", "allowed_media_domains", "reasoning_parser", "tensor_parallel_size"}
    adapters = {"enable_lora", "max_loras", "max_cpu_loras", "max_lora_rank"}
    assert set(found["cpu_defaults"]) | others | adapters <= set(found["engine_arguments"])


@pytest.mark.engine
def test_every_option_that_is_taken_is_one_of_the_engines(found: dict[str, Any]) -> None:
    assert set(found["options"]) <= set(found["sampling"])


@pytest.mark.engine
def test_the_bar_over_the_weights_tells_how_far_it_is(found: dict[str, Any]) -> None:
    assert found["weights"] == [["a", "b"], [0.0, 0.5, 1.0]]


@pytest.mark.engine
def test_the_engines_environment_is_looked_up_once(found: dict[str, Any]) -> None:
    before, after = found["remembered"]
    assert after == before != "CRITICAL"


@pytest.mark.engine
def test_parallel_calls_are_read_however_many_tokens_come_at_once(found: dict[str, Any]) -> None:
    assert len(found["calls"]) == 3
    for read in found["calls"]:
        assert (read["text"], read["calls"]) == ("Well.", [["a", '{"x": "}é"}'], ["b", "{}"]])
        assert read["ids"] == 2, "an id comes once"
    assert found["calls"][0]["pieces"] > 6, "arguments are streamed"


@pytest.mark.engine
def test_thinking_is_told_apart_and_counted_even_where_the_prompt_began_it(found: dict[str, Any]) -> None:
    for read in (*found["thought"], found["open_thought"], found["thought_and_calls"]):
        assert read["reasoning"].strip() == "Hm, so."
        assert read["text"].startswith("\n\nYes.")
        assert read["counted"] == 7
    assert [name for name, _ in found["thought_and_calls"]["calls"]] == ["a", "b"]


@pytest.mark.engine
def test_a_forced_call_has_a_form_and_a_free_one_none(found: dict[str, Any]) -> None:
    forms = found["forms"]
    assert forms["auto"] is None
    assert forms["strict"]["format"]["at_least_one"] is False
    assert forms["required"]["format"]["at_least_one"] is True
    assert forms["single"]["format"]["stop_after_first"] is True


@pytest.mark.engine
def test_a_parser_that_does_not_exist_is_named(found: dict[str, Any]) -> None:
    assert ["hermse" in found["unknown"][0], "qwen33" in found["unknown"][1]] == [True, True]


@pytest.mark.engine
def test_an_answer_goes_on_exactly_wherever_it_broke_off(found: dict[str, Any]) -> None:
    assert len(found["continued"]) > 30
    for whole, had, rest in found["continued"]:
        assert had + rest == whole
    assert {whole.endswith("end") for whole, _, _ in found["continued"]} == {True, False}
