"""What operators have taken out of service, as the decisions see it."""

import dataclasses

from hybridinference.router.v1 import drains_pb2

from services.config.places import WorkerPlace


@dataclasses.dataclass(frozen=True, slots=True)
class Drains:
    """Names of workers, and of each route its model's and its provider's. Gateways see to themselves."""

    workers: frozenset[str] = frozenset()
    routes: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, told: drains_pb2.Drains) -> "Drains":
        """As the contract has them."""
        return cls(frozenset(told.workers), frozenset((route.model, route.provider) for route in told.routes))

    def has(self, worker: WorkerPlace) -> bool:
        """Whether a worker is out of service: by its own name, or with all that a name of DNS leads to."""
        return worker.name in self.workers or worker.one_of in self.workers
