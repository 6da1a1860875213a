"""What a model can do, as the worker announces it."""

from collections.abc import Collection, Mapping
from typing import Any

from hybridinference.inference.v1 import model_pb2 as model

_GENERATING = (
    model.CAPABILITY_COMPLETIONS,
    model.CAPABILITY_TOKEN_INPUTS,
    model.CAPABILITY_JSON_OBJECT,
    model.CAPABILITY_JSON_SCHEMA,
    model.CAPABILITY_LOGPROBS,
    model.CAPABILITY_CHOICES,
    model.CAPABILITY_SEED,
    model.CAPABILITY_PENALTIES,
    model.CAPABILITY_LOGIT_BIAS,
    model.CAPABILITY_TOP_K,
    model.CAPABILITY_STOP,
    model.CAPABILITY_PROVIDER_OPTIONS,
)
_EMBEDDING = (model.CAPABILITY_EMBEDDINGS, model.CAPABILITY_TOKEN_INPUTS)


def abilities(
    tasks: Collection[str], *, chats: bool, tools: bool, effort: bool, images: bool, dimensions: bool
) -> tuple[model.Capability, ...]:
    """The capabilities of a model.

    Args:
        tasks: what the engine says that it can do with the model.
        chats: whether there is a chat template; without one it has nothing that takes a conversation.
        tools: whether there is a parser for tool calls.
        effort: whether the model can be told how much to think.
        images: whether it looks at pictures.
        dimensions: whether its vectors can be shortened.
    """
    found: list[model.Capability] = []
    if "generate" in tasks:
        found += _GENERATING
        optional = (
            (True, model.CAPABILITY_CHAT),
            (tools, model.CAPABILITY_TOOLS),
            (effort, model.CAPABILITY_REASONING_EFFORT),
            (images, model.CAPABILITY_IMAGES),
        )
        found += [capability for has, capability in optional if has and chats]
    if "embed" in tasks:
        found += _EMBEDDING
        if dimensions:
            found.append(model.CAPABILITY_DIMENSIONS)
    return tuple(dict.fromkeys(found))


class Effort:
    """How a chat template is told how much to think: by a level, by a switch, or not at all."""

    def __init__(self, template: str) -> None:
        self._level = "reasoning_effort" in template
        self._switch = "enable_thinking" in template

    @property
    def known(self) -> bool:
        """Whether the template takes any of it."""
        return self._level or self._switch

    def template_kwargs(self, effort: str) -> Mapping[str, Any]:
        """Arguments of the template. What only knows a switch thinks at every effort but `none`."""
        if not effort:
            return {}
        found: dict[str, Any] = {"reasoning_effort": effort} if self._level else {}
        if self._switch:
            found["enable_thinking"] = effort != "none"
        return found
