"""Tools, and which of them may be called, as a request for a response declares them."""

import dataclasses
from collections.abc import Sequence

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai import tools
from services.gateway.openai.fields import Fields, refuse

_NAMED = conversation.TOOL_CHOICE_MODE_NAMED


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """A function as the model is shown it, and as the caller has it.

    Attributes:
        tool: what the model is shown.
        path: where it stands in the body.
        namespace: the group that it stands in, "" for none; models have no groups, so the tool's name begins with it.
        name: its name within the group.
    """

    tool: conversation.Tool
    path: str
    namespace: str
    name: str


def flat(namespace: str, name: str) -> str:
    """What a model calls a function of a group."""
    return f"{namespace}__{name}" if namespace else name


def read(fields: Fields, spec: generation.GenerationSpec) -> Sequence[Declared]:
    """Read `tools` and `tool_choice` into a spec.

    Returns:
        The tools of the spec: with `allowed_tools`, only what may be called gets there, since a model cannot call what
        it does not know.

    Raises:
        Failure: SPEC_INVALID, with the path of the mistake.
    """
    declared = [one for path, item in fields.items("tools") for one in _declared(Fields(item, path))]
    choice = fields.get("tool_choice")
    if isinstance(choice, dict):
        chosen = Fields(choice, "tool_choice")
        chosen.require("type")
        if chosen.choice("type", ("function", "allowed_tools")) == "function":
            spec.tool_choice.mode, spec.tool_choice.name = _NAMED, chosen.required_text("name")
        else:
            chosen.require("mode")
            spec.tool_choice.mode = tools.mode(chosen.choice("mode", ("auto", "required")), chosen.path("mode"))
            names = _allowed(chosen, {one.tool.name for one in declared})
            declared = [one for one in declared if one.tool.name in names]
    elif choice is not None:
        spec.tool_choice.mode = tools.mode(choice, "tool_choice")
    spec.tools.extend(one.tool for one in declared)
    return declared


def _declared(fields: Fields) -> list[Declared]:
    if fields.get("type") != "namespace":
        return [_function(fields, "")]
    namespace = fields.required_text("name")
    fields.text("description")
    return [_function(Fields(item, path), namespace) for path, item in fields.items("tools")]


def _function(fields: Fields, namespace: str) -> Declared:
    if fields.required_text("type") != "function":
        refuse(fields.path("type"), "must be function: the mesh runs no tools of its own.")
    tool = tools.function(fields)
    name, tool.name = tool.name, flat(namespace, tool.name)
    return Declared(tool, fields.path(), namespace, name)


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
