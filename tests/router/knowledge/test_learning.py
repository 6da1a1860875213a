"""What attempts teach."""

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_duration, to_seconds
from services.router.knowledge.prediction import predict
from tests.router.policies.targets import request
from tests.router.scene import OK, Scene, failed, mesh_config, report


class Served(Scene):
    """A scene whose attempts take as long as they are told to."""

    def serve(self, *, tokens: int, first: float, step: float = 0.01, output: int = 101, key: str = "") -> str:
        """One request from ask to end. Returns who served it."""
        ask = placement.PlacementAsk(generation_id=f"g-{self.now}", model="m", input_tokens=tokens, key=key)
        placed = self.decider.on_ask(self.stream, ask, self.now)
        assert isinstance(placed, placement.Placement)
        self.placed = placed
        self.now += first
        self.begin(placed, first)
        took = step * (output - 1)
        self.now += took
        outcome = placement.AttemptOutcome(
            attempt_id=placed.attempt_id,
            status=OK,
            committed=True,
            usage=generation.Usage(input_tokens=tokens, output_tokens=output),
            duration=to_duration(first + took),
        )
        self.decider.on_outcome(self.stream, outcome, self.now)
        return placed.worker


def _scene(workers: int = 1, kind: str = "vllm") -> Served:
    scene = Served(mesh_config(workers=workers), healthy=False)
    for name in scene.roster.workers:
        scene.report(name, report(kind=kind))
    return scene


def test_nothing_is_expected_aloud_before_something_was_seen() -> None:
    scene = _scene()
    scene.serve(tokens=1000, first=0.1)
    assert not scene.placed.HasField("expected_first_content")
    scene.serve(tokens=1000, first=0.1)
    assert to_seconds(scene.placed.expected_first_content) == pytest.approx(0.1, rel=0.15)


def test_an_engine_a_hundred_times_slower_than_believed_is_known_after_three_requests() -> None:
    scene = _scene()
    for tokens in (400, 1500, 900):
        scene.serve(tokens=tokens, first=0.5 + tokens * 5e-3, step=0.2)
    pool = scene.roster.models["m"]
    taken = predict(request(pool, input_tokens=2000), pool.targets[0], scene.now)
    assert taken.reading_seconds == pytest.approx(10.5, rel=0.35)
    assert taken.step_seconds == pytest.approx(0.2, rel=0.35)


def test_short_prompts_teach_too_where_there_are_no_others() -> None:
    scene = _scene()
    for _ in range(5):
        scene.serve(tokens=12, first=0.8)
    pool = scene.roster.models["m"]
    assert predict(request(pool, input_tokens=12), pool.targets[0], scene.now).first_content_seconds == pytest.approx(
        0.8, rel=0.1
    )


def test_a_slow_worker_is_told_from_its_fellows() -> None:
    scene = _scene(workers=3)
    for _ in range(60):
        placed = scene.place()
        slow = 4.0 if placed.worker == "main-0" else 1.0
        scene.now += 0.2 * slow
        scene.begin(placed, 0.2 * slow)
        scene.now += 1.0 * slow
        scene.decider.on_outcome(
            scene.stream,
            placement.AttemptOutcome(
                attempt_id=placed.attempt_id,
                status=OK,
                committed=True,
                usage=generation.Usage(output_tokens=101),
                duration=to_duration(1.2 * slow),
            ),
            scene.now,
        )
    slow_one, fast, other = scene.roster.models["m"].targets
    assert slow_one.speeds.prefill > 1.8 * fast.speeds.prefill
    assert slow_one.speeds.decode > 1.8 * other.speeds.decode


def test_a_vendor_is_learned_by_itself() -> None:
    scene = _scene(kind="openai")
    for tokens in (10, 5000, 300):
        scene.serve(tokens=tokens, first=1.5, step=0.05)
    pool = scene.roster.models["m"]
    taken = predict(request(pool, input_tokens=20_000), pool.targets[0], scene.now)
    assert taken.first_content_seconds == pytest.approx(1.5, rel=0.25)
    assert taken.step_seconds == pytest.approx(0.05, rel=0.25)
    assert pool.speeds.samples == 0


