"""Where attempts go while no router can be asked."""

from collections import Counter

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import fleet_pb2 as fleet
from hybridinference.router.v1 import placement_pb2 as placement
from hypothesis import event, given
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.gateway.fallback import STRATEGY, place

ASK = placement.PlacementAsk(generation_id="g", model="m", capabilities=[model.CAPABILITY_CHAT, model.CAPABILITY_TOOLS])
ABLE = (model.CAPABILITY_CHAT, model.CAPABILITY_TOOLS)
HEALTHY = fleet.WORKER_HEALTH_HEALTHY
PREFERENCE = [HEALTHY, fleet.WORKER_HEALTH_STALLED, fleet.WORKER_HEALTH_EJECTED, fleet.WORKER_HEALTH_UNREACHABLE]


def worker(
    name: str,
    *,
    health: fleet.WorkerHealth = HEALTHY,
    serves: str = "m",
    able: tuple[model.Capability, ...] | None = ABLE,
    last: bool = False,
    provider: str = "p",
) -> fleet.FleetWorker:
    """A worker with one route; `able` None is one that has not reported yet."""
    made = fleet.FleetWorker(worker=name, address=f"unix:{name}", provider=provider, health=health)
    made.routes.add(model=serves, provider_model=f"p-{serves}", fallback=last)
    if able is not None:
        made.status.models.append(worker_status.WorkerModel(name=f"p-{serves}", capabilities=able))
    return made


def placed(workers: list[fleet.FleetWorker], **in_flight: int) -> str:
    return place(ASK, workers, in_flight, "a").worker


def refused(workers: list[fleet.FleetWorker]) -> Failure:
    with pytest.raises(Failure) as caught:
        placed(workers)
    return caught.value


def test_a_placement_says_everything_that_a_routers_would() -> None:
    assert place(ASK, [worker("w")], {}, "a") == placement.Placement(
        generation_id="g",
        attempt_id="a",
        number=1,
        worker="w",
        address="unix:w",
        provider="p",
        provider_model="p-m",
        strategy=STRATEGY,
    )


def test_the_one_with_least_in_flight_is_taken() -> None:
    assert placed([worker("a"), worker("b"), worker("c")], a=2, b=1, c=3) == "b"


def test_health_comes_before_load_and_a_fallback_route_after_every_primary() -> None:
    sick = worker("a", health=fleet.WORKER_HEALTH_EJECTED)
    assert placed([sick, worker("b")], b=100) == "b"
    assert placed([worker("a", last=True), worker("b")], b=100) == "b"
    gone = worker("c", health=fleet.WORKER_HEALTH_UNREACHABLE)
    assert placed([gone, sick], a=100) == "a"
    assert placed([gone]) == "c", "the last word may be old: one that was down is tried rather than nobody"


def test_one_that_has_not_reported_is_left_to_refuse_by_itself() -> None:
    assert placed([worker("w", able=None)]) == "w"


def test_refusals_say_what_is_missing() -> None:
    assert refused([worker("w", serves="other")]).reason == reasons.ERROR_REASON_MODEL_NOT_FOUND
    unable = refused([worker("w", able=(model.CAPABILITY_CHAT,))])
    assert (unable.reason, unable.metadata["capability"]) == (reasons.ERROR_REASON_UNSUPPORTED, "tools")
    away = refused([worker("w", health=fleet.WORKER_HEALTH_LOADING)])
    assert (away.reason, away.retry_after) == (reasons.ERROR_REASON_NO_HEALTHY_WORKER, 1.0)
    unknown = refused([])
    assert unknown.reason == reasons.ERROR_REASON_NO_HEALTHY_WORKER, "a fleet that is not known yet has every model"


def test_a_model_is_found_by_its_aliases() -> None:
    other, serving = worker("a", serves="n"), worker("b", serves="o")
    serving.routes[0].aliases.append("m")
    assert placed([other, serving]) == "b"


