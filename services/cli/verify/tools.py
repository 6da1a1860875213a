"""Features of tools."""

import json
from collections.abc import Sequence
from typing import Any

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.cli.verify.asking import ASSISTANT, MOST_TOKENS, asking
from services.cli.verify.feature import Build, Feature, Judge
from services.cli.verify.seen import Seen
from services.cli.verify.texts import says, well_ended

_NEEDS = (model.CAPABILITY_CHAT, model.CAPABILITY_TOOLS)


def _tool(name: str, description: str, argument: str) -> conversation.Tool:
    schema = {
        "type": "object",
        "properties": {argument: {"type": "string"}},
        "required": [argument],
        "additionalProperties": False,
    }
    return conversation.Tool(name=name, description=description, parameters_json=json.dumps(schema))


_WEATHER = _tool("get_weather", "The weather in a city, now.", "city")
_CLOCK = _tool("get_time", "The time in a city, now.", "city")
_TOOLS = (_WEATHER, _CLOCK)


def _offering(
    text: str, mode: conversation.ToolChoiceMode = conversation.TOOL_CHOICE_MODE_AUTO, **fields: Any
) -> Build:
    choice = conversation.ToolChoice(mode=mode, name=fields.pop("named", ""))
    return asking(text, tools=_TOOLS, tool_choice=choice, **fields)


def _answering(model_name: str, seen: Sequence[Seen]) -> generation.GenerationSpec:
    """The turn after a call: the call as it came, and what the tool says."""
    spec = generation.GenerationSpec(model=model_name, tools=_TOOLS, max_output_tokens=MOST_TOKENS)
    before = seen[0].spec
    assert isinstance(before, generation.GenerationSpec)
    spec.messages.extend(before.messages)
    turn = spec.messages.add(role=ASSISTANT)
    for call in seen[0].calls:
        turn.parts.add(
            tool_call=conversation.ToolCall(
                id=call.id, name=call.name, arguments_json=call.arguments, signature=call.signature
            )
        )
    for call in seen[0].calls:
        result = conversation.ToolResult(tool_call_id=call.id, text='{"degrees": 21, "sky": "clear"}')
        spec.messages.add(role=conversation.ROLE_TOOL).parts.add(tool_result=result)
    return spec


def _called(name: str = "", *, least: int = 1, most: int = 64, told: bool = False) -> Judge:
    """Calls there are, of the right tools; `told` says whether the model was told to call."""
    # OpenAI's own servers end a call that they were told to make with `stop`.
    ends = [[generation.FINISH_REASON_TOOL_CALLS], *([[generation.FINISH_REASON_STOP]] if told else [])]

    def judge(seen: Sequence[Seen]) -> str:
        calls = seen[0].calls
        if not least <= len(calls) <= most:
            return f"{len(calls)} calls"
        if seen[0].reasons not in ends:
            return f"ended with {', '.join(map(generation.FinishReason.Name, seen[0].reasons))}"
        if len({call.id for call in calls} - {""}) != len(calls):
            return "calls without an id of their own"
        if {call.name for call in calls} - ({name} if name else {tool.name for tool in _TOOLS}):
            return f"called {calls[0].name!r}"
        return next((f"arguments {call.arguments!r}" for call in calls if not _has_city(call.arguments)), "")

    return judge


def _has_city(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments)["city"], str)
    except (ValueError, KeyError, TypeError):
        return False


def _not_called(seen: Sequence[Seen]) -> str:
    return f"{len(seen[0].calls)} calls" if seen[0].calls else well_ended(seen)


def _round(seen: Sequence[Seen]) -> str:
    return _called("get_weather", told=True)(seen) or says("21")(seen)


_ASK = "What is the weather in Paris now? Look it up."
_TWO = "What is the weather in Paris, and what is it in Oslo? Look up both at once, with two calls."
_REQUIRED, _NONE = conversation.TOOL_CHOICE_MODE_REQUIRED, conversation.TOOL_CHOICE_MODE_NONE
_NAMED = conversation.TOOL_CHOICE_MODE_NAMED

FEATURES = (
    Feature("tools", "Tools, called when they help", _NEEDS, (_offering(_ASK),), _called("get_weather")),
    Feature("tools-parallel", "Two calls in one turn", _NEEDS, (_offering(_TWO),), _called("get_weather", least=2)),
    Feature("tools-none", "`tool_choice` none", _NEEDS, (_offering(_ASK, _NONE),), _not_called),
    Feature(
        "tools-required", "`tool_choice` required", _NEEDS, (_offering("Say hello.", _REQUIRED),), _called(told=True)
    ),
    Feature(
        "tools-named",
        "`tool_choice` with a name",
        _NEEDS,
        (_offering(_ASK, _NAMED, named="get_time"),),
        _called("get_time", told=True),
    ),
    Feature(
        "tools-result",
        "A tool's result answered",
        _NEEDS,
        (_offering(_ASK, _NAMED, named="get_weather"), _answering),
        _round,
    ),
    Feature(
        "tools-single",
        "`parallel_tool_calls` false",
        _NEEDS,
        (_offering(_TWO, _REQUIRED, parallel_tool_calls=False),),
        _called(most=1, told=True),
    ),
)
