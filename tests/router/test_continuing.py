"""Going on with an answer that broke off, at another replica."""

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis import status
from services.chassis.failure import Failure
from services.config.model import Price
from services.router.decider import Refused
from tests.router.scene import CHAT, LOST, Scene, failed, mesh_config, report, told

_INTERRUPTED = failed(reasons.ERROR_REASON_STREAM_INTERRUPTED)


def begun(made: Scene, *, continuable: bool = True) -> placement.Placement:
    placed = made.place(continuable=continuable)
    made.begin(placed)
    return placed


def broken(made: Scene, placed: placement.Placement) -> placement.Placement | Refused | None:
    return made.end(placed, _INTERRUPTED, committed=True, continuable=True)


def gone_on(made: Scene, placed: placement.Placement) -> placement.Placement:
    answer = broken(made, placed)
    assert isinstance(answer, placement.Placement), answer
    return answer


def test_an_answer_that_broke_off_goes_on_at_another_replica() -> None:
    made = Scene(mesh_config(workers=2))
    placed = begun(made)
    again = gone_on(made, placed)
    assert again.kind == placement.ATTEMPT_KIND_CONTINUATION
    assert (again.number, again.generation_id) == (2, placed.generation_id)
    assert again.worker != placed.worker
    assert (again.provider, again.provider_model) == (placed.provider, placed.provider_model)
    assert not again.HasField("hedge_after")
    made.begin(again)
    assert made.end(again, committed=True) is None
    assert made.decider.leases == 0
    assert not made.stream.generations


def test_it_goes_on_no_more_often_than_configured() -> None:
    made = Scene(mesh_config(workers=4))
    placed = begun(made)
    seen = {placed.worker}
    for _ in range(2):
        placed = gone_on(made, placed)
        made.begin(placed)
        seen.add(placed.worker)
    assert len(seen) == 3
    refused = broken(made, placed)
    assert told(refused).reason_name == "STREAM_INTERRUPTED"
    assert made.decider.leases == 0


def test_a_replica_that_cannot_take_it_counts_as_well() -> None:
    made = Scene(mesh_config(workers=4))
    placed = gone_on(made, begun(made))
    saturated = failed(reasons.ERROR_REASON_WORKER_SATURATED)
    second = made.end(placed, saturated, committed=True, continuable=True)
    assert isinstance(second, placement.Placement)
    assert isinstance(made.end(second, saturated, committed=True, continuable=True), Refused)


def test_a_worker_that_has_been_tried_goes_on_only_where_nobody_else_is_left() -> None:
    made = Scene(mesh_config(workers=2))
    placed = begun(made)
    second = gone_on(made, placed)
    made.begin(second)
    assert gone_on(made, second).worker == placed.worker
    made = Scene(mesh_config(workers=1))
    assert isinstance(broken(made, begun(made)), Refused)


@pytest.mark.parametrize("flag", [False, {"share": 0.0}])
def test_without_the_flag_it_ends_as_interrupted(flag: object) -> None:
    made = Scene(mesh_config(workers=2, flags={"continuation": flag}))
    refused = broken(made, begun(made))
    assert told(refused).reason_name == "STREAM_INTERRUPTED"
    assert not made.stream.generations


def test_what_is_no_plain_text_ends_as_interrupted() -> None:
    made = Scene(mesh_config(workers=2))
    assert isinstance(broken(made, begun(made, continuable=False)), Refused)


def test_without_the_tokens_that_were_delivered_nothing_is_asked_for() -> None:
    made = Scene(mesh_config(workers=2))
    assert made.end(begun(made), _INTERRUPTED, committed=True) is None
    assert made.decider.leases == 0


def test_other_providers_and_models_do_not_go_on_with_it() -> None:
    made = Scene(mesh_config(workers=1, fallback_workers=1))
    placed = begun(made)
    assert placed.worker == "main-0"
    assert isinstance(broken(made, placed), Refused)


