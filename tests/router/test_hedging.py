"""A second attempt beside one that is slow to begin."""

import pytest
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_seconds
from services.config.flags import Flag, applies, point
from services.config.model import Price
from services.config.router import Hedge
from services.router.budget import HedgeBudget
from services.router.decider import Refused
from services.router.hedging import slow_after
from tests.router.scene import CHAT, LOST, OK, Scene, mesh_config, report

_ALWAYS = {"hedge": {"budget_ratio": 1.0, "least_seconds": 0.01}}


def scene(*, workers: int = 3, router: dict[str, object] | None = None, flag: object = True) -> Scene:
    """Everything may be hedged, and each worker is known to begin within a tenth of a second."""
    made = Scene(mesh_config(workers=workers, router=router or _ALWAYS, flags={"hedging": flag}))
    for worker in made.roster.workers.values():
        worker.on_first_content(0.1, made.now)
    return made


def hedged(made: Scene, placed: placement.Placement) -> placement.Placement:
    beside = made.hedge(placed)
    assert isinstance(beside, placement.Placement), beside
    return beside


def left_alone(made: Scene, placed: placement.Placement, *, time_left: float | None = None) -> bool:
    """Whether a hedge is refused and the attempt stays as it is."""
    before = made.leases()
    answer = made.hedge(placed, time_left=time_left)
    assert made.leases() == before or not isinstance(answer, Refused)
    return isinstance(answer, Refused) and answer.attempt_id == placed.attempt_id


@pytest.mark.parametrize(
    ("expected", "error", "seconds"),
    [(None, 1.0, None), (0.1, 0.0, 0.5), (1.0, 0.0, 2.0), (1.0, 3.0, 4.0), (0.4, 0.05, 0.8)],
)
def test_slow_is_what_exceeds_the_expected_time_by_far(
    expected: float | None, error: float, seconds: float | None
) -> None:
    assert slow_after(Hedge(factor=2.0, least_seconds=0.5), expected, error_p95=error) == seconds


def test_a_placement_says_when_it_is_slow() -> None:
    assert to_seconds(scene().place().hedge_after) == pytest.approx(0.2)


@pytest.mark.parametrize(("workers", "flag"), [(3, False), (1, True), (3, {"models": ["m"], "share": 0.0})])
def test_without_the_flag_or_another_worker_nothing_is_hedged(workers: int, flag: object) -> None:
    made = scene(workers=workers, flag=flag)
    placed = made.place()
    assert not placed.HasField("hedge_after")
    assert left_alone(made, placed)


def test_where_nothing_is_known_nothing_is_slow() -> None:
    made = Scene(mesh_config(router=_ALWAYS, flags={"hedging": True}))
    assert not made.place().HasField("hedge_after")


def test_a_hedge_runs_on_another_worker_with_a_lease_of_its_own() -> None:
    made = scene(workers=2)
    placed = made.place()
    beside = hedged(made, placed)
    assert (beside.kind, beside.number) == (placement.ATTEMPT_KIND_HEDGE, 2)
    assert beside.generation_id == placed.generation_id
    assert made.leases() == {"main-0": 1, "main-1": 1}
    made.begin(beside)
    assert made.end(placed, LOST, wanted=False) is None
    assert made.end(beside, OK, committed=True) is None
    assert made.decider.leases == 0
    assert not made.stream.generations


def test_both_attempts_together_cost_no_more_than_the_request_may() -> None:
    def hedge(most_cost: int, spent: int = 0) -> bool:
        made = scene(router={"hedge": {**_ALWAYS["hedge"], "paid": True}})
        for target in made.roster.models["m"].targets:
            target.price = Price(output=1).tariff
        ask = placement.PlacementAsk(
            generation_id="g", model="m", capabilities=CHAT, max_output_tokens=1000, max_cost_nano_usd=most_cost
        )
        placed = made.decider.on_ask(made.stream, ask, made.now)
        assert isinstance(placed, placement.Placement)
        return isinstance(made.hedge(placed, spent=spent), placement.Placement)

    assert [hedge(1_999_999), hedge(2_000_000)] == [False, True]
    assert [hedge(2_000_004, spent=5), hedge(2_000_005, spent=5)] == [False, True]


def test_one_attempt_is_hedged_once_and_never_after_its_content() -> None:
    made = scene()
    placed = made.place()
    hedged(made, placed)
    assert left_alone(made, placed)
    other = made.place()
    made.begin(other)
    assert left_alone(made, other)


