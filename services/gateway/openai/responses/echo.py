"""What a response repeats of its request."""

from typing import Any

from services.gateway.openai.fields import Fields, refuse
from services.gateway.openai.lines import dumps

# What OpenAI's API means by a parameter that is absent. A model may have defaults of its own, which nobody tells.
_DEFAULTS: dict[str, Any] = {
    "instructions": None,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "safety_identifier": None,
    "user": None,
    "prompt_cache_key": None,
    "service_tier": "default",
}
# The same for every request: nothing else is there.
_FIXED: dict[str, Any] = {
    "background": False,
    "previous_response_id": None,
    "store": False,
    "truncation": "disabled",
}
_INTEGERS = {"top_logprobs": 0, "max_output_tokens": None, "max_tool_calls": None}
_TOOL = ("description", "parameters", "strict")


def echo(fields: Fields) -> bytes:
    """The members of a response that say what was asked, as one JSON object.

    Args:
        fields: a body that has been read without a mistake.

    Raises:
        Failure: SPEC_INVALID, where something is nested more deeply than an answer can be.
    """
    try:
        return dumps(_members(fields))
    except TypeError:  # the writer goes 254 levels deep, and what is repeated may stand deeper than it did
        refuse("", "The body is nested too deeply.")


def _members(fields: Fields) -> dict[str, Any]:
    repeated = {name: default if fields.get(name) is None else fields.get(name) for name, default in _DEFAULTS.items()}
    if repeated["service_tier"] == "auto":
        repeated["service_tier"] = "default"
    for name, default in _INTEGERS.items():  # which may have been written as 2.0
        repeated[name] = default if fields.get(name) is None else fields.integer(name)
    reasoning, text, metadata = fields.members("reasoning"), fields.members("text"), fields.members("metadata")
    return {
        **repeated,
        **_FIXED,
        "metadata": {name: metadata.get(name) for name in metadata.names()} if metadata else {},
        "tools": [_tool(Fields(item, path)) for path, item in fields.items("tools")],
        "text": {
            "format": _format(text.members("format") if text else None),
            "verbosity": _said(text, "verbosity") or "medium",
        },
        "reasoning": {"effort": _said(reasoning, "effort"), "summary": _said(reasoning, "summary")},
    }


def _said(fields: Fields | None, name: str) -> object:
    return (fields.get(name) or None) if fields else None


def _tool(fields: Fields) -> dict[str, Any]:
    if fields.get("type") == "namespace":
        inner = [_tool(Fields(item, path)) for path, item in fields.items("tools")]
        named = {"name": fields.get("name"), "description": fields.get("description") or ""}
        return {"type": "namespace", **named, "tools": inner}
    return {"type": "function", "name": fields.get("name"), **{name: fields.get(name) for name in _TOOL}}


def _format(form: Fields | None) -> dict[str, Any]:
    kind = form.get("type") if form else "text"
    if form is None or kind != "json_schema":
        return {"type": kind}
    schema = {"name": form.get("name"), "schema": form.get("schema"), "description": form.get("description")}
    return {"type": kind, **schema, "strict": form.get("strict") or False}
