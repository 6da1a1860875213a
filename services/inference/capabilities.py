"""What a generation, or an embedding, needs of whoever serves it."""

from collections.abc import Collection, Mapping
from typing import TypeVar

import orjson
from google.protobuf.message import Message
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.inference.refusal import unsupported

Needs = dict[model.Capability, str]
Spec = TypeVar("Spec", generation.GenerationSpec, embedding.EmbeddingSpec)

# Parameters that shape an answer but do not make it another one. A route may say that they are left out where the
# provider does not have them. What the caller's program relies on (tools, the form of the answer, the number of
# choices, pictures) never is.
DROPPABLE: frozenset[int] = frozenset(
    {
        model.CAPABILITY_LOGPROBS,
        model.CAPABILITY_REASONING_EFFORT,
        model.CAPABILITY_SEED,
        model.CAPABILITY_PENALTIES,
        model.CAPABILITY_LOGIT_BIAS,
        model.CAPABILITY_TOP_K,
        model.CAPABILITY_PROVIDER_OPTIONS,
    }
)


_FORMS: Mapping[str | None, model.Capability] = {
    "json_object": model.CAPABILITY_JSON_OBJECT,
    "json_schema": model.CAPABILITY_JSON_SCHEMA,
}


def needs_of(spec: generation.GenerationSpec | embedding.EmbeddingSpec) -> Needs:
    """Each capability that the spec of either kind needs, with the field that needs it."""
    return required_by_embedding(spec) if isinstance(spec, embedding.EmbeddingSpec) else required(spec)


def required(spec: generation.GenerationSpec) -> Needs:
    """Each capability that the spec needs, with the field that needs it."""
    has, needs = spec.HasField, Needs()
    parts = _of_parts(spec)
    if has("prompt"):
        needs[model.CAPABILITY_COMPLETIONS] = "prompt"
        if spec.prompt.HasField("token_ids"):
            needs[model.CAPABILITY_TOKEN_INPUTS] = "prompt.token_ids"
    else:
        needs[model.CAPABILITY_CHAT] = "messages"
    tools = parts.pop(model.CAPABILITY_TOOLS, "")
    if spec.tools:
        tools = "tools"
    if tools:
        needs[model.CAPABILITY_TOOLS] = tools
    form = _FORMS.get(spec.response_format.WhichOneof("form")) if has("response_format") else None
    if form is not None:
        needs[form] = "response_format"
    if has("logprobs"):
        needs[model.CAPABILITY_LOGPROBS] = "logprobs"
    if spec.choices > 1:
        needs[model.CAPABILITY_CHOICES] = "choices"
    if spec.reasoning_effort:
        needs[model.CAPABILITY_REASONING_EFFORT] = "reasoning_effort"
    if has("sampling"):
        _of_sampling(spec.sampling, needs)
    if spec.provider_options_json:
        needs[model.CAPABILITY_PROVIDER_OPTIONS] = _option(spec.provider_options_json)
    needs.update(parts)
    return needs


def _of_parts(spec: generation.GenerationSpec) -> Needs:
    """What the parts of messages need."""
    needs = Needs()
    for index, message in enumerate(spec.messages):
        for part in message.parts:
            kind = part.WhichOneof("content")
            if kind == "image":
                needs[model.CAPABILITY_IMAGES] = f"messages[{index}]"
            elif kind == "file":
                needs[model.CAPABILITY_FILES] = f"messages[{index}]"
            elif kind in ("tool_call", "tool_result"):
                needs.setdefault(model.CAPABILITY_TOOLS, f"messages[{index}]")
    return needs


def _of_sampling(sampling: generation.SamplingParams, needs: Needs) -> None:
    """Add what the parameters of sampling need."""
    if sampling.HasField("seed"):
        needs[model.CAPABILITY_SEED] = "sampling.seed"
    penalty = _penalty(sampling)
    if penalty:
        needs[model.CAPABILITY_PENALTIES] = penalty
    if sampling.logit_bias:
        needs[model.CAPABILITY_LOGIT_BIAS] = "sampling.logit_bias"
    if sampling.HasField("top_k"):
        needs[model.CAPABILITY_TOP_K] = "sampling.top_k"
    if sampling.stop:
        needs[model.CAPABILITY_STOP] = "sampling.stop"


def required_by_embedding(spec: embedding.EmbeddingSpec) -> Needs:
    """The same for an embedding."""
    tokens = next((index for index, item in enumerate(spec.inputs) if item.HasField("token_ids")), None)
    needs = {
        model.CAPABILITY_EMBEDDINGS: "model",
        model.CAPABILITY_DIMENSIONS: "dimensions" if spec.HasField("dimensions") else "",
        model.CAPABILITY_TOKEN_INPUTS: "" if tokens is None else f"inputs[{tokens}]",
        model.CAPABILITY_PROVIDER_OPTIONS: _option(spec.provider_options_json),
    }
    return {capability: field for capability, field in needs.items() if field}


def check(needs: Mapping[model.Capability, str], offered: Collection[int], *, name: str, provider: str) -> None:
    """Refuse what a provider cannot do with the model `name`, rather than drop it in silence.

    Raises:
        Failure: UNSUPPORTED, naming the field and the provider.
    """
    for capability, field in needs.items():
        if capability not in offered:
            raise unsupported(capability, field, name=name, provider=provider)


def without_unsupported(spec: Spec, needs: Needs, offered: Collection[int]) -> tuple[Spec, list[str]]:
    """The spec without the DROPPABLE parameters that are not offered, as a copy, and the names of their fields.

    Args:
        spec: a generation's or an embedding's.
        needs: what it needs.
        offered: what the model can do.
    """
    missing = [capability for capability in needs if capability in DROPPABLE and capability not in offered]
    if not missing:
        return spec, []
    rest = type(spec)()
    rest.CopyFrom(spec)
    fields = [field for capability in missing for field in _FIELDS[capability]]
    return rest, [field for field in fields if _clear(rest, field)]


_FIELDS: dict[int, tuple[str, ...]] = {
    model.CAPABILITY_LOGPROBS: ("logprobs",),
    model.CAPABILITY_REASONING_EFFORT: ("reasoning_effort",),
    model.CAPABILITY_SEED: ("sampling.seed",),
    model.CAPABILITY_PENALTIES: ("sampling.frequency_penalty", "sampling.presence_penalty"),
    model.CAPABILITY_LOGIT_BIAS: ("sampling.logit_bias",),
    model.CAPABILITY_TOP_K: ("sampling.top_k",),
    model.CAPABILITY_PROVIDER_OPTIONS: ("provider_options_json",),
}


def _clear(spec: Message, path: str) -> bool:
    """Clear a field; whether there was anything in it."""
    parent, _, name = path.rpartition(".")
    message = getattr(spec, parent) if parent else spec
    before = message.ByteSize()
    message.ClearField(name)
    return message.ByteSize() < before


def _penalty(sampling: generation.SamplingParams) -> str:
    for field in ("frequency_penalty", "presence_penalty"):
        if sampling.HasField(field):
            return f"sampling.{field}"
    return ""


def _option(text: str) -> str:
    """The first of the provider options, by which the caller knows them."""
    if not text:
        return ""
    try:
        options = orjson.loads(text)
    except orjson.JSONDecodeError:
        options = None
    first = next(iter(options), "") if isinstance(options, dict) else ""
    return f"provider_options_json.{first}" if first else "provider_options_json"
