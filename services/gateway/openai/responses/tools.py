"""Tools, and which of them may be called, as a request for a response declares them."""

from collections.abc import Sequence

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai import tools
from services.gateway.openai.fields import Fields, refuse

_NAMED = conversation.TOOL_CHOICE_MODE_NAMED


def read(fields: Fields, spec: generation.GenerationSpec) -> Sequence[int]:
    """Read `tools` and `tool_choice` into a spec.

    Returns:
        For each tool of the spec, its place among those of the body: with `allowed_tools`, only what may be called gets
        there, since a model cannot call what it does not know.

    Raises:
        Failure: SPEC_INVALID, with the path of the mistake.
    """
    declared = [_tool(Fields(item, path)) for path, item in fields.items("tools")]
    choice = fields.get("tool_choice")
    allowed: Sequence[int] = range(len(declared))
    if isinstance(choice, dict):
        chosen = Fields(choice, "tool_choice")
        chosen.require("type")
        if chosen.choice("type", ("function", "allowed_tools")) == "function":
            spec.tool_choice.mode, spec.tool_choice.name = _NAMED, chosen.required_text("name")
        else:
            chosen.require("mode")
            spec.tool_choice.mode = tools.mode(chosen.choice("mode", ("auto", "required")), chosen.path("mode"))
            names = _allowed(chosen, {tool.name for tool in declared})
            allowed = [place for place, tool in enumerate(declared) if tool.name in names]
    elif choice is not None:
        spec.tool_choice.mode = tools.mode(choice, "tool_choice")
    spec.tools.extend(declared[place] for place in allowed)
    return allowed


def _tool(fields: Fields) -> conversation.Tool:
    if fields.required_text("type") != "function":
        refuse(fields.path("type"), "must be function: the mesh runs no tools of its own.")
    return tools.function(fields)


def _allowed(chosen: Fields, declared: set[str]) -> set[str]:
    names = set()
    for path, item in chosen.items("tools"):
        tool = Fields(item, path)
        tool.require("type")
        tool.choice("type", ("function",))
        name = tool.required_text("name")
        if name not in declared:
            refuse(tool.path("name"), "is not among the tools.")
        names.add(name)
    if not names:
        refuse(chosen.path("tools"), "must name at least one tool.")
    return names
