"""Why a request went where it went, and where it would go: told without changing anything."""

import random

import pytest
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router_service

from services.config import strategy as settings
from services.config.flags import Flag
from services.router.decider import Refused
from services.router.explain import Explanation
from tests.router.scene import CHAT, LOST, OK, Scene, mesh_config, report

STRATEGIES = [kind().name for kind in settings.Strategy.__args__[0].__args__]  # type: ignore[attr-defined]
STATES = [worker_status.WORKER_STATE_SERVING] * 3 + [worker_status.WORKER_STATE_DRAINING]
PLACED, REFUSED = router_service.EXPLAINED_FATE_PLACED, router_service.EXPLAINED_FATE_REFUSED
WAITING = router_service.EXPLAINED_FATE_WAITING


def ask(**fields: object) -> placement.PlacementAsk:
    return placement.PlacementAsk(
        **{"generation_id": "g", "model": "m", "input_tokens": 1000, "capabilities": CHAT} | fields  # type: ignore[arg-type]
    )


def explained(scene: Scene, **fields: object) -> Explanation:
    return scene.decider.on_explain(ask(**fields), scene.now)


def ruled_out(explanation: Explanation) -> dict[str, str]:
    return {candidate.worker: candidate.ruled_out_by for candidate in explanation.decision.candidates}


def test_every_target_is_told_the_one_that_would_be_chosen_first() -> None:
    scene = Scene(mesh_config(workers=3, fallback_workers=1))
    for name, running in (("main-0", 4), ("main-1", 1), ("main-2", 2)):
        scene.report(name, report(sequence=2, running=running, capacity=8))
    told = explained(scene)
    assert told.fate == PLACED
    assert [candidate.worker for candidate in told.decision.candidates] == ["main-1", "main-2", "main-0", "spare-0"]
    assert (told.decision.strategy, told.decision.targets, told.decision.eligible) == ("least_loaded", 4, 3)
    best = told.decision.candidates[0]
    assert (best.provider, best.provider_model, best.role) == ("main", "pm", routing.ROUTE_ROLE_PRIMARY)
    assert (best.score, dict(best.terms)) == (0.25, {"generations": 1.0, "capacity": 8.0})
    assert ruled_out(told) == {"main-0": "", "main-1": "", "main-2": "", "spare-0": "role"}
    assert scene.place().worker == "main-1"


def test_what_rules_each_target_out_is_told() -> None:
    scene = Scene(mesh_config(workers=4), healthy=False)
    scene.report("main-0", report(state=worker_status.WORKER_STATE_DRAINING))
    scene.report("main-1", report(running=8, capacity=2))
    scene.report("main-2", report(capabilities=(model.CAPABILITY_EMBEDDINGS,)))
    told = explained(scene)
    assert (told.fate, told.ahead, told.refusal) == (WAITING, 0, None)
    assert ruled_out(told) == {"main-0": "health", "main-1": "full", "main-2": "capabilities", "main-3": "health"}


def test_an_unknown_model_and_a_worker_that_is_not_there_are_told() -> None:
    scene = Scene()
    told = explained(scene, model="x")
    assert told.refusal is not None
    assert (told.fate, told.refusal.reason_name) == (REFUSED, "MODEL_NOT_FOUND")
    assert set(ruled_out(explained(scene, worker="gone-0")).values()) == {"worker"}


def test_no_time_left_is_told_as_it_would_be() -> None:
    scene = Scene()
    late = ask()
    late.time_left.FromMilliseconds(0)
    told = scene.decider.on_explain(late, scene.now)
    assert told.refusal is not None
    assert (told.fate, told.refusal.reason_name) == (REFUSED, "DEADLINE_EXCEEDED")


def test_a_placement_says_why_in_short() -> None:
    scene = Scene(mesh_config(workers=3, fallback_workers=1))
    scene.report("main-0", report(sequence=2, state=worker_status.WORKER_STATE_DRAINING))
    scene.report("main-1", report(sequence=2, running=3, capacity=8))
    scene.report("main-2", report(sequence=2, running=1, capacity=8))
    decision = scene.place().decision
    assert (decision.strategy, decision.targets, decision.eligible) == ("least_loaded", 4, 2)
    assert [(one.worker, one.score) for one in decision.candidates] == [("main-2", 0.25), ("main-1", 0.5)]
    assert dict(decision.ruled_out) == {"health": 1, "role": 1}


def test_a_retry_says_who_had_failed_before() -> None:
    scene = Scene(mesh_config(workers=3))
    second = scene.end(scene.place(), LOST)
    assert isinstance(second, placement.Placement)
    assert (second.decision.eligible, dict(second.decision.ruled_out)) == (2, {"tried": 1})


def test_one_target_alone_is_told_with_its_terms() -> None:
    decision = Scene(mesh_config(workers=1)).place().decision
    assert (len(decision.candidates), decision.candidates[0].HasField("score")) == (1, True)


