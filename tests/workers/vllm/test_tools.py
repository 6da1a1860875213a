"""Tools and the wish to have them called."""

from typing import Any

import pytest
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.workers.vllm.tools import offer
from tests.workers.vllm.fakes import spec

WEATHER = {
    "name": "weather",
    "description": "Of a city",
    "parameters_json": '{"type": "object", "x": 9007199254740993}',
}
CLOCK = {"name": "clock"}


def choice(mode: str, name: str = "") -> dict[str, Any]:
    return {"mode": conversation.ToolChoiceMode.Value(f"TOOL_CHOICE_MODE_{mode}"), "name": name}


def test_tools_are_offered_as_the_engine_takes_them() -> None:
    offered = offer(spec(tools=[WEATHER, CLOCK]))
    weather = {"name": "weather", "parameters": {"type": "object", "x": 9007199254740993}, "description": "Of a city"}
    clock = {"name": "clock", "parameters": {"type": "object", "properties": {}}}
    assert offered.tools == [{"type": "function", "function": weather}, {"type": "function", "function": clock}]
    assert (offered.choice, offered.parallel, offered.forced) == ("auto", True, False)


def test_a_call_can_be_required_or_of_one_tool_and_then_its_arguments_keep_to_the_schema() -> None:
    required = offer(spec(tools=[WEATHER, CLOCK | {"strict": False}], tool_choice=choice("REQUIRED")))
    assert (required.choice, required.forced) == ("required", True)
    assert [tool["function"]["strict"] for tool in required.tools] == [True, False]
    named = offer(spec(tools=[WEATHER], tool_choice=choice("NAMED", "weather"), parallel_tool_calls=True))
    assert named.choice == {"type": "function", "function": {"name": "weather"}}
    assert named.parallel is False, "the tool that is named is called once"


def test_a_model_that_may_call_none_is_told_of_none() -> None:
    assert offer(spec(tools=[WEATHER], tool_choice=choice("NONE"))).tools == []
    assert offer(spec()).tools == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tool_choice": choice("REQUIRED")}, "tool_choice"),
        ({"tools": [CLOCK], "tool_choice": choice("NAMED", "weather")}, "tool_choice"),
        ({"tools": [{"name": "f", "parameters_json": "[]"}]}, "tools[0].parameters_json"),
        ({"tools": [CLOCK, {"name": "f", "parameters_json": "["}]}, "tools[1].parameters_json"),
    ],
)
def test_what_cannot_be_offered_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Failure) as caught:
        offer(spec(**fields))
    assert (caught.value.reason, caught.value.metadata["field"]) == (reasons.ERROR_REASON_SPEC_INVALID, field)
