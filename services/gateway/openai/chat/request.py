"""POST /v1/chat/completions: the body, as a spec."""

import dataclasses
import re

from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai.chat import tools
from services.gateway.openai.chat.messages import message
from services.gateway.openai.fields import INT64, Fields, expected, json_body, json_text, refuse
from services.gateway.validate import MAX_OUTPUT_TOKENS

# Said and understood: these become the spec.
_MAPPED = frozenset(
    {"model", "messages", "reasoning_effort", "user", "safety_identifier", "stream", "stream_options"}
    | {"tools", "tool_choice", "parallel_tool_calls", "response_format", "max_tokens", "max_completion_tokens", "n"}
    | {"temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "stop", "seed", "logit_bias"}
    | {"logprobs", "top_logprobs"}
)
# Said for somebody else's cache or dashboard: without them the answer is the same.
_HARMLESS = frozenset(
    {"metadata", "store", "modalities", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"}
)
# A token id, as a key of an object. No vocabulary has a thousand million tokens.
TOKEN = re.compile("[0-9]{1,9}")
# Would change the answer or its shape in ways that this API does not have.
REFUSED = {
    "functions": "is no longer supported; use tools.",
    "function_call": "is no longer supported; use tool_choice.",
    "audio": "is not supported: answers are text.",
    "web_search_options": "is not supported: the mesh does not search the web.",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a client asks for, and in which form it wants the answer."""

    spec: generation.GenerationSpec
    stream: bool
    include_usage: bool


def parse_chat(body: bytes) -> ChatRequest:
    """Read the body of a chat completion.

    Types and shape are checked here, ranges and sizes with the spec, for both faces alike. Top-level fields that are
    not known become the spec's provider options; explicit nulls count as absent.

    Raises:
        Failure: SPEC_INVALID, with what is expected and the path of the mistake.
    """
    fields = Fields(json_body(body), "")
    spec = generation.GenerationSpec(model=fields.required_text("model"))
    fields.require("messages")
    spec.messages.extend(message(item, path) for path, item in fields.items("messages"))
    _tools(fields, spec)
    _sampling(fields, spec.sampling)
    _limits(fields, spec)
    spec.reasoning_effort = fields.text("reasoning_effort") or ""
    older, newer = fields.text("user"), fields.text("safety_identifier")
    spec.user = newer or older or ""
    _unmapped(fields, spec)
    stream = fields.boolean("stream") or False
    include_usage = _include_usage(fields)  # read in any case: a mistake is one in an answer that is whole, too
    return ChatRequest(spec, stream, stream and include_usage)


def _tools(fields: Fields, spec: generation.GenerationSpec) -> None:
    spec.tools.extend(tools.tool(item, path) for path, item in fields.items("tools"))
    choice = tools.tool_choice(fields)
    if choice is not None:
        spec.tool_choice.CopyFrom(choice)
    parallel = fields.boolean("parallel_tool_calls")
    if parallel is not None:
        spec.parallel_tool_calls = parallel
    form = tools.response_format(fields)
    if form is not None:
        spec.response_format.CopyFrom(form)


def _sampling(fields: Fields, sampling: generation.SamplingParams) -> None:
    for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty"):
        number = fields.number(name)
        if number is not None:
            setattr(sampling, name, number)
    for name, integer in (("top_k", fields.integer("top_k")), ("seed", fields.integer("seed", INT64))):
        if integer is not None:
            setattr(sampling, name, integer)
    stop = _stop(fields)
    if stop:  # extending by nothing would still make `sampling` present
        sampling.stop.extend(stop)
    if fields.get("logit_bias") is not None:
        _logit_bias(fields.required_members("logit_bias"), sampling)


def _logit_bias(bias: Fields, sampling: generation.SamplingParams) -> None:
    for token in bias.names():
        if not TOKEN.fullmatch(token):
            refuse("logit_bias", "must map token ids, written as decimal integers, to numbers.")
        sampling.logit_bias[int(token)] = bias.number(token) or 0.0


def _stop(fields: Fields) -> list[str]:
    stop = fields.get("stop")
    if stop is None:
        return []
    if isinstance(stop, str):
        return [stop]
    if not isinstance(stop, list):
        refuse("stop", expected("a string or an array of strings", stop))
    return [
        item if isinstance(item, str) else refuse(path, expected("a string", item))
        for path, item in fields.items("stop")
    ]


def _limits(fields: Fields, spec: generation.GenerationSpec) -> None:
    older, newer = fields.integer("max_tokens"), fields.integer("max_completion_tokens")
    if older is not None and newer is not None and older != newer:
        refuse("max_tokens", "and `max_completion_tokens` are two names of one limit; give only the latter.")
    limit = older if newer is None else newer
    if limit is not None:
        if not 1 <= limit <= MAX_OUTPUT_TOKENS:  # refused here, under the name that was used
            name = "max_tokens" if newer is None else "max_completion_tokens"
            refuse(name, f"must be between 1 and {MAX_OUTPUT_TOKENS}, not {limit}.")
        spec.max_output_tokens = limit
    choices = fields.integer("n")
    if choices is not None:
        spec.choices = choices
    top = fields.integer("top_logprobs")
    if fields.boolean("logprobs"):
        spec.logprobs.top = top or 0
        spec.logprobs.SetInParent()  # present even when `top` is 0
    elif top:
        refuse("top_logprobs", "needs `logprobs` to be true.")


def _include_usage(fields: Fields) -> bool:
    options = fields.members("stream_options")
    if options is None:
        return False
    # vLLM's own: it would put usage into every chunk.
    if options.boolean("continuous_usage_stats"):
        refuse(options.path("continuous_usage_stats"), "is not supported; usage comes once, at the end.")
    options.boolean("include_obfuscation")
    return options.boolean("include_usage") or False


def _unmapped(fields: Fields, spec: generation.GenerationSpec) -> None:
    """Refuse what would change the answer, drop what changes nothing, keep the rest for the provider to judge."""
    if fields.boolean("store"):
        refuse("store", "must be false: answers are not stored.")
    fields.members("metadata")
    if any(item != "text" for _, item in fields.items("modalities")):
        refuse("modalities", 'must be ["text"]: answers are text.')
    rest: dict[str, object] = {}
    for name in fields.names():
        if name in REFUSED:
            refuse(name, REFUSED[name])
        if name in _MAPPED or name in _HARMLESS:
            continue
        # `auto` and `default` ask for nothing; another tier has another price, which is for its provider to say.
        if name == "service_tier" and fields.text(name) in ("auto", "default"):
            continue
        rest[name] = fields.get(name)
    if rest:
        spec.provider_options_json = json_text(rest, "")
