"""What declarations of tools and of the answer's form have in common, wherever the API puts them."""

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai.fields import Fields, expected, object_text, refuse

MODES = {
    "auto": conversation.TOOL_CHOICE_MODE_AUTO,
    "none": conversation.TOOL_CHOICE_MODE_NONE,
    "required": conversation.TOOL_CHOICE_MODE_REQUIRED,
}


def function(fields: Fields) -> conversation.Tool:
    """A function, from the object that has its name."""
    declared = conversation.Tool(
        name=fields.required_text("name"),
        description=fields.text("description") or "",
        parameters_json=object_text(fields, "parameters"),
    )
    strict = fields.boolean("strict")
    if strict is not None:
        declared.strict = strict
    return declared


def mode(value: object, path: str) -> "conversation.ToolChoiceMode":
    """How free the model is to call tools, in a word."""
    if not isinstance(value, str):
        refuse(path, expected("a string or an object", value))
    if value not in MODES:
        refuse(path, f"must be one of {', '.join(MODES)}, or an object that names a function.")
    return MODES[value]


def schema(fields: Fields) -> generation.ResponseFormat:
    """JSON that matches a schema, from the object that has the schema."""
    asked = generation.JsonSchemaFormat(
        name=fields.required_text("name"),
        schema_json=object_text(fields, "schema"),
        description=fields.text("description") or "",
    )
    strict = fields.boolean("strict")
    if strict is not None:
        asked.strict = strict
    return generation.ResponseFormat(json_schema=asked)
