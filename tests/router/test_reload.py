"""Another configuration while requests run."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import placement_pb2 as placement

from services.config.mesh import MeshConfig
from services.router.breaker import State
from services.router.decider import Refused
from tests.router.scene import LOST, Scene, failed, report

_MODEL: dict[str, Any] = {"name": "m", "routes": [{"provider": "a"}, {"provider": "b"}]}
_PAIR = {"a": ["unix:a0", "unix:a1"], "b": ["unix:b0"]}


def config(
    providers: Mapping[str, Sequence[str]] = _PAIR,
    *models: Mapping[str, Any],
    router: Mapping[str, Any] | None = None,
) -> MeshConfig:
    """Providers by the addresses of their workers."""
    routes = [{"provider": name} for name in providers]
    return MeshConfig.model_validate(
        {
            "providers": {
                name: {"kind": "echo", "models": ["pm"], "workers": list(addresses)}
                for name, addresses in providers.items()
            },
            "models": models or [{**_MODEL, "routes": routes}],
            "router": router or {},
        }
    )


def test_a_new_worker_is_chosen_once_it_has_reported() -> None:
    scene = Scene(config({"a": ["unix:a0"]}))
    scene.reconfigure(config({"a": ["unix:a0"], "b": ["unix:b0"]}))
    assert [scene.place().worker for _ in range(2)] == ["a-0", "a-0"]
    scene.report("b-0")
    assert scene.place().worker == "b-0"


def test_what_is_known_of_a_worker_that_stays_is_kept() -> None:
    scene = Scene(config(router={"breaker": {"consecutive_failures": 1}}))
    placed = [scene.place() for _ in range(3)]
    sick = placed[0].worker
    scene.end(placed[0], LOST, wanted=False)
    before = scene.roster.workers[sick]
    assert before.breaker.state is State.OPEN
    scene.reconfigure(config({**_PAIR, "c": ["unix:c0"]}))
    assert scene.roster.workers[sick] is before
    assert scene.leases() == {name: int(name != sick) for name in ("a-0", "a-1", "b-0")} | {"c-0": 0}
    assert scene.roster.workers["c-0"].status is None


def test_an_attempt_from_before_still_counts_for_its_worker() -> None:
    scene = Scene(config(router={"breaker": {"consecutive_failures": 2}}))
    placed = [scene.place() for _ in range(6)]
    for_a0 = [each for each in placed if each.worker == "a-0"]
    scene.reconfigure(config({**_PAIR, "c": ["unix:c0"]}, router={"breaker": {"consecutive_failures": 2}}))
    for each in for_a0:
        scene.end(each, LOST, wanted=False)
    assert scene.roster.workers["a-0"].breaker.state is State.OPEN
    assert scene.leases()["a-0"] == 0


def test_an_attempt_that_fails_is_tried_again_where_the_new_configuration_says() -> None:
    scene = Scene(config({"a": ["unix:a0"]}))
    placed = scene.place()
    scene.reconfigure(config({"b": ["unix:b0"]}))
    scene.report("b-0")
    again = scene.end(placed, LOST)
    assert isinstance(again, placement.Placement)
    assert (again.worker, again.number) == ("b-0", 2)


def test_a_worker_that_has_gone_gets_nothing_new_and_keeps_its_leases_to_their_end() -> None:
    scene = Scene(config())
    placed = {scene.place().worker: None for _ in range(3)}
    assert set(placed) == {"a-0", "a-1", "b-0"}
    gone = scene.roster.workers["b-0"]
    held = next(lease for lease in scene.stream.leases.values() if lease.worker is gone)
    scene.reconfigure(config({"a": _PAIR["a"]}))
    assert {scene.place().worker for _ in range(4)} == {"a-0", "a-1"}
    assert scene.roster.leaving == {"b-0": gone}
    assert [worker.worker for worker in scene.roster.snapshot(scene.now)] == ["a-0", "a-1", "b-0"]
    assert not scene.roster.snapshot(scene.now)[2].routes
    scene.report("b-0", report(sequence=9))
    assert not scene.roster.forget_idle()
    scene.decider.on_outcome(scene.stream, placement.AttemptOutcome(attempt_id=held.attempt_id), scene.now)
    assert gone.leases == 0
    assert scene.roster.forget_idle()
    assert [worker.worker for worker in scene.roster.snapshot(scene.now)] == ["a-0", "a-1"]


def test_a_worker_that_comes_back_while_it_leaves_is_the_one_it_was() -> None:
    scene = Scene(config())
    placed = [scene.place() for _ in range(3)]
    gone = scene.roster.workers["b-0"]
    scene.reconfigure(config({"a": _PAIR["a"]}))
    scene.reconfigure(config())
    assert scene.roster.workers["b-0"] is gone
    assert not scene.roster.leaving
    for each in placed:
        scene.end(each)
    assert set(scene.leases().values()) == {0}


def test_a_worker_at_another_address_is_another_worker() -> None:
    scene = Scene(config())
    placed = [scene.place() for _ in range(3)]
    scene.reconfigure(config({**_PAIR, "b": ["unix:elsewhere"]}))
    new = scene.roster.workers["b-0"]
    assert (new.leases, new.status, scene.roster.leaving) == (0, None, {})
    for each in placed:
        scene.end(each, LOST, wanted=False)
    assert new.breaker.state is State.CLOSED
    assert scene.decider.leases == 0


def test_a_worker_that_comes_back_to_its_address_is_the_one_it_was() -> None:
    scene = Scene(config())
    for _ in range(3):
        scene.place()
    before = scene.roster.workers["b-0"]
    scene.reconfigure(config({**_PAIR, "b": ["unix:elsewhere"]}))
    scene.reconfigure(config())
    assert scene.roster.workers["b-0"] is before
    assert scene.leases() == {"a-0": 1, "a-1": 1, "b-0": 1}


def test_a_request_whose_model_is_no_more_is_not_tried_again_and_hears_the_real_reason() -> None:
    scene = Scene(config())
    placed = scene.place()
    scene.reconfigure(config(_PAIR, {**_MODEL, "name": "n"}))
    refused = scene.end(placed, LOST)
    assert isinstance(refused, Refused)
    assert "went away" in refused.cause.message
    assert scene.refusal(name="m").reason == reasons.ERROR_REASON_MODEL_NOT_FOUND


def test_a_model_that_is_renamed_serves_by_its_old_name_as_an_alias() -> None:
    scene = Scene(config({"a": ["unix:a0"]}))
    placed = scene.place()
    scene.reconfigure(config({"b": ["unix:b0"]}, {"name": "n", "aliases": ["m"], "routes": [{"provider": "b"}]}))
    scene.report("b-0")
    again = scene.end(placed, LOST)
    assert isinstance(again, placement.Placement)
    assert again.worker == "b-0"


def test_what_is_learned_stays_with_its_target_wherever_that_stands_now() -> None:
    scene = Scene(config({"b": ["unix:b0"], "c": ["unix:c0"]}))
    pool = scene.roster.models["m"]
    b, c = pool.targets
    pool.prefixes.add(b.position, (1, 2))
    pool.prefixes.add(c.position, (1, 2, 3))
    c.speeds.penalise(4.0, scene.now)
    c.turn = 9
    scene.reconfigure(config({"a": ["unix:a0"], "c": ["unix:c0"]}))
    now = scene.roster.models["m"]
    assert [target.worker.name for target in now.targets] == ["a-0", "c-0"]
    assert now.prefixes.match((1, 2, 3)) == {1: 3}
    assert (now.targets[1].speeds.penalty(scene.now), now.targets[1].turn) == (4.0, 9)
    assert now.targets[0].speeds.penalty(scene.now) == 0.0
    assert now.speeds is pool.speeds


def test_an_unchanged_model_keeps_its_strategy_and_index() -> None:
    scene = Scene(config())
    pool = scene.roster.models["m"]
    scene.reconfigure(config(router={"stale_seconds": 9}))
    assert scene.roster.models["m"].strategy is pool.strategy
    assert scene.roster.models["m"].prefixes is pool.prefixes


def test_other_retry_settings_hold_at_once_and_what_was_spent_stays_spent() -> None:
    retry = {"budget_ratio": 0.0, "budget_per_second": 0.1}
    scene = Scene(config(router={"retry": retry}))
    first, second, third = (scene.place() for _ in range(3))
    assert isinstance(scene.end(first, LOST), placement.Placement)
    scene.reconfigure(config(router={"retry": {**retry, "backoff_ms": 1}}))
    assert isinstance(scene.end(second, LOST), Refused)
    scene.reconfigure(config(router={"retry": {**retry, "budget_per_second": 5}}))
    assert isinstance(scene.end(third, LOST), placement.Placement)


def test_a_pool_that_becomes_smaller_is_never_ejected_beyond_its_share() -> None:
    settings = {"breaker": {"consecutive_failures": 1}}
    scene = Scene(config({"a": [f"unix:a{index}" for index in range(4)]}, router=settings))
    for _ in range(2):
        scene.end(scene.place(), LOST, wanted=False)
    out = [name for name, worker in scene.roster.workers.items() if worker.breaker.state is State.OPEN]
    assert out == ["a-0", "a-1"] or len(out) == 2
    scene.reconfigure(config({"a": ["unix:a0", "unix:a1"]}, router=settings))
    states = [worker.breaker.state for worker in scene.roster.workers.values()]
    assert states.count(State.CLOSED) >= 1


@pytest.mark.parametrize(
    "wanted", [config({"a": _PAIR["a"]}), config({"c": ["unix:c0"]}), config(), config({**_PAIR, "c": ["unix:c0"]})]
)
def test_whoever_watches_the_fleet_sees_every_change(wanted: MeshConfig) -> None:
    scene = Scene(config())
    for _ in range(5):
        scene.place()
    before = scene.roster.version
    scene.reconfigure(wanted)
    assert scene.roster.version > before


def test_a_probe_from_before_still_decides() -> None:
    settings = {"breaker": {"consecutive_failures": 1, "max_ejected_share": 1.0}}
    scene = Scene(config({"a": ["unix:a0"]}, router=settings))
    scene.end(scene.place(), LOST, wanted=False)
    scene.now += 2
    probe = scene.place()
    scene.reconfigure(config({"a": ["unix:a0"], "b": ["unix:b0"]}, router=settings))
    assert scene.roster.workers["a-0"].breaker.state is State.HALF_OPEN
    scene.end(probe)
    assert scene.roster.workers["a-0"].breaker.state is State.CLOSED


def test_a_hold_outlasts_the_change() -> None:
    scene = Scene(config({"a": ["unix:a0"], "b": ["unix:b0"]}))
    first = scene.place()
    scene.end(first, failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=7.0), wanted=False)
    scene.reconfigure(config({"a": ["unix:a0"], "b": ["unix:b0"]}, router={"stale_seconds": 9}))
    assert first.worker not in {scene.place().worker for _ in range(4)}


def test_the_last_word_of_a_worker_that_has_gone_changes_nothing() -> None:
    scene = Scene(config())
    scene.reconfigure(config({"a": ["unix:a0", "unix:a1"]}))
    scene.report("b-0")
    scene.roster.on_checked("b-0", well=False)
    scene.roster.on_lost("b-0")
    assert sorted(seen.worker for seen in scene.roster.snapshot(scene.now)) == ["a-0", "a-1"]
