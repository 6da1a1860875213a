"""A spec as the body of a request for a chat completion, or for the completion of a prompt."""

from typing import Any

import orjson
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.workers.openai import options
from services.workers.openai.messages import chat_messages

_MODES = {
    conversation.TOOL_CHOICE_MODE_AUTO: "auto",
    conversation.TOOL_CHOICE_MODE_NONE: "none",
    conversation.TOOL_CHOICE_MODE_REQUIRED: "required",
}


def body(
    spec: generation.GenerationSpec, *, max_tokens_field: str = "max_completion_tokens", reasoning_field: str = ""
) -> dict[str, Any]:
    """The body, ready for orjson: JSON that came as text stays as it was written. Always a stream, always with usage.

    Args:
        spec: what to generate.
        max_tokens_field: what the server calls the limit on tokens.
        reasoning_field: under which name it takes earlier thinking; empty where it takes none.

    Raises:
        Failure: SPEC_INVALID or UNSUPPORTED, naming the field.
    """
    if spec.HasField("prompt"):
        return _common(spec) | _prompted(spec)
    messages: list[dict[str, Any]] = []
    for index, message in enumerate(spec.messages):
        messages.extend(chat_messages(message, f"messages[{index}]", reasoning_field=reasoning_field))
    request = _common(spec) | {"messages": messages} | _tools(spec)
    if spec.HasField("max_output_tokens"):
        request[max_tokens_field] = spec.max_output_tokens
    if spec.HasField("logprobs"):
        request |= {"logprobs": True, "top_logprobs": spec.logprobs.top}
    if spec.reasoning_effort:
        request["reasoning_effort"] = spec.reasoning_effort
    return request


def _prompted(spec: generation.GenerationSpec) -> dict[str, Any]:
    """What only the older API has, where several things go by other names."""
    if not spec.HasField("max_output_tokens"):  # without, an answer would end after 16 tokens
        raise Failure(
            reasons.ERROR_REASON_SPEC_INVALID,
            "`max_output_tokens` is required with a `prompt` for this provider.",
            field="max_output_tokens",
        )
    prompt = spec.prompt
    said: dict[str, Any] = {"prompt": list(prompt.token_ids.ids) or prompt.text, "max_tokens": spec.max_output_tokens}
    if spec.HasField("logprobs"):
        said["logprobs"] = spec.logprobs.top
    return said


def _common(spec: generation.GenerationSpec) -> dict[str, Any]:
    """What both APIs say in the same words."""
    request: dict[str, Any] = {"model": spec.model, "stream": True, "stream_options": {"include_usage": True}}
    if spec.choices > 1:  # some servers do not know the field
        request["n"] = spec.choices
    if spec.user:
        request["user"] = spec.user
    return request | _form(spec) | _sampling(spec.sampling) | options.passed_on(spec.provider_options_json)


def _sampling(sampling: generation.SamplingParams) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name in ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty"):
        if sampling.HasField(name):
            said[name] = getattr(sampling, name)
    if sampling.stop:
        said["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        said["logit_bias"] = {str(token): bias for token, bias in sorted(sampling.logit_bias.items())}
    return said


def _tools(spec: generation.GenerationSpec) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if spec.tools:
        said["tools"] = [_tool(tool, f"tools[{index}]") for index, tool in enumerate(spec.tools)]
    choice = spec.tool_choice
    if choice.mode == conversation.TOOL_CHOICE_MODE_NAMED:
        said["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice.mode in _MODES:
        said["tool_choice"] = _MODES[choice.mode]
    if spec.HasField("parallel_tool_calls"):
        said["parallel_tool_calls"] = spec.parallel_tool_calls
    return said


def _form(spec: generation.GenerationSpec) -> dict[str, Any]:
    form = spec.response_format.WhichOneof("form")
    if form == "json_schema":
        return {"response_format": {"type": form, "json_schema": _schema(spec.response_format.json_schema)}}
    return {"response_format": {"type": form}} if form else {}


def _tool(tool: conversation.Tool, path: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters_json:
        function["parameters"] = _object(tool.parameters_json, f"{path}.parameters_json")
    if tool.HasField("strict"):
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _schema(form: generation.JsonSchemaFormat) -> dict[str, Any]:
    said: dict[str, Any] = {"name": form.name or "answer"}  # the wire wants a name
    said["schema"] = _object(form.schema_json, "response_format.json_schema.schema_json")
    if form.description:
        said["description"] = form.description
    if form.HasField("strict"):
        said["strict"] = form.strict
    return said


def _object(text: str, field: str) -> orjson.Fragment:
    """A JSON object as it was written: large integers and the order of keys survive."""
    try:
        if isinstance(orjson.loads(text), dict):
            return orjson.Fragment(text)
    except orjson.JSONDecodeError:
        pass
    raise Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{field}` must be a JSON object.", field=field)
