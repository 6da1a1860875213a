"""Tools and the wish to have them called, in the engine's terms."""

import json
from typing import Any, NamedTuple

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

from services.workers.vllm.failures import invalid


class Offer(NamedTuple):
    """What is offered to the model. `choice` is `auto`, `required`, or an object that names a tool.

    Nothing is offered where no tool may be called: a model that does not know of tools calls none.
    """

    tools: list[dict[str, Any]]
    choice: str | dict[str, Any]
    parallel: bool

    @property
    def forced(self) -> bool:
        """Whether the answer has to be a call."""
        return bool(self.tools) and self.choice != "auto"


def offer(spec: generation.GenerationSpec) -> Offer:
    """The tools of a spec.

    Raises:
        Failure: SPEC_INVALID, naming the field.
    """
    mode = spec.tool_choice.mode
    parallel = spec.parallel_tool_calls if spec.HasField("parallel_tool_calls") else True
    if mode in (conversation.TOOL_CHOICE_MODE_REQUIRED, conversation.TOOL_CHOICE_MODE_NAMED) and not spec.tools:
        raise invalid("tool_choice", "`tool_choice` asks for a call, and there are no `tools`.")
    if not spec.tools or mode == conversation.TOOL_CHOICE_MODE_NONE:
        return Offer([], "auto", parallel)
    choice: str | dict[str, Any] = "auto"
    if mode == conversation.TOOL_CHOICE_MODE_REQUIRED:
        choice = "required"
    elif mode == conversation.TOOL_CHOICE_MODE_NAMED:
        name = spec.tool_choice.name
        if name not in [tool.name for tool in spec.tools]:
            raise invalid("tool_choice", f"`tool_choice` names `{name}`, which is none of the `tools`.")
        choice = {"type": "function", "function": {"name": name}}
        parallel = False  # as with OpenAI: the tool that is named is called once
    forced = choice != "auto"
    return Offer([_tool(tool, f"tools[{n}]", forced=forced) for n, tool in enumerate(spec.tools)], choice, parallel)


def _tool(tool: conversation.Tool, field: str, *, forced: bool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": _parameters(tool.parameters_json, field)}
    if tool.description:
        function["description"] = tool.description
    if tool.HasField("strict"):
        function["strict"] = tool.strict
    elif forced:
        # Otherwise the engine forces the call and leaves its arguments free, which small models do not write as JSON.
        function["strict"] = True
    return {"type": "function", "function": function}


def _parameters(text: str, field: str) -> dict[str, Any]:
    if not text:
        return {"type": "object", "properties": {}}
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise invalid(f"{field}.parameters_json", f"`{field}.parameters_json` must be a JSON object.")
    return parsed
