"""Whether a request is well-formed: ranges and references that both faces share."""

import json
import math
import re

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure

MAX_MODEL_CHARACTERS = 256  # as in the configuration; it goes into the ledger and to the router
MAX_MESSAGES = 4096
MAX_TOOLS = 128
MAX_STOPS = 8
MAX_CHOICES = 16
MAX_OUTPUT_TOKENS = 1 << 24
MAX_TOP_K = 1 << 20
MAX_TOP_LOGPROBS = 20
MAX_USER_CHARACTERS = 512
MAX_INPUTS = 2048  # OpenAI's own limit
MAX_INPUT_BYTES = 16 << 20  # ten times what OpenAI takes in all
MAX_DIMENSIONS = 1 << 16
MAX_VECTOR_BYTES = 56 << 20  # one message holds them all, and gRPC takes 64 MiB
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

_OF_CONVERSATIONS = ("tools", "tool_choice", "parallel_tool_calls", "reasoning_effort")
_MODES = frozenset(conversation.ToolChoiceMode.values())
_ASSISTANT_PARTS = frozenset({"text", "tool_call", "reasoning", "refusal"})
_PARTS_OF_ROLE = {
    conversation.ROLE_SYSTEM: frozenset({"text"}),
    conversation.ROLE_USER: frozenset({"text", "image", "file"}),
    conversation.ROLE_ASSISTANT: _ASSISTANT_PARTS,
    conversation.ROLE_TOOL: frozenset({"tool_result"}),
}


def validate(spec: generation.GenerationSpec) -> None:
    """Refuse what no provider could make sense of.

    Raises:
        Failure: SPEC_INVALID, naming the field.
    """
    _validate_model(spec.model)
    if spec.HasField("prompt"):
        _validate_prompt(spec)
    else:
        _validate_messages(spec)
    if spec.HasField("sampling"):
        _validate_sampling(spec.sampling)
    if spec.HasField("max_output_tokens"):
        _between("max_output_tokens", spec.max_output_tokens, 1, MAX_OUTPUT_TOKENS)
    if spec.HasField("choices"):
        _between("choices", spec.choices, 1, MAX_CHOICES)
    if spec.HasField("logprobs"):
        _between("logprobs.top", spec.logprobs.top, 0, MAX_TOP_LOGPROBS)
    if spec.reasoning_effort and spec.reasoning_effort not in EFFORTS:
        raise invalid("reasoning_effort", f"must be one of {', '.join(EFFORTS)}")
    if spec.tools or spec.HasField("tool_choice"):
        _validate_tools(spec)
    if spec.HasField("response_format") and spec.response_format.HasField("json_schema"):
        _json_object("response_format", spec.response_format.json_schema.schema_json, "a JSON Schema")
    _validate_user(spec.user)
    if spec.provider_options_json:
        _json_object("provider_options_json", spec.provider_options_json, "provider options")


def validate_embedding(spec: embedding.EmbeddingSpec) -> None:
    """The same for an embedding, and that its answer fits into one message.

    Raises:
        Failure: SPEC_INVALID, naming the field; REQUEST_TOO_LARGE.
    """
    _validate_model(spec.model)
    _validate_user(spec.user)
    if spec.provider_options_json:
        _json_object("provider_options_json", spec.provider_options_json, "provider options")
    if not spec.inputs:
        raise invalid("inputs", "must hold at least one input")
    if len(spec.inputs) > MAX_INPUTS:
        raise invalid("inputs", f"must hold at most {MAX_INPUTS} inputs, not {len(spec.inputs)}")
    for index, item in enumerate(spec.inputs):
        if not item.text and not item.token_ids.ids:
            raise invalid(f"inputs[{index}]", "must not be empty")
    if spec.ByteSize() > MAX_INPUT_BYTES:
        raise Failure(
            reasons.ERROR_REASON_REQUEST_TOO_LARGE,
            f"`inputs` must be at most {MAX_INPUT_BYTES >> 20} MiB in all; send fewer at once.",
            field="inputs",
            limit_bytes=str(MAX_INPUT_BYTES),
        )
    if spec.HasField("dimensions"):
        _between("dimensions", spec.dimensions, 1, MAX_DIMENSIONS)
        if 4 * spec.dimensions * len(spec.inputs) > MAX_VECTOR_BYTES:
            raise invalid("dimensions", f"is too much for {len(spec.inputs)} inputs at once; send fewer of them")


