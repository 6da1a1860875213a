"""Tools and the form of the answer, as a chat request declares them."""

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai import tools
from services.gateway.openai.fields import Fields


def tool(value: object, path: str) -> conversation.Tool:
    """One of `tools`."""
    fields = Fields(value, path)
    fields.require("type")
    fields.choice("type", ("function",))
    return tools.function(fields.required_members("function"))


def tool_choice(fields: Fields) -> conversation.ToolChoice | None:
    """`tool_choice`: a word, or the function to call."""
    value = fields.get("tool_choice")
    if value is None:
        return None
    if isinstance(value, dict):
        named = Fields(value, fields.path("tool_choice"))
        named.require("type")
        named.choice("type", ("function",))
        name = named.required_members("function").required_text("name")
        return conversation.ToolChoice(mode=conversation.TOOL_CHOICE_MODE_NAMED, name=name)
    return conversation.ToolChoice(mode=tools.mode(value, fields.path("tool_choice")))


def response_format(fields: Fields) -> generation.ResponseFormat | None:
    """`response_format`."""
    form = fields.members("response_format")
    if form is None:
        return None
    form.require("type")
    kind = form.choice("type", ("text", "json_object", "json_schema"))
    if kind == "text":
        return generation.ResponseFormat(text=generation.TextFormat())
    if kind == "json_object":
        return generation.ResponseFormat(json_object=generation.JsonObjectFormat())
    return tools.schema(form.required_members("json_schema"))
