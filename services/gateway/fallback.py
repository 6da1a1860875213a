"""Where a first attempt goes while no router can be asked: least in flight, healthy first."""

from collections.abc import Collection, Mapping, Sequence

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.router.v1 import fleet_pb2 as fleet
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.failure import Failure

STRATEGY = "fallback"

# Workers known to be down are tried last, not never: the last word on them may be old.
_PREFERENCE = {fleet.WORKER_HEALTH_HEALTHY: 0, fleet.WORKER_HEALTH_EJECTED: 1, fleet.WORKER_HEALTH_UNREACHABLE: 2}


def place(
    ask: placement.PlacementAsk,
    workers: Sequence[fleet.FleetWorker],
    in_flight: Mapping[str, int],
    attempt_id: str,
) -> placement.Placement:
    """Place a first attempt on the last known fleet.

    Args:
        ask: what is to be placed.
        workers: the fleet as last heard of.
        in_flight: attempts of this gateway, by worker.
        attempt_id: the new attempt's id.

    Raises:
        Failure: MODEL_NOT_FOUND or NO_HEALTHY_WORKER.
    """
    routes = [(worker, route) for worker in workers for route in worker.routes if route.model == ask.model]
    if workers and not routes:
        raise Failure(reasons.ERROR_REASON_MODEL_NOT_FOUND, f"There is no model `{ask.model}`.", model=ask.model)
    usable = [
        (worker, route)
        for worker, route in routes
        if worker.health in _PREFERENCE and _offers(worker, route.provider_model, ask.capabilities)
    ]
    if not usable:
        raise Failure(
            reasons.ERROR_REASON_NO_HEALTHY_WORKER,
            f"No worker for `{ask.model}` is known to be healthy, and no router can be asked.",
            model=ask.model,
            retry_after=1.0,
        )
    worker, route = min(
        usable,
        key=lambda pair: (
            _PREFERENCE[pair[0].health],
            pair[1].fallback,
            in_flight.get(pair[0].worker, 0),
            pair[0].worker,
        ),
    )
    return placement.Placement(
        generation_id=ask.generation_id,
        attempt_id=attempt_id,
        number=1,
        worker=worker.worker,
        address=worker.address,
        provider=worker.provider,
        provider_model=route.provider_model,
        strategy=STRATEGY,
    )


def _offers(worker: fleet.FleetWorker, provider_model: str, wanted: Collection[model.Capability]) -> bool:
    for served in worker.status.models:
        if served.name == provider_model:
            return set(wanted) <= set(served.capabilities)
    return not worker.status.models  # nothing is known of it: let it refuse by itself