def invalid(field: str, what: str) -> Failure:
    """A SPEC_INVALID failure: `field` and what is expected of it."""
    return Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{field}` {what}.", field=field)


def _validate_model(model: str) -> None:
    if not model:
        raise invalid("model", "is required; ListModels tells which there are")
    if len(model) > MAX_MODEL_CHARACTERS:
        raise invalid("model", f"must be at most {MAX_MODEL_CHARACTERS} characters")


def _validate_user(user: str) -> None:
    if len(user) > MAX_USER_CHARACTERS:
        raise invalid("user", f"must be at most {MAX_USER_CHARACTERS} characters")


def _validate_prompt(spec: generation.GenerationSpec) -> None:
    if spec.messages:
        raise invalid("prompt", "cannot go with `messages`; give one of them")
    if not spec.prompt.text and not spec.prompt.token_ids.ids:
        raise invalid("prompt", "must not be empty")
    for field in _OF_CONVERSATIONS:
        given = getattr(spec, field) if field in ("tools", "reasoning_effort") else spec.HasField(field)
        if given:  # a chat template would tell the model of it, and there is none around a prompt
            raise invalid(field, "cannot go with a `prompt`; use `messages`")


def _validate_messages(spec: generation.GenerationSpec) -> None:
    if not spec.messages:
        raise invalid("messages", "must hold at least one message, unless there is a `prompt`")
    if len(spec.messages) > MAX_MESSAGES:
        raise invalid("messages", f"must hold at most {MAX_MESSAGES} messages")
    for index, message in enumerate(spec.messages):
        allowed = _PARTS_OF_ROLE.get(message.role)
        if allowed is None:
            raise invalid(f"messages[{index}].role", "must be system, user, assistant or tool")
        if not message.parts and message.role != conversation.ROLE_ASSISTANT:
            raise invalid(f"messages[{index}].parts", "must hold at least one part")
        for number, part in enumerate(message.parts):
            kind = part.WhichOneof("content")
            if kind not in allowed:
                role = conversation.Role.Name(message.role).removeprefix("ROLE_").lower()
                raise invalid(f"messages[{index}].parts[{number}]", f"cannot be {kind or 'empty'} in a {role} message")
            if kind == "tool_call" and not part.tool_call.id:
                raise invalid(f"messages[{index}].parts[{number}].tool_call.id", "is required")
            if kind == "tool_result" and not part.tool_result.tool_call_id:
                raise invalid(f"messages[{index}].parts[{number}].tool_result.tool_call_id", "is required")


def _validate_sampling(sampling: generation.SamplingParams) -> None:
    if sampling.HasField("temperature"):
        _between("sampling.temperature", sampling.temperature, 0, 2)
    if sampling.HasField("top_p"):
        _between("sampling.top_p", sampling.top_p, 0, 1)
        if sampling.top_p == 0:
            raise invalid("sampling.top_p", "must be above 0")
    if sampling.HasField("top_k"):
        _between("sampling.top_k", sampling.top_k, 1, MAX_TOP_K)
    for field in ("frequency_penalty", "presence_penalty"):
        if sampling.HasField(field):
            _between(f"sampling.{field}", getattr(sampling, field), -2, 2)
    if len(sampling.stop) > MAX_STOPS:
        raise invalid("sampling.stop", f"must hold at most {MAX_STOPS} texts")
    if any(not text for text in sampling.stop):
        raise invalid("sampling.stop", "must not hold an empty text")
    for token, bias in sampling.logit_bias.items():
        _between(f"sampling.logit_bias[{token}]", bias, -100, 100)


def _validate_tools(spec: generation.GenerationSpec) -> None:
    if len(spec.tools) > MAX_TOOLS:
        raise invalid("tools", f"must hold at most {MAX_TOOLS} tools")
    names = set()
    for index, tool in enumerate(spec.tools):
        if not TOOL_NAME.fullmatch(tool.name):
            raise invalid(f"tools[{index}].name", "must be 1 to 64 letters, digits, _ or -")
        if tool.name in names:
            raise invalid(f"tools[{index}].name", f"`{tool.name}` is given twice")
        names.add(tool.name)
        if tool.parameters_json:
            _json_object(f"tools[{index}].parameters_json", tool.parameters_json, "a JSON Schema")
    mode = spec.tool_choice.mode
    if mode not in _MODES:
        raise invalid("tool_choice.mode", "must be auto, none, required or named")
    if mode == conversation.TOOL_CHOICE_MODE_NAMED and spec.tool_choice.name not in names:
        raise invalid("tool_choice", f"names `{spec.tool_choice.name}`, which is not among the tools")
    if mode == conversation.TOOL_CHOICE_MODE_REQUIRED and not names:
        raise invalid("tool_choice", "requires a tool, but there are none")


def _between(field: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise invalid(field, f"must be between {low} and {high}, not {value:g}")


def _json_object(field: str, text: str, what: str) -> None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(field, f"must be {what} as JSON text") from error
    if not isinstance(value, dict):
        raise invalid(field, f"must be {what}: a JSON object")
