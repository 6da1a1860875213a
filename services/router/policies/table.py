"""The strategies by their names in the configuration."""

from services.config import strategy as settings
from services.router.policies.adaptive import Adaptive
from services.router.policies.cost import Cost
from services.router.policies.latency import Latency
from services.router.policies.least_loaded import LeastLoaded
from services.router.policies.round_robin import RoundRobin
from services.router.policies.strategy import Strategy
from services.router.policies.weighted import Weighted


def new_strategy(chosen: settings.Strategy) -> Strategy:
    """A strategy of its own for one model."""
    match chosen:
        case settings.RoundRobin():
            return RoundRobin()
        case settings.Weighted():
            return Weighted()
        case settings.LeastLoaded():
            return LeastLoaded()
        case settings.Cost():
            return Cost()
        case settings.Latency():
            return Latency(chosen)
        case settings.Adaptive():
            return Adaptive(chosen)
