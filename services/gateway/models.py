"""The models that callers may name."""

from collections.abc import Iterable, Sequence

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import fleet_pb2 as fleet

from services.chassis.failure import Failure
from services.config.mesh import MeshConfig
from services.config.model import Model
from services.gateway.fleet import FleetView


class Models:
    """Every configured model, with what its workers report of it."""

    def __init__(self, config: MeshConfig, fleet: FleetView, *, created_seconds: int) -> None:
        self._fleet = fleet
        self._created_seconds = created_seconds
        self.reconfigure(config)

    def reconfigure(self, config: MeshConfig) -> None:
        """Tell of the models of another configuration from now on."""
        self._entries = {entry.name: entry for entry in sorted(config.models, key=lambda entry: entry.name)}
        self._names = config.names()

    def all(self) -> list[model.Model]:
        """All models, by name."""
        return [self.require(name) for name in self._entries]

    def require(self, name: str) -> model.Model:
        """One model, by its name or an alias.

        Raises:
            Failure: MODEL_NOT_FOUND.
        """
        entry = self._entries.get(self._names.get(name, ""))
        if entry is None:
            known = ", ".join(self._entries)
            raise Failure(
                reasons.ERROR_REASON_MODEL_NOT_FOUND, f"There is no model `{name}`; there are: {known}.", model=name
            )
        return describe(entry, list(_served(entry.name, self._fleet.workers)), created_seconds=self._created_seconds)


def describe(entry: Model, served: Sequence[worker_status.WorkerModel], *, created_seconds: int) -> model.Model:
    """One model: the smallest context of its workers, and the capabilities that all of them share."""
    contexts = [one.context_tokens for one in served if one.context_tokens]
    shared = set.intersection(*(set(one.capabilities) for one in served)) if served else set()
    return model.Model(
        name=entry.name,
        owner=entry.owner,
        created_seconds=created_seconds,
        context_tokens=entry.context_tokens or min(contexts, default=0),
        capabilities=sorted(shared),
        aliases=entry.aliases,
    )


def _served(name: str, workers: Iterable[fleet.FleetWorker]) -> Iterable[worker_status.WorkerModel]:
    for worker in workers:
        wanted = {route.provider_model for route in worker.routes if route.model == name}
        yield from (one for one in worker.status.models if one.name in wanted)