def test_one_hiccup_of_a_vendor_is_no_trend() -> None:
    scene = _scene(kind="gemini")
    for _ in range(20):
        scene.serve(tokens=100, first=0.5)
    scene.serve(tokens=100, first=60.0)
    pool = scene.roster.models["m"]
    assert predict(request(pool), pool.targets[0], scene.now).first_content_seconds < 0.7


def test_waiting_for_a_place_in_the_batch_is_not_taken_for_slow_reading() -> None:
    scene = _scene()
    scene.report("main-0", report(sequence=2, capacity=1))
    scene.serve(tokens=1000, first=0.06)
    before = scene.roster.models["m"].speeds.reading.at(1000)
    first = scene.place()
    second = scene.place()
    scene.now += 30.0
    scene.end(first)
    scene.begin(second, 30.0)
    assert scene.roster.models["m"].speeds.reading.at(1000) == before


def test_the_length_of_answers_is_learned_by_caller() -> None:
    scene = _scene()
    for _ in range(20):
        scene.serve(tokens=10, first=0.1, output=900, key="long")
        scene.serve(tokens=10, first=0.1, output=20, key="short")
    pool = scene.roster.models["m"]
    assert request(pool, key="long").output_tokens > 700
    assert request(pool, key="short").output_tokens < 250
    assert request(pool, key="long", max_output_tokens=50).output_tokens == 50


def test_a_failure_is_held_against_its_worker_for_a_while() -> None:
    scene = _scene(workers=2)
    placed = scene.place()
    scene.end(placed, failed(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE), wanted=False)
    targets = {target.worker.name: target for target in scene.roster.models["m"].targets}
    assert targets[placed.worker].speeds.penalty(scene.now) == 5.0
    assert targets[placed.worker].speeds.penalty(scene.now + 60.0) < 0.02
    other = next(target for name, target in targets.items() if name != placed.worker)
    assert other.speeds.penalty(scene.now) == 0.0


def test_the_callers_own_errors_are_held_against_nobody() -> None:
    scene = _scene()
    scene.end(scene.place(), failed(reasons.ERROR_REASON_SPEC_INVALID), wanted=False)
    assert scene.roster.models["m"].targets[0].speeds.penalty(scene.now) == 0.0


def test_a_new_process_is_learned_anew() -> None:
    scene = _scene()
    scene.end(scene.place(), failed(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE), wanted=False)
    scene.report("main-0", report(epoch=2))
    assert scene.roster.models["m"].targets[0].speeds.penalty(scene.now) == 0.0


def test_as_many_blocks_are_remembered_as_the_workers_cache_holds() -> None:
    scene = _scene()
    scene.report("main-0", report(sequence=2, kv_capacity_tokens=640))
    ask = placement.PlacementAsk(generation_id="g", model="m", input_tokens=2000, prefix_hashes=range(1, 31))
    scene.decider.on_ask(scene.stream, ask, scene.now)
    assert scene.roster.models["m"].prefixes.size(0) == 10


def test_contexts_are_counted_where_they_are_and_gone_with_their_leases() -> None:
    scene = _scene(workers=2)
    placed = []
    for number in range(6):
        ask = placement.PlacementAsk(generation_id=f"g-{number}", model="m", input_tokens=500)
        answer = scene.decider.on_ask(scene.stream, ask, scene.now)
        assert isinstance(answer, placement.Placement)
        placed.append(answer)
    assert [worker.context_placed for worker in scene.roster.workers.values()] == [1500, 1500]
    scene.end(placed[0], committed=True)
    scene.end(placed[1], failed(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE), wanted=False)
    scene.decider.on_withdrawal(scene.stream, "g-2")
    assert sum(worker.context_placed for worker in scene.roster.workers.values()) == 1500
    scene.decider.on_stream_end(scene.stream)
    assert [worker.context_placed for worker in scene.roster.workers.values()] == [0, 0]