@pytest.mark.parametrize("role", [routing.ROUTE_ROLE_CANARY, routing.ROUTE_ROLE_SHADOW])
def test_shares_are_not_given_out_without_a_router(role: routing.RouteRole) -> None:
    idle, busy = worker("a"), worker("b")
    idle.routes[0].role, busy.routes[0].role = role, routing.ROUTE_ROLE_PRIMARY
    answer = place(ASK, [idle, busy], {"b": 9}, "a")
    assert (answer.worker, answer.role) == ("b", routing.ROUTE_ROLE_PRIMARY)


WITH_SEED = placement.PlacementAsk(model="m", capabilities=[*ABLE, model.CAPABILITY_SEED])


def test_a_route_that_leaves_out_what_is_missing_serves_where_no_other_can() -> None:
    dropping, whole = worker("a"), worker("b", able=(*ABLE, model.CAPABILITY_SEED))
    assert place(WITH_SEED, [dropping, whole], {}, "a").worker == "b"
    dropping.routes[0].drop_unsupported = True
    assert place(WITH_SEED, [dropping, whole], {"b": 9}, "a").worker == "b", "it leaves nothing out"
    alone = place(WITH_SEED, [dropping], {}, "a")
    assert (alone.worker, alone.drop_unsupported) == ("a", True)


def test_what_a_program_relies_on_is_never_left_out() -> None:
    dropping = worker("a", able=(model.CAPABILITY_CHAT,))
    dropping.routes[0].drop_unsupported = True
    assert refused([dropping]).metadata["capability"] == "tools"


WORKERS = st.lists(
    st.builds(
        worker,
        st.sampled_from("abcdef"),
        health=st.sampled_from(list(fleet.WorkerHealth.values())),
        serves=st.sampled_from(["m", "other"]),
        able=st.one_of(st.none(), st.lists(st.sampled_from([*ABLE, model.CAPABILITY_SEED]), unique=True).map(tuple)),
        last=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda one: one.worker,
)
IN_FLIGHT = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3)).map(Counter)


@given(WORKERS, IN_FLIGHT)
def test_no_better_worker_is_ever_passed_over(workers: list[fleet.FleetWorker], in_flight: Counter[str]) -> None:
    def offers(one: fleet.FleetWorker) -> bool:
        known = [set(served.capabilities) for served in one.status.models]
        return one.routes[0].model == "m" and one.health in PREFERENCE and all(set(ABLE) <= have for have in known)

    def cost(one: fleet.FleetWorker) -> tuple[int, bool, int]:
        return PREFERENCE.index(one.health), one.routes[0].fallback, in_flight[one.worker]

    usable = [one for one in workers if offers(one)]
    event(f"{len(usable)} usable")
    if not usable:
        refused(workers)
        return
    taken = place(ASK, workers, in_flight, "a").worker
    assert cost(next(one for one in usable if one.worker == taken)) == min(cost(one) for one in usable)


@pytest.mark.parametrize("asked", [{"tags": ["eu"]}, {"max_cost_nano_usd": 0}])
def test_what_only_a_router_can_see_to_waits_for_one(asked: dict[str, object]) -> None:
    ask = placement.PlacementAsk(model="m", **asked)  # type: ignore[arg-type]
    with pytest.raises(Failure) as caught:
        place(ask, [worker("w")], {}, "a")
    assert (caught.value.reason_name, caught.value.retry_after) == ("ROUTER_UNAVAILABLE", 1.0)


def test_a_key_is_served_by_its_providers_alone() -> None:
    ask = placement.PlacementAsk(model="m", capabilities=ABLE, providers=["q", "r"])
    assert place(ask, [worker("a"), worker("b", provider="q")], {"b": 9}, "a").worker == "b"
    with pytest.raises(Failure, match="may use no provider that serves `m`") as caught:
        place(ask, [worker("a")], {}, "a")
    assert (caught.value.reason_name, caught.value.metadata) == ("PERMISSION_DENIED", {"scope": "providers"})


def test_a_worker_that_was_chosen_is_the_only_one() -> None:
    ask = placement.PlacementAsk(model="m", capabilities=ABLE, worker="b")
    assert place(ask, [worker("a"), worker("b")], {"b": 9}, "a").worker == "b"
    with pytest.raises(Failure, match="known to be healthy"):
        place(ask, [worker("a")], {}, "a")
