"""The strategies by their names in the configuration."""

from typing import Literal

from services.router.policies.least_loaded import LeastLoaded
from services.router.policies.round_robin import RoundRobin
from services.router.policies.strategy import Strategy


def new_strategy(name: Literal["round_robin", "least_loaded"]) -> Strategy:
    """A strategy of its own for one model."""
    match name:
        case "round_robin":
            return RoundRobin()
        case "least_loaded":
            return LeastLoaded()
