"""What operators have taken out of service, as the decisions see it."""

import dataclasses

from hybridinference.router.v1 import drains_pb2


@dataclasses.dataclass(frozen=True, slots=True)
class Drains:
    """Names of workers, and of each route its model's and its provider's. Gateways see to themselves."""

    workers: frozenset[str] = frozenset()
    routes: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, told: drains_pb2.Drains) -> "Drains":
        """As the contract has them."""
        return cls(frozenset(told.workers), frozenset((route.model, route.provider) for route in told.routes))
