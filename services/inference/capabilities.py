"""What a generation needs of whoever serves it."""

from collections.abc import Collection

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.chassis.failure import Failure


def required(spec: generation.GenerationSpec) -> dict[model.Capability, str]:
    """Each capability that the spec needs, with the field that needs it."""
    sampling = spec.sampling
    needs = {
        model.CAPABILITY_CHAT: "messages",
        model.CAPABILITY_TOOLS: "tools" if spec.tools else "",
        model.CAPABILITY_JSON_OBJECT: "response_format" if spec.response_format.HasField("json_object") else "",
        model.CAPABILITY_JSON_SCHEMA: "response_format" if spec.response_format.HasField("json_schema") else "",
        model.CAPABILITY_LOGPROBS: "logprobs" if spec.HasField("logprobs") else "",
        model.CAPABILITY_CHOICES: "choices" if spec.choices > 1 else "",
        model.CAPABILITY_REASONING_EFFORT: "reasoning_effort" if spec.reasoning_effort else "",
        model.CAPABILITY_SEED: "sampling.seed" if sampling.HasField("seed") else "",
        model.CAPABILITY_PENALTIES: _penalty(sampling),
        model.CAPABILITY_LOGIT_BIAS: "sampling.logit_bias" if sampling.logit_bias else "",
        model.CAPABILITY_TOP_K: "sampling.top_k" if sampling.HasField("top_k") else "",
        model.CAPABILITY_STOP: "sampling.stop" if sampling.stop else "",
    }
    for index, message in enumerate(spec.messages):
        for part in message.parts:
            kind = part.WhichOneof("content")
            if kind == "image":
                needs[model.CAPABILITY_IMAGES] = f"messages[{index}]"
            elif kind == "file":
                needs[model.CAPABILITY_FILES] = f"messages[{index}]"
            elif kind in ("tool_call", "tool_result"):
                needs[model.CAPABILITY_TOOLS] = needs[model.CAPABILITY_TOOLS] or f"messages[{index}]"
    return {capability: field for capability, field in needs.items() if field}


def check(spec: generation.GenerationSpec, offered: Collection[model.Capability], *, provider: str) -> None:
    """Refuse what a provider cannot do, rather than drop it in silence.

    Raises:
        Failure: UNSUPPORTED, naming the field and the provider.
    """
    for capability, field in required(spec).items():
        if capability not in offered:
            raise Failure(
                reasons.ERROR_REASON_UNSUPPORTED,
                f"`{field}` is not supported by {provider} for the model `{spec.model}`; leave it out or choose "
                "another model.",
                field=field,
                model=spec.model,
                provider=provider,
            )


def _penalty(sampling: generation.SamplingParams) -> str:
    for field in ("frequency_penalty", "presence_penalty"):
        if sampling.HasField(field):
            return f"sampling.{field}"
    return ""
