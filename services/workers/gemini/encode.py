"""A spec as the body of a generateContent request."""

from typing import Any

import orjson
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

from services.workers.gemini import failures, media
from services.workers.gemini.contents import Contents
from services.workers.gemini.signatures import Memory
from services.workers.gemini.thinking import family, thinking_config

_MOST_STOPS = 5
_SEEDS = range(-(1 << 31), 1 << 31)
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
}
_MODES = {
    conversation.TOOL_CHOICE_MODE_AUTO: "AUTO",
    conversation.TOOL_CHOICE_MODE_NONE: "NONE",
    conversation.TOOL_CHOICE_MODE_REQUIRED: "ANY",
    conversation.TOOL_CHOICE_MODE_NAMED: "ANY",
}


def body(spec: generation.GenerationSpec, memory: Memory, *, files_at: str = "") -> dict[str, Any]:
    """The body, ready for orjson: JSON that came as text stays as it was written.

    Two fields have no place and make no difference that can be seen: `user`, and a schema's name and description.
    `parallel_tool_calls` is honoured by whoever reads the answer.

    Args:
        spec: what to generate.
        memory: signatures that were given out.
        files_at: what the address of an uploaded file begins with.

    Raises:
        Failure: SPEC_INVALID or UNSUPPORTED, naming the field.
    """
    of = family(spec.model)
    said = Contents(memory, signed=of.signed, files_at=files_at)
    for index, message in enumerate(spec.messages):
        said.add(message, f"messages[{index}]")
    request: dict[str, Any] = {"contents": said.whole()}
    if said.instructions:
        request["systemInstruction"] = {"parts": said.instructions}
    config = _sampling(spec) | _form(spec.response_format) | media.resolution(said.details)
    thinking = thinking_config(spec.model, spec.reasoning_effort)
    if thinking:
        config["thinkingConfig"] = thinking
    if config:
        request["generationConfig"] = config
    if spec.tools:
        request |= _tools(spec, validated=of.validated)
    return request


def _sampling(spec: generation.GenerationSpec) -> dict[str, Any]:
    sampling = spec.sampling
    said: dict[str, Any] = {
        theirs: getattr(sampling, ours) for ours, theirs in _SAMPLING.items() if sampling.HasField(ours)
    }
    if said.get("seed", 0) not in _SEEDS:
        raise failures.unsupported("sampling.seed", "a seed has 32 bits")
    if sampling.logit_bias:
        raise failures.unsupported("sampling.logit_bias", "it has no logit bias")
    if spec.provider_options_json:
        raise failures.unsupported("provider_options_json", "fields that the contract does not have are not passed on")
    if len(sampling.stop) > _MOST_STOPS:
        raise failures.unsupported("sampling.stop", f"at most {_MOST_STOPS} texts end an answer")
    if sampling.stop:
        said["stopSequences"] = list(sampling.stop)
    if spec.HasField("max_output_tokens"):
        said["maxOutputTokens"] = spec.max_output_tokens
    if spec.choices > 1:
        said["candidateCount"] = spec.choices
    if spec.HasField("logprobs"):
        said["responseLogprobs"] = True
        if spec.logprobs.top:
            said["logprobs"] = spec.logprobs.top
    return said


def _form(form: generation.ResponseFormat) -> dict[str, Any]:
    kind = form.WhichOneof("form")
    if kind not in ("json_object", "json_schema"):
        return {}
    said: dict[str, Any] = {"responseMimeType": "application/json"}
    if kind == "json_schema":
        said["responseJsonSchema"] = _object(form.json_schema.schema_json, "response_format.json_schema.schema_json")
    return said


def _tools(spec: generation.GenerationSpec, *, validated: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "tools": [{"functionDeclarations": [_tool(tool, f"tools[{at}]") for at, tool in enumerate(spec.tools)]}]
    }
    mode = _MODES.get(spec.tool_choice.mode, "")
    # Elsewhere a call's arguments need not match; with ANY they do.
    if mode in ("", "AUTO") and validated and any(tool.strict for tool in spec.tools):
        mode = "VALIDATED"
    if mode:
        calling: dict[str, Any] = {"mode": mode}
        if spec.tool_choice.mode == conversation.TOOL_CHOICE_MODE_NAMED:
            calling["allowedFunctionNames"] = [spec.tool_choice.name]
        said["toolConfig"] = {"functionCallingConfig": calling}
    return said


def _tool(tool: conversation.Tool, path: str) -> dict[str, Any]:
    # Without a description the API refuses a tool; no other word is known to be true.
    declaration: dict[str, Any] = {"name": tool.name, "description": tool.description or tool.name}
    if tool.parameters_json:
        # Not `parameters`: that is a dialect without `additionalProperties`, `$ref` and more.
        declaration["parametersJsonSchema"] = _object(tool.parameters_json, f"{path}.parameters_json")
    return declaration


def _object(text: str, field: str) -> orjson.Fragment:
    """A JSON object as it was written: large integers and the order of keys survive."""
    try:
        if isinstance(orjson.loads(text), dict):
            return orjson.Fragment(text)
    except orjson.JSONDecodeError:
        pass
    raise failures.invalid(field, "must be a JSON object")
