"""What an engine is, and what it is given to do."""

from typing import Annotated, Any

import pydantic

from services.config.base import Section
from services.router.simulator.cache import Holding

_NotNegative = Annotated[float, pydantic.Field(ge=0)]
_Count = Annotated[int, pydantic.Field(ge=1)]


class EngineModel(Section):
    """The constants of an engine, in seconds and tokens. The defaults are about an 8B model on an H100, unproven."""

    step_seconds: float = pydantic.Field(default=6e-3, gt=0, description="Of any step.")
    sequence_seconds: _NotNegative = pydantic.Field(default=3e-5, description="For each sequence in it.")
    kv_token_seconds: _NotNegative = pydantic.Field(
        default=4.4e-8, description="For each token of the attention cache that decoding sequences read."
    )
    prefill_token_seconds: _NotNegative = pydantic.Field(default=5e-5, description="For each prompt token.")
    attention_seconds: _NotNegative = pydantic.Field(
        default=2.5e-10, description="For each prompt token and each token before it."
    )
    step_tokens: _Count = pydantic.Field(default=8192, description="Most tokens of a step.")
    max_sequences: _Count = pydantic.Field(default=256, description="Most sequences at once.")
    block_tokens: _Count = pydantic.Field(default=512, description="Tokens of a block of the attention cache.")
    blocks: _Count = pydantic.Field(default=2000, description="Number of blocks.")


class Job:
    """A request at an engine.

    Attributes:
        blocks: ids of the prompt's whole blocks; equal ids are equal text with equal text before it.
        owner: whoever sent it; the engine only keeps it.
        hit: prompt tokens found in the cache; -1 before it is admitted.
        read: prompt tokens that need no reading any more.
        last_step: the step after which it has all its tokens; -1 before its first.
    """

    __slots__ = ("blocks", "ended", "hit", "holding", "input_tokens", "last_step", "output_tokens", "owner", "read")

    def __init__(self, input_tokens: int, output_tokens: int, blocks: tuple[int, ...], owner: Any = None) -> None:
        self.input_tokens = max(1, input_tokens)
        self.output_tokens = max(1, output_tokens)
        self.blocks = blocks
        self.owner = owner
        self.hit = -1
        self.read = 0
        self.last_step = -1
        self.holding: Holding | None = None
        self.ended = False
