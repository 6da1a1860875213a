"""The strategies that policies name: those of the configuration, and baselines that no configuration can name."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

import pydantic

from services.config import strategy as known
from services.router.policies import table
from services.router.policies.baselines.table import BASELINES
from services.router.policies.strategy import Strategy
from services.router.pools import NewStrategy
from services.router.simulator.policy import Policy, PolicyError

# Makes a strategy from a policy's settings, given by keyword.
Maker = Callable[..., Strategy]

_ADAPTER: pydantic.TypeAdapter[known.Strategy] = pydantic.TypeAdapter(known.Strategy)
_CONFIGURED = frozenset(kind.model_fields["name"].default for kind in get_args(get_args(known.Strategy)[0]))


def names(baselines: Mapping[str, Maker] = BASELINES) -> list[str]:
    """Every name that a policy can have."""
    return sorted({*_CONFIGURED, *baselines})


def settings(policy: Policy) -> dict[str, Any]:
    """What the configuration says of the strategy. For a baseline, which has no place there, any will do.

    Raises:
        PolicyError: a setting that the strategy does not have, or a value that it cannot have.
    """
    if policy.name not in _CONFIGURED:
        return {"name": "least_loaded"}
    chosen = {"name": policy.name, **dict(policy.settings)}
    try:
        _ADAPTER.validate_python(chosen)
    except pydantic.ValidationError as error:
        raise PolicyError(f"`{policy}`: {_told(error.errors(include_url=False)[0], policy.name)}") from None
    return chosen


def _told(problem: Any, name: str) -> str:
    key = problem["loc"][-1]
    if problem["type"] != "extra_forbidden":
        return f"`{key}`: {problem['msg']}"
    kind = next(kind for kind in get_args(get_args(known.Strategy)[0]) if kind.model_fields["name"].default == name)
    there = ", ".join(field for field in kind.model_fields if field != "name") or "none"
    return f"there is no parameter `{key}`; there are: {there}"


def factory(policy: Policy, baselines: Mapping[str, Maker] = BASELINES) -> NewStrategy:
    """What makes the policy's strategy for each model.

    Raises:
        PolicyError: nobody has that name, or a baseline does not take these settings.
    """
    if policy.name in _CONFIGURED:
        return table.new_strategy
    if policy.name not in baselines:
        raise PolicyError(f"no policy `{policy.name}`; there are: {', '.join(names(baselines))}")
    make, chosen = baselines[policy.name], dict(policy.settings)
    try:
        make(**chosen)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"`{policy}`: {error}") from error
    return lambda _: make(**chosen)