def test_a_failure_of_one_of_two_asks_for_no_third() -> None:
    made = scene()
    placed = made.place()
    beside = hedged(made, placed)
    assert made.end(placed, LOST) is None
    again = made.end(beside, LOST)
    assert isinstance(again, placement.Placement)
    assert (again.kind, again.number) == (placement.ATTEMPT_KIND_RETRY, 3)
    assert len({placed.worker, beside.worker, again.worker}) == 3
    assert isinstance(made.end(again, LOST), Refused)  # three attempts, the hedge among them


def test_a_third_attempt_is_not_hedged() -> None:
    made = scene(workers=4)
    placed = made.place()
    for _ in range(2):
        answer = made.end(placed, LOST)
        assert isinstance(answer, placement.Placement)
        placed = answer
    assert not placed.HasField("hedge_after")
    assert left_alone(made, placed)


def test_a_caller_that_leaves_releases_both() -> None:
    made = scene()
    placed = made.place(generation_id="g")
    hedged(made, placed)
    made.decider.on_withdrawal(made.stream, "g")
    assert made.decider.leases == 0


def test_past_the_deadline_nothing_is_hedged() -> None:
    made = scene()
    assert left_alone(made, made.place(), time_left=0.0)


def test_a_worker_without_room_or_health_takes_no_hedge() -> None:
    made = scene(workers=2)
    placed = made.place()
    other = "main-1" if placed.worker == "main-0" else "main-0"
    made.report(other, report(sequence=2, capacity=1, running=1))
    assert left_alone(made, placed)
    made.roster.on_lost(other)
    assert left_alone(made, placed)


@pytest.mark.parametrize("paid", [False, True])
def test_what_costs_money_is_no_hedge_unless_it_may_be(paid: bool) -> None:
    router = {"hedge": {"budget_ratio": 1.0, "paid": paid}}
    made = scene(workers=2, router=router)
    for target in made.roster.pools["m"].targets:
        target.price = Price(input=1.0, output=2.0).tariff
    placed = made.place()
    assert placed.HasField("hedge_after") is paid
    assert left_alone(made, placed) is not paid


def test_hedges_are_a_share_of_requests_without_a_minimum() -> None:
    budget = HedgeBudget(Hedge(budget_ratio=0.02))
    taken = 0
    assert not budget.take()
    for _ in range(1000):
        budget.on_request()
        taken += budget.take()
    assert taken == 20


def test_a_quiet_time_saves_up_few_hedges() -> None:
    budget = HedgeBudget(Hedge(budget_ratio=0.02))
    for _ in range(100_000):
        budget.on_request()
    assert sum(budget.take() for _ in range(100)) == 10


def test_a_gateway_that_asks_for_what_is_over_is_answered() -> None:
    made = scene()
    placed = made.place()
    made.end(placed)
    assert left_alone(made, placed)


def test_a_flag_draws_its_share_of_requests_and_the_same_ones_each_time() -> None:
    names = [f"generation-{number}" for number in range(10_000)]
    flag = Flag(share=0.3)
    drawn = [name for name in names if applies(flag, "hedging", generation_id=name, model="m")]
    assert 2_800 < len(drawn) < 3_200
    assert drawn == [name for name in names if applies(flag, "hedging", generation_id=name, model="m")]
    both = sum(applies(flag, "continuation", generation_id=name, model="m") for name in drawn)
    assert 0.25 < both / len(drawn) < 0.35
    assert point("hedging", "019ab5de-0000-7000-8000-000000000000") == pytest.approx(0.361628718, abs=1e-9)


def test_a_flag_is_for_its_models() -> None:
    flag = Flag(models=("m",))
    assert applies(flag, "hedging", generation_id="g", model="m")
    assert not applies(flag, "hedging", generation_id="g", model="other")


def test_no_hedge_goes_where_nothing_seems_to_get_on() -> None:
    made = scene(workers=2)
    placed, _ = made.place(), made.place()
    made.now += 8.0
    for name in ("main-0", "main-1"):
        made.report(name, report(sequence=2))
    assert left_alone(made, placed)


def test_a_flag_that_names_keys_and_models_is_on_for_those_alone() -> None:
    flag = Flag(keys=("a" * 16,), models=("m",))

    def on(key_id: str, model: str = "m") -> bool:
        return applies(flag, "hedging", generation_id="g", model=model, key_id=key_id)

    assert on("a" * 16)
    assert not on("b" * 16)
    assert not on("")
    assert not on("a" * 16, "other")
