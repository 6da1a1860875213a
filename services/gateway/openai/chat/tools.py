"""Tools and the form of the answer, as a chat request declares them."""

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai.fields import Fields, expected, object_text, refuse

MODES = {
    "auto": conversation.TOOL_CHOICE_MODE_AUTO,
    "none": conversation.TOOL_CHOICE_MODE_NONE,
    "required": conversation.TOOL_CHOICE_MODE_REQUIRED,
}


def tool(value: object, path: str) -> conversation.Tool:
    """One of `tools`."""
    fields = Fields(value, path)
    fields.require("type")
    fields.choice("type", ("function",))
    function = fields.required_members("function")
    declared = conversation.Tool(
        name=function.required_text("name"),
        description=function.text("description") or "",
        parameters_json=object_text(function, "parameters"),
    )
    strict = function.boolean("strict")
    if strict is not None:
        declared.strict = strict
    return declared


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
    if not isinstance(value, str):
        refuse(fields.path("tool_choice"), expected("a string or an object", value))
    if value not in MODES:
        refuse(fields.path("tool_choice"), f"must be one of {', '.join(MODES)}, or an object that names a function.")
    return conversation.ToolChoice(mode=MODES[value])


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
    asked = form.required_members("json_schema")
    schema = generation.JsonSchemaFormat(
        name=asked.required_text("name"),
        schema_json=object_text(asked, "schema"),
        description=asked.text("description") or "",
    )
    strict = asked.boolean("strict")
    if strict is not None:
        schema.strict = strict
    return generation.ResponseFormat(json_schema=schema)
