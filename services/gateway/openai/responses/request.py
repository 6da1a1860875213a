"""POST /v1/responses: the body, as a spec."""

import dataclasses
from collections.abc import Mapping

from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai import sampling
from services.gateway.openai.beyond import beyond, session
from services.gateway.openai.fields import Fields, json_body, json_text, refuse
from services.gateway.openai.responses import tools
from services.gateway.openai.responses.echo import echo
from services.gateway.openai.responses.items import Conversation
from services.gateway.openai.responses.params import Params
from services.gateway.openai.tools import schema

# Said and understood, or of no effect on the answer: what limits or shows tools that the mesh does not have.
_KNOWN = sampling.MEMBERS | {
    *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "include"),
    *("max_output_tokens", "max_tool_calls", "top_logprobs", "user", "safety_identifier", "stream", "stream_options"),
    *("truncation", "background", "client_metadata"),
}
_WHOLE_INPUT = "needs stored answers, and nothing is stored; send the whole conversation as `input`."
REFUSED = {
    "previous_response_id": _WHOLE_INPUT,
    "conversation": _WHOLE_INPUT,
    "prompt": "names a stored template, and nothing is stored; send its text as `instructions` and `input`.",
    "background_options": "is not supported: answers are not stored; ask for a stream instead.",
    "context_management": "is not supported: the input is used as it is; shorten it before it is sent.",
    "moderation": "is not supported.",
    "access_programs": "is not supported.",
    "image": "is not supported; `detail` of each picture says how closely to look.",
    "n": "is not part of this API: there is one answer; ask several times.",
    # Of /v1/chat/completions: a provider would take them, past all that is checked here.
    "messages": "is not part of this API; use `input`.",
    "max_tokens": "is not part of this API; use `max_output_tokens`.",
    "max_completion_tokens": "is not part of this API; use `max_output_tokens`.",
    "response_format": "is not part of this API; use `text.format`.",
    "reasoning_effort": "is not part of this API; use `reasoning.effort`.",
    "verbosity": "is not part of this API; use `text.verbosity`.",
    "logprobs": "is not part of this API; use `include` with message.output_text.logprobs.",
    "functions": "is not part of this API; use `tools`.",
    "function_call": "is not part of this API; use `tool_choice`.",
}
_LOGPROBS = "message.output_text.logprobs"
# Nothing is encrypted, so nothing is left out by not including it; clients without stored state always ask for it.
INCLUDABLE = (_LOGPROBS, "reasoning.encrypted_content")
SUMMARIES = ("auto", "concise", "detailed")
CONTEXTS = ("auto", "all_turns")
MODES = ("standard",)
VERBOSITIES = ("low", "medium", "high")
METADATA = (16, 64, 512)  # pairs, and characters of a key and of a value, as OpenAI has it


@dataclasses.dataclass(frozen=True, slots=True)
class ResponseRequest:
    """What a client asks for, and in which form it wants the answer.

    Attributes:
        spec: what to generate.
        stream: whether the answer comes in pieces.
        echo: what the answer repeats, as a JSON object.
        params: what the client calls the fields of the spec.
        grouped: the namespace and name of functions that the model knows by both in one.
        session: what the client calls the conversation; "" where it does not.
    """

    spec: generation.GenerationSpec
    stream: bool
    echo: bytes
    params: Params
    grouped: Mapping[str, tuple[str, str]]
    session: str


