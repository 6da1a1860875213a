"""The models that callers may name."""

from collections.abc import Collection, Iterable, Sequence

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import fleet_pb2 as fleet

from services.chassis.failure import Failure
from services.config.mesh import MeshConfig
from services.config.model import Model
from services.gateway.fleet import FleetView
from services.gateway.identity.grant import Grant


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

    def all(self, grant: Grant) -> list[model.Model]:
        """All models that a key may use, by name."""
        return [self._described(self._entries[name]) for name in self._of(grant)]

    def require(self, name: str, grant: Grant) -> model.Model:
        """One model that a key may use, by its name or an alias.

        Raises:
            Failure: MODEL_NOT_FOUND.
        """
        own = self._names.get(name, "")
        if own not in self._of(grant):
            raise self._unknown(name, grant)
        return self._described(self._entries[own])

    def require_allowed(self, name: str, grant: Grant) -> None:
        """Refuse a model that a key may not use, as if there were none. What any key may use the router knows.

        Raises:
            Failure: MODEL_NOT_FOUND.
        """
        if name and grant.models and self._names.get(name, "") not in self._of(grant):
            raise self._unknown(name, grant)

    def _of(self, grant: Grant) -> Collection[str]:
        """The own names of the models that a key may use. It may have been given an alias."""
        if not grant.models:
            return self._entries
        allowed = {self._names.get(name, "") for name in grant.models}
        return [name for name in self._entries if name in allowed]

    def _unknown(self, name: str, grant: Grant) -> Failure:
        known = ", ".join(self._of(grant))
        there_are = f"there are: {known}" if known else "there is none that this key may use"
        return Failure(reasons.ERROR_REASON_MODEL_NOT_FOUND, f"There is no model `{name}`; {there_are}.", model=name)

    def _described(self, entry: Model) -> model.Model:
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
