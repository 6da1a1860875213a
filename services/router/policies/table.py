"""The strategies by their names in the configuration."""

from services.config import strategy as settings
from services.router.policies.least_loaded import LeastLoaded
from services.router.policies.round_robin import RoundRobin
from services.router.policies.strategy import Strategy


def new_strategy(chosen: settings.Strategy) -> Strategy:
    """A strategy of its own for one model."""
    match chosen:
        case settings.RoundRobin():
            return RoundRobin()
        case _:
            return LeastLoaded()
