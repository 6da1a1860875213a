"""Everyone in turn, by weight."""

import collections
import fractions

from hypothesis import given
from hypothesis import strategies as st

from tests.router.policies.targets import routed
from tests.router.scene import report


def test_turns_follow_the_weights_and_are_smooth() -> None:
    scene = routed({"weight": 5}, {"weight": 1}, {"weight": 1}, strategy="weighted")
    turns = "".join(scene.place().worker[0] for _ in range(14))
    for round_ in (turns[:7], turns[7:]):
        assert collections.Counter(round_) == {"a": 5, "b": 1, "c": 1}
    assert "aaaaaa" not in turns


def test_a_routes_share_does_not_depend_on_how_many_workers_it_has() -> None:
    scene = routed({"weight": 1, "workers": 4}, {"weight": 1}, strategy="weighted")
    counts = collections.Counter(scene.place().worker for _ in range(40))
    assert counts == {"a-0": 5, "a-1": 5, "a-2": 5, "a-3": 5, "b-0": 20}


def test_a_route_that_returns_has_no_turns_to_catch_up_on() -> None:
    scene = routed({"weight": 1}, {"weight": 1}, strategy="weighted")
    scene.roster.on_lost("a-0")
    for _ in range(50):
        assert scene.place().worker == "b-0"
    scene.report("a-0", report(sequence=5))
    counts = collections.Counter(scene.place().worker for _ in range(10))
    assert counts["a-0"] in (5, 6)


def test_score_is_what_choose_compares() -> None:
    scene = routed({"weight": 3}, {"weight": 1}, strategy="weighted")
    pool = scene.roster.models["m"]
    for _ in range(20):
        request = next(iter(scene.stream.generations.values())).request if scene.stream.generations else None
        if request is not None:
            scores = {target.worker.name: pool.strategy.score(request, target, 0.0) for target in pool.targets}
            least = min(score.value for score in scores.values() if score)
            placed = scene.place().worker
            assert scores[placed].value == least
        else:
            scene.place()


@given(weights=st.lists(st.integers(1, 20), min_size=1, max_size=6), away=st.integers(0, 5), turns=st.integers(0, 60))
def test_nobody_is_further_from_its_share_than_by_a_turn_of_each(weights: list[int], away: int, turns: int) -> None:
    scene = routed(*({"weight": weight} for weight in weights), strategy="weighted")
    workers = list(scene.roster.workers)
    if len(workers) > 1:
        gone = workers[away % len(workers)]
        scene.roster.on_lost(gone)
        for _ in range(turns):
            scene.place()
        scene.report(gone, report(sequence=5))
    total = sum(weights)
    counts = collections.Counter(scene.place().worker for _ in range(3 * total))
    for worker, weight in zip(workers, weights, strict=True):
        # Whoever returns finds the others anywhere in their turns, and a heavy route takes what they leave.
        assert abs(counts[worker] - fractions.Fraction(3 * weight)) <= max(2, len(weights))
