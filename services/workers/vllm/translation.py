"""How to draw tokens, in the engine's terms."""

import json
from collections.abc import Mapping
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.workers.vllm.failures import invalid, too_long
from services.workers.vllm.options import sampling_options


def check(spec: generation.GenerationSpec, *, admitted: int) -> None:
    """Refuse what can be refused before the prompt is rendered; `admitted` choices fit at once (0: any number).

    Raises:
        Failure: SPEC_INVALID, naming the field.
    """
    if spec.HasField("max_output_tokens") and not spec.max_output_tokens:
        raise invalid("max_output_tokens", "`max_output_tokens` must be at least 1.")
    if spec.HasField("choices") and not spec.choices:
        raise invalid("choices", "`choices` must be at least 1.")
    if admitted and spec.choices > admitted:
        raise invalid("choices", f"`choices` must be at most {admitted} with this model.")


def sampling_arguments(
    spec: generation.GenerationSpec, defaults: Mapping[str, Any], *, prompt_tokens: int, context_tokens: int
) -> dict[str, Any]:
    """Arguments of the engine's SamplingParams; `structured_outputs` as the arguments of its own type.

    Args:
        spec: what to generate.
        defaults: the model's, for what the spec leaves out.
        prompt_tokens: length of the rendered prompt.
        context_tokens: most tokens of prompt and answer together.

    Raises:
        Failure: CONTEXT_TOO_LONG, UNSUPPORTED or SPEC_INVALID, naming the field.
    """
    sampling = spec.sampling
    arguments = dict(defaults) | sampling_options(spec.provider_options_json, model=spec.model)
    for name in ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty"):
        if sampling.HasField(name):
            arguments[name] = getattr(sampling, name)
    if sampling.HasField("seed"):
        # The engine takes -1 for no seed at all.
        arguments["seed"] = sampling.seed if sampling.seed != -1 else 1 << 62
    if sampling.stop:
        arguments["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        arguments["logit_bias"] = dict(sampling.logit_bias)
    if spec.HasField("logprobs"):
        arguments["logprobs"] = spec.logprobs.top
    if spec.choices > 1:
        arguments["n"] = spec.choices
        if arguments.get("temperature") == 0:
            # The engine refuses several greedy choices. Drawing from the likeliest token alone is the same.
            arguments |= {"temperature": 1.0, "top_k": 1}
    arguments["max_tokens"] = _max_tokens(spec, defaults, prompt_tokens, context_tokens)
    form = structured_outputs(spec.response_format)
    if form and "structured_outputs" in arguments:
        raise invalid("response_format", "Give `response_format` or `structured_outputs`, not both.")
    if form:
        arguments["structured_outputs"] = form
    return arguments


def structured_outputs(response_format: generation.ResponseFormat) -> dict[str, Any]:
    """What constrains the answer's form; empty for free text.

    Raises:
        Failure: SPEC_INVALID, where the schema is not JSON.
    """
    form = response_format.WhichOneof("form")
    if form == "json_object":
        return {"json_object": True}
    if form != "json_schema":
        return {}
    schema = response_format.json_schema.schema_json
    try:
        parsed = json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise invalid("response_format.json_schema.schema_json", f"The JSON Schema is not JSON: {error}.") from error
    if not isinstance(parsed, dict):
        raise invalid("response_format.json_schema.schema_json", "The JSON Schema must be a JSON object.")
    return {"json": schema}


def _max_tokens(
    spec: generation.GenerationSpec, defaults: Mapping[str, Any], prompt_tokens: int, context_tokens: int
) -> int:
    left = context_tokens - prompt_tokens
    limit = f"the model's context is {context_tokens} tokens"
    if left < 1:
        raise too_long(
            "prompt" if spec.HasField("prompt") else "messages",
            f"The prompt is {prompt_tokens} tokens long, which leaves no room for an answer; {limit}.",
            model=spec.model,
        )
    if not spec.HasField("max_output_tokens"):
        return min(left, int(defaults.get("max_tokens", left)))
    if spec.max_output_tokens > left:
        raise too_long(
            "max_output_tokens",
            f"{prompt_tokens} tokens of prompt and `max_output_tokens` {spec.max_output_tokens} do not fit; {limit}.",
            model=spec.model,
        )
    return spec.max_output_tokens
