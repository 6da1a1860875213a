"""POST /v1/completions: the body, as a spec for each of its prompts."""

import dataclasses
from collections.abc import Sequence

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai import sampling
from services.gateway.openai.beyond import beyond, session
from services.gateway.openai.chat.tools import response_format
from services.gateway.openai.fields import Fields, json_body, json_text, refuse
from services.gateway.openai.inputs import inputs
from services.gateway.openai.stream_options import include_usage
from services.gateway.validate import MAX_OUTPUT_TOKENS, MAX_TOP_LOGPROBS

MAX_PROMPTS = 128
MAX_COPIED_BYTES = 32 << 20  # what is not the prompt, once for each prompt; as much as a whole body

DEFAULT_MAX_TOKENS = 16  # OpenAI's own, and that of vLLM's server
# Said and understood, or of no effect on the answer.
_KNOWN = sampling.MEMBERS | {
    *("model", "prompt", "suffix", "echo", "best_of", "max_tokens", "n", "logprobs", "response_format"),
    *("user", "safety_identifier", "stream", "stream_options"),
}
_CHATS = "is for chats: POST /v1/chat/completions."
REFUSED = {
    "max_completion_tokens": "is called max_tokens here.",
    "top_logprobs": "is called logprobs here.",
    **dict.fromkeys(("messages", "tools", "tool_choice", "parallel_tool_calls", "reasoning_effort"), _CHATS),
}


@dataclasses.dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What a client asks for, and in which form it wants the answer.

    Attributes:
        specs: what to generate, one for each prompt.
        echoed: the text that begins each answer to a prompt; empty without `echo`.
        stream: whether the answer comes in pieces.
        include_usage: whether a stream ends with the usage.
        session: what the client calls the conversation; "" where it does not.
    """

    specs: Sequence[generation.GenerationSpec]
    echoed: Sequence[str]
    stream: bool
    include_usage: bool
    session: str

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return self.specs[0].model

    @property
    def choices(self) -> int:
        """Answers to each prompt."""
        return self.specs[0].choices or 1


def parse_completion(body: bytes) -> CompletionRequest:
    """Read the body of a completion.

    Types and shape are checked here, ranges and sizes with the spec, for both faces alike. Fields that are not known
    become the specs' provider options; explicit nulls count as absent.

    Raises:
        Failure: SPEC_INVALID, with what is expected and the path of the mistake.
    """
    fields = Fields(json_body(body), "")
    spec = generation.GenerationSpec(model=fields.required_text("model"))
    prompts = _prompts(fields.require("prompt"))
    sampling.read(fields, spec.sampling)
    _limits(fields, spec)
    form = response_format(fields)
    if form is not None:
        spec.response_format.CopyFrom(form)
    older, newer = fields.text("user"), fields.text("safety_identifier")
    spec.user = newer or older or ""
    echoed = _echoed(fields, spec, prompts)
    _beyond(fields, spec)
    stream = fields.boolean("stream") or False
    usage = include_usage(fields)  # read in any case: a mistake is one in an answer that is whole, too
    return CompletionRequest(_each(spec, prompts), echoed, stream, stream and usage, session(fields))


def _prompts(value: object) -> list[generation.Prompt]:
    return [
        generation.Prompt(text=one)
        if isinstance(one, str)
        else generation.Prompt(token_ids=embedding.TokenIds(ids=one))
        for one in inputs(value, "prompt", MAX_PROMPTS)
    ]


def _each(spec: generation.GenerationSpec, prompts: Sequence[generation.Prompt]) -> list[generation.GenerationSpec]:
    if len(prompts) > 1 and len(prompts) * spec.ByteSize() > MAX_COPIED_BYTES:
        what = f"is too much beside options of {spec.ByteSize()} bytes, which go with each prompt"
        refuse("prompt", f"{what}; send fewer prompts at once.")
    specs = []
    for prompt in prompts:
        one = generation.GenerationSpec(prompt=prompt)
        one.MergeFrom(spec)
        specs.append(one)
    return specs


def _limits(fields: Fields, spec: generation.GenerationSpec) -> None:
    """How much is generated, and told of it. Mistakes are told here, under the names that this API has."""
    limit = fields.integer("max_tokens")
    if limit is not None and not 1 <= limit <= MAX_OUTPUT_TOKENS:
        refuse("max_tokens", f"must be between 1 and {MAX_OUTPUT_TOKENS}, not {limit}; a prompt alone is no answer.")
    spec.max_output_tokens = DEFAULT_MAX_TOKENS if limit is None else limit
    choices = fields.integer("n")
    if choices is not None:
        spec.choices = choices
    best_of = fields.integer("best_of")
    if best_of is not None and best_of != (1 if choices is None else choices):
        refuse("best_of", "must equal `n`: every answer that is generated is given.")
    top = fields.integer("logprobs")
    if top is not None:
        if top > MAX_TOP_LOGPROBS:
            refuse("logprobs", f"must be at most {MAX_TOP_LOGPROBS}, not {top}.")
        spec.logprobs.top = top
        spec.logprobs.SetInParent()  # present even when `top` is 0


def _echoed(fields: Fields, spec: generation.GenerationSpec, prompts: Sequence[generation.Prompt]) -> list[str]:
    # An object is no wish for the prompt, but a script for the echo provider, and goes there as other options do.
    if isinstance(fields.get("echo"), dict) or not fields.boolean("echo"):
        return [""] * len(prompts)
    if spec.HasField("logprobs"):
        refuse("echo", "cannot go with `logprobs`: there are none of the prompt.")
    if any(prompt.HasField("token_ids") for prompt in prompts):
        refuse("echo", "needs prompts of text: nobody here knows the text of token ids.")
    return [prompt.text for prompt in prompts]


def _beyond(fields: Fields, spec: generation.GenerationSpec) -> None:
    rest = beyond(fields, known=_KNOWN, refused=REFUSED)
    script = fields.get("echo")
    if isinstance(script, dict):
        rest["echo"] = script
    # Some providers go on towards a text that follows. Those that do not refuse it by name.
    suffix = fields.text("suffix")
    if suffix:
        rest["suffix"] = suffix
    if rest:
        spec.provider_options_json = json_text(rest, "")
