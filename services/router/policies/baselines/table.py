"""The baselines by their names."""

from collections.abc import Callable, Mapping
from typing import Any

from services.router.policies.baselines.bounded_hash import BoundedHash
from services.router.policies.baselines.dynamo_linear import DynamoLinear
from services.router.policies.baselines.lmetric import LMetric
from services.router.policies.baselines.p2c import PowerOfTwo
from services.router.policies.baselines.peak_ewma import PeakEwma
from services.router.policies.baselines.prefix_threshold import PrefixThreshold
from services.router.policies.baselines.prequal import Prequal
from services.router.policies.strategy import Strategy

BASELINES: Mapping[str, Callable[..., Strategy]] = {
    kind.name: kind for kind in (PowerOfTwo, PeakEwma, Prequal, BoundedHash, PrefixThreshold, DynamoLinear, LMetric)
}


def baseline(name: str, **parameters: Any) -> Strategy:
    """A baseline of its own for one model, with its published defaults where no parameter says otherwise.

    Raises:
        ValueError: there is none of that name, or it has no such parameter.
    """
    kind = BASELINES.get(name)
    if kind is None:
        raise ValueError(f"there is no baseline {name!r}; there are {', '.join(BASELINES)}")
    try:
        return kind(**parameters)
    except TypeError as error:
        raise ValueError(f"baseline {name}: {error}") from None
