"""The specs that features ask with: short questions, small limits."""

from collections.abc import Sequence
from typing import Any

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

from services.cli.verify.feature import Build
from services.cli.verify.seen import Seen

# Enough for a sentence after some thinking, which counts too. What is asked for takes a fraction of it.
MOST_TOKENS = 512

SYSTEM, USER, ASSISTANT = conversation.ROLE_SYSTEM, conversation.ROLE_USER, conversation.ROLE_ASSISTANT


def conversing(
    *messages: tuple[conversation.Role, str],
    most: int = MOST_TOKENS,
    sampling: generation.SamplingParams | None = None,
    **fields: Any,
) -> Build:
    """A conversation in texts."""

    def build(model: str, _: Sequence[Seen]) -> generation.GenerationSpec:
        spec = generation.GenerationSpec(model=model, max_output_tokens=most, sampling=sampling, **fields)
        for role, text in messages:
            spec.messages.add(role=role).parts.add(text=text)
        return spec

    return build


def asking(
    text: str, *, most: int = MOST_TOKENS, sampling: generation.SamplingParams | None = None, **fields: Any
) -> Build:
    """One question."""
    return conversing((USER, text), most=most, sampling=sampling, **fields)


def showing(text: str, part: conversation.Part) -> Build:
    """A question about something that comes with it."""

    def build(model: str, _: Sequence[Seen]) -> generation.GenerationSpec:
        spec = generation.GenerationSpec(model=model, max_output_tokens=MOST_TOKENS)
        spec.messages.add(role=USER, parts=[conversation.Part(text=text), part])
        return spec

    return build
