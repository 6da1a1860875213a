"""Strategies by name, each with its own parameters: how a model's requests are spread over its routes."""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

import pydantic

from services.config.base import Section

_Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class RoundRobin(Section):
    """Everyone in turn."""

    name: Literal["round_robin"] = "round_robin"


class Weighted(Section):
    """Everyone in turn, in proportion to the weights of the routes."""

    name: Literal["weighted"] = "weighted"


class LeastLoaded(Section):
    """Whoever has least to do, as a share of what it can do."""

    name: Literal["least_loaded"] = "least_loaded"


class Cost(Section):
    """Whoever is cheapest of those that would begin in time; the least loaded of equally cheap ones."""

    name: Literal["cost"] = "cost"


class Latency(Section):
    """Whoever is expected to be done first: learned time to first content and per token, with load."""

    name: Literal["latency"] = "latency"
    first_content_weight: float = pydantic.Field(
        default=1.0, ge=0, le=1000, description="Weight of a second before the first content, against one after it."
    )


class Adaptive(Section):
    """Where the request adds the least latency to all, itself included, and money counts as time."""

    name: Literal["adaptive"] = "adaptive"
    first_content_weight: float = pydantic.Field(
        default=2.0, ge=0, le=1000, description="Weight of a second before the first content, against one after it."
    )
    seconds_per_usd: float = pydantic.Field(
        default=1000.0, ge=0, le=1e9, description="What a dollar is worth in seconds. 0: price does not count."
    )
    affinity: _Share = pydantic.Field(
        default=0.02, description="How much worse than the best a worker may be that prompts prefer which begin alike."
    )
    session_share: _Share = pydantic.Field(
        default=0.5,
        description="Share of a prompt that its session's two workers are taken to have cached, if no more is known.",
    )


Strategy = Annotated[
    RoundRobin | Weighted | LeastLoaded | Cost | Latency | Adaptive, pydantic.Field(discriminator="name")
]
NAMES: tuple[str, ...] = tuple(kind.model_fields["name"].default for kind in get_args(get_args(Strategy)[0]))


def named(strategy: object) -> object:
    """A strategy's name alone is enough where its parameters are the defaults."""
    if isinstance(strategy, str):
        return {"name": strategy}
    if not isinstance(strategy, (Mapping, Section)):
        raise ValueError("must be a strategy's name, or a mapping such as `{name: adaptive}`")
    return strategy


AnyStrategy = Annotated[Strategy, pydantic.BeforeValidator(named, json_schema_input_type=Literal[NAMES] | Strategy)]