def test_a_vendor_does_not_go_on_with_it() -> None:
    made = Scene(mesh_config(workers=2))
    for name in made.roster.workers:
        made.report(name, report(sequence=2, kind="openai"))
    assert isinstance(broken(made, begun(made)), Refused)


def test_a_shadow_route_does_not_go_on_with_it() -> None:
    config = mesh_config(workers=1).model_dump()
    config["models"][0]["routes"] = [{"provider": "main"}, {"provider": "main", "role": "shadow", "share": 1.0}]
    config["providers"]["main"]["workers"] = 1
    made = Scene(type(mesh_config()).model_validate(config))
    assert isinstance(broken(made, begun(made)), Refused)


def test_what_the_request_is_to_blame_for_does_not_go_on() -> None:
    made = Scene(mesh_config(workers=2))
    invalid = status.to_status(Failure(reasons.ERROR_REASON_SPEC_INVALID, "no"))
    answer = made.end(begun(made), invalid, committed=True, continuable=True)
    assert told(answer).reason_name == "SPEC_INVALID"


def test_past_the_deadline_nothing_goes_on() -> None:
    made = Scene(mesh_config(workers=2))
    answer = made.end(begun(made), _INTERRUPTED, committed=True, continuable=True, time_left=0.0)
    assert isinstance(answer, Refused)


def test_a_loser_that_is_told_of_late_does_not_end_what_goes_on() -> None:
    made = Scene(mesh_config(workers=3, router={"hedge": {"budget_ratio": 1.0}}, flags={"hedging": True}))
    for worker in made.roster.workers.values():
        worker.on_first_content(0.1, made.now)
    placed = made.place(continuable=True)
    beside = made.hedge(placed)
    assert isinstance(beside, placement.Placement)
    made.begin(beside)
    assert made.end(placed, failed(reasons.ERROR_REASON_CANCELLED), wanted=False) is None
    again = gone_on(made, beside)
    assert again.worker not in (placed.worker, beside.worker)


def test_a_retry_before_content_is_none() -> None:
    made = Scene(mesh_config(workers=2))
    again = made.end(made.place(continuable=True), LOST)
    assert isinstance(again, placement.Placement)
    assert again.kind == placement.ATTEMPT_KIND_RETRY


@pytest.mark.parametrize(
    ("price", "spent", "goes_on"),
    [
        (Price(output=1), 500_000, True),
        (Price(output=1), 500_001, False),
        # What there is of the answer becomes part of the prompt of whoever goes on.
        (Price(input=1), 499_000, True),
        (Price(input=1), 499_001, False),
    ],
)
def test_with_what_was_spent_it_costs_no_more_than_the_request_may(price: Price, spent: int, goes_on: bool) -> None:
    made = Scene(mesh_config(workers=3))
    for target in made.roster.models["m"].targets:
        target.price = price.tariff
    ask = placement.PlacementAsk(
        generation_id="g",
        model="m",
        capabilities=CHAT,
        max_output_tokens=1000,
        max_cost_nano_usd=1_500_000,
        continuable=True,
    )
    placed = made.decider.on_ask(made.stream, ask, made.now)
    assert isinstance(placed, placement.Placement)
    made.begin(placed)
    again = made.end(placed, _INTERRUPTED, committed=True, continuable=True, spent=spent)
    assert isinstance(again, placement.Placement) is goes_on
    if isinstance(again, placement.Placement):
        assert again.max_cost_nano_usd == 1_500_000 - spent


@pytest.mark.parametrize(("kind", "goes_on"), [("vllm", True), ("echo", False)])
def test_a_full_replica_goes_on_with_an_answer_where_it_queues(kind: str, goes_on: bool) -> None:
    made = Scene(mesh_config(workers=2))
    for name in made.roster.workers:
        made.report(name, report(sequence=2, capacity=1, kind=kind))
    broken = begun(made)
    other = next(name for name in made.roster.workers if name != broken.worker)
    made.report(other, report(sequence=3, capacity=1, running=9, kind=kind))
    answer = made.end(broken, _INTERRUPTED, committed=True, continuable=True)
    assert isinstance(answer, placement.Placement) is goes_on
