"""What operators take out of service is given nothing new, and finishes what it has begun."""

import random

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import drains_pb2
from hybridinference.router.v1 import fleet_pb2 as fleet
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router_service

from services.config.mesh import MeshConfig
from services.router.drains import Drains
from tests.router.harness import Gateway, Router
from tests.router.scene import LOST, Scene
from tests.router.test_reload import config


def drains(*workers: str, routes: tuple[tuple[str, str], ...] = ()) -> Drains:
    return Drains(frozenset(workers), frozenset(routes))


def test_a_drained_worker_gets_nothing_new_keeps_its_leases_and_comes_back() -> None:
    scene = Scene(config())
    held = [scene.place() for _ in range(3)]
    scene.decider.on_drains(drains("a-0"))
    assert scene.leases()["a-0"] == 1
    assert {scene.place().worker for _ in range(8)} == {"a-1", "b-0"}
    for each in held:
        scene.end(each)
    assert scene.leases()["a-0"] == 0
    scene.decider.on_drains(drains())
    assert "a-0" in {scene.place().worker for _ in range(8)}


def test_a_drained_route_is_not_taken_and_its_worker_serves_other_models() -> None:
    routes = [{"provider": "a"}, {"provider": "b"}]
    models = [{"name": name, "routes": routes} for name in ("m", "n")]
    scene = Scene(config({"a": ["unix:a0"], "b": ["unix:b0"]}, *models))
    scene.decider.on_drains(drains(routes=(("m", "a"),)))
    assert {scene.place().worker for _ in range(6)} == {"b-0"}
    assert {getattr(scene.answer(name="n"), "worker", "") for _ in range(16)} == {"a-0", "b-0"}
    told = {(seen.worker, route.model): route.drained for seen in scene.roster.snapshot(0.0) for route in seen.routes}
    assert told == {("a-0", "m"): True, ("a-0", "n"): False, ("b-0", "m"): False, ("b-0", "n"): False}


@pytest.mark.parametrize("out", [drains("a-0"), drains(routes=(("m", "a"),))])
def test_a_model_whose_only_way_is_drained_is_refused_at_once_with_the_reason(out: Drains) -> None:
    scene = Scene(config({"a": ["unix:a0"]}))
    scene.decider.on_drains(out)
    refused = scene.refusal()
    assert refused.reason == reasons.ERROR_REASON_NO_HEALTHY_WORKER
    assert "taken out of service by operators" in refused.message


def test_an_attempt_that_fails_is_not_tried_again_where_it_is_drained() -> None:
    scene = Scene(config({"a": ["unix:a0"], "b": ["unix:b0"], "c": ["unix:c0"]}))
    placed = scene.place()
    others = {"a-0", "b-0", "c-0"} - {placed.worker}
    out = min(others)
    scene.decider.on_drains(drains(out))
    again = scene.end(placed, LOST)
    assert isinstance(again, placement.Placement)
    assert {again.worker} == others - {out}


def test_a_reload_forgets_no_drain_and_drains_may_name_what_is_not_there() -> None:
    scene = Scene(config())
    scene.decider.on_drains(drains("a-0", "z-9", routes=(("m", "b"), ("gone", "a"))))
    scene.reconfigure(config({"a": ["unix:a0", "unix:a1"], "b": ["unix:b0"], "c": ["unix:c0"]}))
    scene.report("c-0")
    assert {scene.place().worker for _ in range(8)} == {"a-1", "c-0"}


def test_a_worker_by_a_name_of_dns_is_drained_with_all_that_are_there_and_those_that_come_later() -> None:
    name = "dns:///a.mesh:7100"
    providers = {"a": {"kind": "echo", "models": ["pm"], "workers": [name]}, "b": {"kind": "echo", "models": ["pm"]}}
    models = [{"name": "m", "routes": [{"provider": "a"}, {"provider": "b"}]}]
    scene = Scene(MeshConfig.model_validate({"encrypted_network": True, "providers": providers, "models": models}))

    def found(*addresses: str) -> None:
        scene.roster.found = {name: [f"{address}:7100" for address in addresses]}
        scene.reconfigure(scene.config)
        for worker in scene.roster.workers:
            scene.report(worker)

    found("10.0.0.1", "10.0.0.2")
    scene.decider.on_drains(drains("a-0"))
    assert {scene.place().worker for _ in range(6)} == {"b-0"}
    found("10.0.0.2", "10.0.0.3")
    assert {scene.place().worker for _ in range(6)} == {"b-0"}
    scene.decider.on_drains(drains("b-0"))
    assert {scene.place().worker for _ in range(6)} == {"a-0-10-0-0-2", "a-0-10-0-0-3"}


def test_whatever_is_drained_in_whatever_order_only_the_last_word_counts() -> None:
    rng = random.Random(7)
    names = ["a-0", "a-1", "b-0"]
    scene = Scene(config())
    for _ in range(60):
        out = rng.sample(names, rng.randrange(3))
        scene.decider.on_drains(drains(*out))
        placed = scene.place()
        assert placed.worker not in out
        assert {seen.worker for seen in scene.roster.snapshot(0.0) if seen.health == fleet.WORKER_HEALTH_DRAINING} == {
            *out
        }
        scene.end(placed)


async def test_watchers_hear_what_is_drained_and_nothing_before_the_router_has_been_told(router: Router) -> None:
    watch = router.stub.WatchFleet(router_service.WatchFleetRequest())
    try:
        first = await watch.read()
        assert isinstance(first, router_service.WatchFleetResponse)
        assert not first.HasField("drains")
        name = first.workers[0].worker
        wanted = drains_pb2.Drains(gateways=["gateway-2"], workers=[name])
        await router.stub.SetDrains(router_service.SetDrainsRequest(drains=wanted))
        while True:
            heard = await watch.read()
            assert isinstance(heard, router_service.WatchFleetResponse)
            if heard.HasField("drains"):
                break
        assert heard.drains == wanted
        assert heard.workers[0].health == fleet.WORKER_HEALTH_DRAINING
    finally:
        watch.cancel()


async def test_a_router_that_has_not_been_told_goes_by_what_a_gateway_heard(router: Router) -> None:
    workers = sorted(f"main-{index}" for index in range(len(router.workers)))
    gateway = Gateway(router.stub)
    hello = router_service.Hello(gateway="g", drains=drains_pb2.Drains(workers=workers[1:]))
    await gateway.say(router_service.PlaceCommand(hello=hello), gateway.ask(), gateway.ask())
    assert {answer.placement.worker for answer in await gateway.heard()} == {workers[0]}
