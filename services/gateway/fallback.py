"""Where a first attempt goes while no router can be asked: least in flight, healthy first."""

from collections.abc import Collection, Mapping, Sequence

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import fleet_pb2 as fleet
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.failure import Failure
from services.inference.capabilities import DROPPABLE
from services.inference.refusal import unsupported

Way = tuple[fleet.FleetWorker, fleet.FleetRoute]

STRATEGY = "fallback"

# Workers known to be down are tried last, not never: the last word on them may be old.
_PREFERENCE = {
    fleet.WORKER_HEALTH_HEALTHY: 0,
    fleet.WORKER_HEALTH_STALLED: 1,
    fleet.WORKER_HEALTH_EJECTED: 2,
    fleet.WORKER_HEALTH_UNREACHABLE: 3,
}

# Canaries and shadows are given shares, which only a router keeps.
_SHARED = (routing.ROUTE_ROLE_CANARY, routing.ROUTE_ROLE_SHADOW)


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
        Failure: MODEL_NOT_FOUND, PERMISSION_DENIED, UNSUPPORTED or NO_HEALTHY_WORKER; ROUTER_UNAVAILABLE for what
            only a router can do.
    """
    if ask.tags or ask.HasField("max_cost_nano_usd"):
        # What routes are tagged with and what they cost is not in the fleet's news; to do otherwise could be dear.
        raise Failure(
            reasons.ERROR_REASON_ROUTER_UNAVAILABLE,
            "No router can be asked which routes have these tags, or cost no more than this; try again shortly.",
            retry_after=1.0,
        )
    routes = [
        (worker, route)
        for worker in workers
        for route in worker.routes
        if route.role not in _SHARED and (route.model == ask.model or ask.model in route.aliases)
    ]
    if workers and not routes:
        raise Failure(reasons.ERROR_REASON_MODEL_NOT_FOUND, f"There is no model `{ask.model}`.", model=ask.model)
    there_were = bool(routes)
    routes = [(worker, route) for worker, route in routes if not ask.providers or worker.provider in ask.providers]
    if there_were and not routes:
        message = f"The key may use no provider that serves `{ask.model}`; choose another model."
        raise Failure(reasons.ERROR_REASON_PERMISSION_DENIED, message, scope="providers")
    usable = [
        (worker, route)
        for worker, route in routes
        if worker.health in _PREFERENCE
        and not route.drained
        and ask.worker in ("", worker.worker)
        and not _lacks(worker, route, ask.capabilities)
    ]
    if not usable:
        raise _refusal(ask, routes)
    worker, route = min(
        usable,
        key=lambda way: (
            _PREFERENCE[way[0].health],
            way[1].fallback,
            _drops(way[0], way[1], ask.capabilities),
            in_flight.get(way[0].worker, 0),
            way[0].worker,
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
        drop_unsupported=route.drop_unsupported,
        role=route.role,
    )


def _served(worker: fleet.FleetWorker, route: fleet.FleetRoute) -> Collection[int] | None:
    """What the worker can do with the route's model; None where it has not said."""
    return next((one.capabilities for one in worker.status.models if one.name == route.provider_model), None)


def _lacks(worker: fleet.FleetWorker, route: fleet.FleetRoute, wanted: Collection[int]) -> Collection[int]:
    """What rules the route out; nothing where nothing is known of the worker: let it refuse by itself."""
    if not worker.status.models:
        return ()
    served = _served(worker, route) or ()
    return [need for need in wanted if need not in served and not (route.drop_unsupported and need in DROPPABLE)]


def _drops(worker: fleet.FleetWorker, route: fleet.FleetRoute, wanted: Collection[int]) -> bool:
    """Whether something would be left out."""
    served = _served(worker, route)
    return served is not None and not set(wanted).issubset(served)


def _refusal(ask: placement.PlacementAsk, routes: Sequence[Way]) -> Failure:
    """Why none of the routes can be taken: none can do it, or none is well."""
    lacking = [_lacks(worker, route, ask.capabilities) for worker, route in routes]
    known = all(_served(worker, route) is not None for worker, route in routes)
    if lacking and known and all(lacking):
        culprit = max(ask.capabilities, key=lambda need: sum(need in lacks for lacks in lacking))
        providers = ", ".join(sorted({worker.provider for worker, _ in routes}))
        return unsupported(culprit, "", name=ask.model, provider=providers)
    return Failure(
        reasons.ERROR_REASON_NO_HEALTHY_WORKER,
        f"No worker for `{ask.model}` is known to be healthy, and no router can be asked.",
        model=ask.model,
        retry_after=1.0,
    )