def test_a_refusal_says_how_many_each_filter_ruled_out() -> None:
    scene = Scene(mesh_config(workers=2, fallback_workers=1))
    scene.report("main-0", report(sequence=2, state=worker_status.WORKER_STATE_DRAINING))
    refused = scene.answer(capabilities=(model.CAPABILITY_TOOLS,))
    assert isinstance(refused, Refused)
    assert refused.decision is not None
    assert (refused.decision.targets, refused.decision.eligible) == (3, 0)
    assert dict(refused.decision.ruled_out) == {"capabilities": 3}
    assert scene.end(scene.place(), LOST) is not None


def test_a_wait_is_told_with_how_many_are_ahead_and_who_is_full() -> None:
    scene = Scene(mesh_config(workers=2))
    scene.report("main-0", report(sequence=2, running=1, capacity=1))
    scene.report("main-1", report(sequence=2, running=1, capacity=1))
    while isinstance(scene.answer(), placement.Placement):
        pass  # engines have queues of their own
    told = explained(scene)
    assert (told.fate, told.ahead) == (router_service.EXPLAINED_FATE_WAITING, 1)
    assert ruled_out(told) == {"main-0": "full", "main-1": "full"}


def test_a_hedge_says_that_others_could_not_take_it() -> None:
    config = mesh_config(workers=3, router={"hedge": {"budget_ratio": 1.0}})
    scene = Scene(config.model_copy(update={"flags": config.flags.model_copy(update={"hedging": Flag()})}))
    first = scene.place()
    others = sorted({"main-0", "main-1", "main-2"} - {first.worker})
    scene.report(others[0], report(sequence=2, running=4, capacity=4))
    hedge = scene.decider.on_hedge(scene.stream, placement.HedgeAsk(attempt_id=first.attempt_id), scene.now)
    assert isinstance(hedge, placement.Placement)
    assert (hedge.worker, dict(hedge.decision.ruled_out)) == (others[1], {"tried": 1, "kind": 1})


class Life:
    """A scene to which chance happens. What it answers is kept; before each ask it may be asked what it would do."""

    def __init__(self, strategy: str, seed: int, *, curious: bool) -> None:
        self.chance = random.Random(seed)
        self.scene = Scene(mesh_config(workers=4, fallback_workers=1, strategy=strategy), seed=seed)
        self.curious = curious
        self.running: list[placement.Placement] = []
        self.answers: list[bytes] = []

    def step(self) -> None:
        scene, chance = self.scene, self.chance
        scene.now += chance.choice((0.0, 0.02, 0.5))
        match chance.randrange(5):
            case 0 if self.running:
                ended = self.running.pop(chance.randrange(len(self.running)))
                self._answered(scene.end(ended, chance.choice((OK, OK, LOST)), wanted=chance.random() < 0.9))
            case 1 if self.running:
                scene.begin(chance.choice(self.running), chance.uniform(0.01, 3.0))
            case 2:
                state = chance.choice(STATES)
                status = report(sequence=len(self.answers) + 2, state=state, running=chance.randint(0, 9), capacity=2)
                scene.report(chance.choice(sorted(scene.roster.workers)), status)
            case _:
                asked = ask(
                    generation_id=f"g-{len(self.answers)}",
                    prefix_hashes=[chance.randint(1, 4)] * chance.randint(0, 3),
                    affinity=chance.randint(0, 2),
                    key=chance.choice("ab"),
                )
                told = scene.decider.on_explain(asked, scene.now) if self.curious else None
                answer = scene.decider.on_ask(scene.stream, asked, scene.now)
                self._answered(answer)
                if told is not None:
                    self._check(told, answer)

    def _answered(self, answer: placement.Placement | Refused | None) -> None:
        if isinstance(answer, placement.Placement):
            self.running.append(answer)
        said = answer.SerializeToString(deterministic=True) if isinstance(answer, placement.Placement) else repr(answer)
        self.answers.append(said if isinstance(said, bytes) else said.encode())

    def _check(self, told: Explanation, answer: object) -> None:
        candidates = told.decision.candidates
        assert len(candidates) == told.decision.targets == 5
        if isinstance(answer, placement.Placement):
            assert (told.fate, candidates[0].worker) == (PLACED, answer.worker)
            chosen = answer.decision.candidates[0]
            assert (candidates[0].score, candidates[0].worker) == (chosen.score, chosen.worker)
            assert {name: value for name, value in candidates[0].terms.items() if value} == chosen.terms
            assert told.decision.eligible == answer.decision.eligible == sum(not one.ruled_out_by for one in candidates)
        elif isinstance(answer, placement.Waiting):
            assert (told.fate, told.ahead, told.decision.eligible) == (WAITING, answer.ahead, 0)
        else:
            assert told.fate == REFUSED
            assert all(one.ruled_out_by for one in candidates)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_to_ask_what_would_happen_changes_nothing_of_what_does(strategy: str) -> None:
    for seed in range(12):
        asked, unasked = Life(strategy, seed, curious=True), Life(strategy, seed, curious=False)
        for _ in range(80):
            asked.step()
            unasked.step()
        assert asked.answers == unasked.answers, f"seed {seed}"
