"""The workers as they are told. Pure."""

from collections.abc import Mapping

from hybridinference.gateway.v1 import overview_pb2 as overview
from hybridinference.router.v1 import fleet_pb2 as fleet

_HEALTH: Mapping[int, str] = {
    number: value.name.removeprefix("WORKER_HEALTH_").lower()
    for number, value in fleet.WorkerHealth.DESCRIPTOR.values_by_number.items()
    if number != fleet.WORKER_HEALTH_UNSPECIFIED
}
# Of a health that a newer router knows, and of a worker that no router has told of.
UNKNOWN = "unknown"


def health_word(worker: fleet.FleetWorker) -> str:
    """Its health as a word."""
    return _HEALTH.get(worker.health, UNKNOWN)


def is_healthy(worker: fleet.FleetWorker) -> bool:
    """Whether it may be chosen."""
    return worker.health == fleet.WORKER_HEALTH_HEALTHY


def told(worker: fleet.FleetWorker) -> overview.WorkerOverview:
    """One worker, with what it says of itself."""
    status = worker.status
    made = overview.WorkerOverview(
        worker=worker.worker,
        provider=worker.provider,
        kind=status.kind,
        health=health_word(worker),
        models=dict.fromkeys(route.model for route in worker.routes),
        leases=worker.leases,
        running=status.running,
        waiting=status.waiting,
        capacity=status.capacity,
        emitted=status.emitted,
        kv_usage=status.kv_usage if status.HasField("kv_usage") else None,
        prefix_query_tokens=status.prefix_query_tokens,
        prefix_hit_tokens=status.prefix_hit_tokens,
        headroom=status.headroom,
        loading_progress=status.loading_progress if status.HasField("loading_progress") else None,
    )
    if worker.HasField("first_content_latency"):
        made.first_content_latency.CopyFrom(worker.first_content_latency)
    if worker.HasField("status_age"):
        made.status_age.CopyFrom(worker.status_age)
    return made
