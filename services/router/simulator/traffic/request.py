"""A request of the simulated callers."""

from typing import NamedTuple


class Request(NamedTuple):
    """One request.

    Attributes:
        identity: tells it from all others, whatever the rate and whoever else is left out.
        at: when it comes, in seconds from the start.
        input_tokens: of the prompt.
        output_tokens: of the answer that it would get.
        blocks: ids of the prompt's whole blocks; equal ids are equal text with equal text before it.
        conversation: tells its conversation; 0 where there is none.
        key: whom it is served for.
        key_weight: the key's share.
        criticality: a value of hybridinference.inference.v1.Criticality.
        first_seconds: its own limit for the time to the first token; None is the scenario's.
        token_seconds: its own limit for the time per further token; None is the scenario's.
        max_cost_nano_usd: most that it may cost; None is any.
    """

    identity: int
    at: float
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()
    conversation: int = 0
    key: str = ""
    key_weight: float = 1.0
    criticality: int = 0
    first_seconds: float | None = None
    token_seconds: float | None = None
    max_cost_nano_usd: int | None = None
