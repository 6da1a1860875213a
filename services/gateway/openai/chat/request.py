"""POST /v1/chat/completions: the body, as a spec."""

import dataclasses

from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai import sampling
from services.gateway.openai.beyond import beyond, session
from services.gateway.openai.chat import tools
from services.gateway.openai.chat.messages import message
from services.gateway.openai.fields import Fields, json_body, json_text, refuse
from services.gateway.openai.stream_options import include_usage
from services.gateway.validate import MAX_MESSAGES, MAX_OUTPUT_TOKENS, MAX_TOOLS

# Said and understood, or of no effect on the answer.
_KNOWN = sampling.MEMBERS | {
    *("model", "messages", "reasoning_effort", "user", "safety_identifier", "stream", "stream_options", "modalities"),
    *("tools", "tool_choice", "parallel_tool_calls", "response_format", "max_tokens", "max_completion_tokens", "n"),
    *("logprobs", "top_logprobs"),
}
_OF_TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls", "response_format"})
_LIMITS = frozenset({"max_tokens", "max_completion_tokens", "n", "logprobs", "top_logprobs"})
# Would change the answer or its shape in ways that this API does not have.
REFUSED = {
    "functions": "is no longer supported; use tools.",
    "function_call": "is no longer supported; use tool_choice.",
    "audio": "is not supported: answers are text.",
    "web_search_options": "is not supported: the mesh does not search the web.",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a client asks for, in which form it wants the answer, and what it calls the conversation (or "")."""

    spec: generation.GenerationSpec
    stream: bool
    include_usage: bool
    session: str


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
    spec.messages.extend(message(item, path) for path, item in fields.items("messages", MAX_MESSAGES))
    if fields.any_of(_OF_TOOLS):
        _tools(fields, spec)
    sampling.read(fields, spec.sampling)
    if fields.any_of(_LIMITS):
        _limits(fields, spec)
    spec.reasoning_effort = fields.text("reasoning_effort") or ""
    older, newer = fields.text("user"), fields.text("safety_identifier")
    spec.user = newer or older or ""
    _unmapped(fields, spec)
    stream = fields.boolean("stream") or False
    usage = include_usage(fields)  # read in any case: a mistake is one in an answer that is whole, too
    return ChatRequest(spec, stream, stream and usage, session(fields))


def _tools(fields: Fields, spec: generation.GenerationSpec) -> None:
    spec.tools.extend(tools.tool(item, path) for path, item in fields.items("tools", MAX_TOOLS))
    choice = tools.tool_choice(fields)
    if choice is not None:
        spec.tool_choice.CopyFrom(choice)
    parallel = fields.boolean("parallel_tool_calls")
    if parallel is not None:
        spec.parallel_tool_calls = parallel
    form = tools.response_format(fields)
    if form is not None:
        spec.response_format.CopyFrom(form)


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


def _unmapped(fields: Fields, spec: generation.GenerationSpec) -> None:
    if any(item != "text" for _, item in fields.items("modalities")):
        refuse("modalities", 'must be ["text"]: answers are text.')
    rest = beyond(fields, known=_KNOWN, refused=REFUSED)
    if rest:
        spec.provider_options_json = json_text(rest, "")