def parse_response(body: bytes) -> ResponseRequest:
    """Read the body of a request for a response.

    Types and shape are checked here, ranges and sizes with the spec, for both faces alike. Top-level fields that are
    not known become the spec's provider options; explicit nulls count as absent.

    Raises:
        Failure: SPEC_INVALID, with what is expected and the path of the mistake.
    """
    fields = Fields(json_body(body), "")
    spec = generation.GenerationSpec(model=fields.required_text("model"))
    said = Conversation()
    instructions = fields.text("instructions")
    if instructions:
        said.instruct(instructions)
    said.take(fields)
    spec.messages.extend(said.messages)
    declared = tools.read(fields, spec)
    parallel = fields.boolean("parallel_tool_calls")
    if parallel is not None:
        spec.parallel_tool_calls = parallel
    sampling.read(fields, spec.sampling)
    _limits(fields, spec)
    _reasoning(fields, spec)
    older, newer = fields.text("user"), fields.text("safety_identifier")
    spec.user = newer or older or ""
    options = beyond(fields, known=_KNOWN, refused=REFUSED)
    _text(fields, spec, options)
    if options:
        spec.provider_options_json = json_text(options, "")
    _unstored(fields)
    stream = fields.boolean("stream") or False
    params = Params(said.paths, [one.path for one in declared])
    grouped = {one.tool.name: (one.namespace, one.name) for one in declared if one.namespace}
    return ResponseRequest(spec, stream, echo(fields), params, grouped, session(fields))


def _limits(fields: Fields, spec: generation.GenerationSpec) -> None:
    limit = fields.integer("max_output_tokens")
    if limit is not None:
        spec.max_output_tokens = limit
    fields.integer("max_tool_calls")
    included = [item for _, item in fields.items("include")]
    for place, item in enumerate(included):
        if item not in INCLUDABLE:
            refuse(f"include[{place}]", f"must be one of {', '.join(INCLUDABLE)}: the rest is of hosted tools.")
    top = fields.integer("top_logprobs")
    if top or _LOGPROBS in included:
        spec.logprobs.top = top or 0
        spec.logprobs.SetInParent()  # present even when `top` is 0


def _reasoning(fields: Fields, spec: generation.GenerationSpec) -> None:
    reasoning = fields.members("reasoning")
    if reasoning is None:
        return
    spec.reasoning_effort = reasoning.text("effort") or ""
    # What a model tells of its thinking is always told.
    for name in ("summary", "generate_summary"):
        reasoning.choice(name, SUMMARIES)
    # What the input holds is all that there is, and all of it is used.
    reasoning.choice("context", CONTEXTS)
    reasoning.choice("mode", MODES)


def _text(fields: Fields, spec: generation.GenerationSpec, options: dict[str, object]) -> None:
    text = fields.members("text")
    if text is None:
        return
    verbosity = text.choice("verbosity", VERBOSITIES)
    if verbosity not in (None, "medium"):  # which asks for what a model does by itself
        options["verbosity"] = verbosity
    form = text.members("format")
    if form is None:
        return
    form.require("type")
    kind = form.choice("type", ("text", "json_object", "json_schema"))
    if kind == "text":
        spec.response_format.text.SetInParent()
    elif kind == "json_object":
        spec.response_format.json_object.SetInParent()
    else:
        form.required_members("schema")
        spec.response_format.CopyFrom(schema(form))


def _unstored(fields: Fields) -> None:
    """Check what has little to say where nothing is stored, cut or run in the background."""
    if fields.boolean("background"):
        refuse("background", "must be false: answers are not stored; ask for a stream instead.")
    if fields.choice("truncation", ("auto", "disabled")) == "auto":
        refuse("truncation", "must be disabled: nothing is cut; shorten the input, or leave this out.")
    options = fields.members("stream_options")
    if options is not None:
        options.boolean("include_obfuscation")
    fields.members("client_metadata")
    metadata = fields.members("metadata")
    if metadata is not None:
        _metadata(metadata)


def _metadata(metadata: Fields) -> None:
    pairs, key_characters, characters = METADATA
    names = list(metadata.names())
    if len(names) > pairs:
        refuse("metadata", f"must hold at most {pairs} pairs.")
    for name in names:
        if len(name) > key_characters or len(metadata.required_text(name)) > characters:
            refuse(
                "metadata", f"must hold keys of at most {key_characters} and texts of at most {characters} characters."
            )
