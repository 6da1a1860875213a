"""The simulated mesh does what a mesh does, and the same again for the same seed."""

import collections
import itertools
import math

import pytest

from services.router.policies.least_loaded import LeastLoaded
from services.router.simulator.mesh import requests, simulate
from services.router.simulator.results import Result
from services.router.simulator.scenario import Scenario
from services.router.simulator.traffic.request import Request
from tests.router.simulator.scenes import evenly, given, played, scenario

_CLOUD = {"name": "cloud", "price": {"input": 1.0, "output": 4.0, "cached_input": 0.5}}


def _outcomes(result: Result) -> dict[str, int]:
    return dict(collections.Counter(row.outcome for row in result.rows))


def test_a_seed_is_replayed_byte_for_byte() -> None:
    faults = [{"kind": "dies", "worker": "gpu-1", "at_seconds": 5, "seconds": 5}]
    chosen = scenario(faults=faults, vendors=[_CLOUD], wiring={"routers": 2, "staleness_seconds": 0.05})
    assert played(chosen).to_bytes() == played(chosen).to_bytes()
    assert played(chosen).to_bytes() != played(chosen, seed=2).to_bytes()


def test_policies_meet_the_same_requests_and_the_same_vendor() -> None:
    chosen = scenario(vendors=[_CLOUD], fleet=[])
    one, other = played(chosen), played(chosen, policy="round_robin")
    assert one.rows == other.rows, "with one worker there is nothing to choose"
    mixed = scenario(vendors=[_CLOUD])
    times: dict[int, list[float | None]] = {}
    for policy in ("least_loaded", "round_robin"):
        for row in played(mixed, policy=policy).rows:
            if row.worker == "cloud-0":
                times.setdefault(row.identity, []).append(row.ttft)
    both = [pair for pair in times.values() if len(pair) == 2]
    assert both
    assert all(math.isclose(first or 0, second or 0, rel_tol=1e-9) for first, second in both)


def test_a_request_alone_takes_what_the_model_says() -> None:
    chosen = scenario(workers=1, wiring={"network_seconds": 0.01})
    _, result = given(chosen, [Request(1, 0.0, 1000, 3)])
    (row,) = result.rows
    engine = chosen.fleet[0].engine
    read = engine.step_seconds + engine.sequence_seconds + 1000 * engine.prefill_token_seconds
    read += engine.attention_seconds * 1000 * 500
    assert row.ttft == pytest.approx(read + 0.02)
    step = engine.step_seconds + engine.sequence_seconds
    assert row.e2e == pytest.approx(read + 0.02 + 2 * step + engine.kv_token_seconds * (1001 + 1002))
    assert (row.outcome, row.good, row.attempts, row.output_tokens) == ("completed", True, 1, 3)


def test_a_worker_of_half_the_speed_takes_twice_the_time() -> None:
    fleet = [{"name": "slow", "workers": 1, "speed": 0.5}]
    _, slow = given(scenario(fleet=fleet, wiring={"network_seconds": 0.0}), [Request(1, 0.0, 1000, 30)])
    _, fast = given(scenario(workers=1, wiring={"network_seconds": 0.0}), [Request(1, 0.0, 1000, 30)])
    assert slow.rows[0].e2e == pytest.approx(2 * fast.rows[0].e2e)


def test_what_a_worker_loses_is_tried_elsewhere_and_the_worker_comes_back_empty() -> None:
    # Prompts of a second each, so that one is being read when its worker dies.
    chosen = scenario(
        workers=2,
        faults=[{"kind": "dies", "worker": "gpu-0", "at_seconds": 2.2, "seconds": 3}],
        wiring={"continuable": False},
    )
    mesh, result = given(chosen, evenly(16, input_tokens=16_000, output_tokens=2))
    assert _outcomes(result) == {"completed": 16}
    again = [row for row in result.rows if row.attempts > 1]
    assert again
    assert all(row.worker == "gpu-1" for row in again)
    assert any(row.worker == "gpu-0" and row.at > 6 for row in result.rows), "it serves again"
    assert mesh.routers[0].roster.workers["gpu-0"].epoch == 2


def test_an_answer_that_had_begun_is_not_begun_anew() -> None:
    chosen = scenario(
        workers=2,
        faults=[{"kind": "dies", "worker": "gpu-0", "at_seconds": 1.0, "seconds": 1}],
        wiring={"continuable": False},
    )
    _, result = given(chosen, evenly(2, gap=0.1, output_tokens=500))
    lost, kept = sorted(result.rows, key=lambda row: row.worker)
    assert (lost.outcome, lost.attempts, lost.good) == ("interrupted", 1, False)
    assert 0 < lost.output_tokens < 500
    assert kept.outcome == "completed"


def test_a_worker_that_hangs_is_given_up_once_it_is_silent_for_too_long() -> None:
    chosen = scenario(workers=2, faults=[{"kind": "hangs", "worker": "gpu-0", "at_seconds": 1.0, "seconds": 20}])
    _, result = given(chosen, evenly(30, gap=0.2))
    assert _outcomes(result) == {"completed": 30}
    assert 3.0 < max(row.ttft or 0 for row in result.rows) < 4.5
    late = [row for row in result.rows if row.at > 4.1]
    assert {row.worker for row in late} == {"gpu-1"}


def test_a_stall_delays_and_loses_nothing() -> None:
    chosen = scenario(workers=1, faults=[{"kind": "stalls", "worker": "gpu", "at_seconds": 1.0, "seconds": 5}])
    _, result = given(chosen, evenly(8, gap=0.5))
    assert _outcomes(result) == {"completed": 8}
    waited = [row for row in result.rows if 1.0 < row.at < 5.0]
    assert all(row.at + (row.ttft or 0) > 6.0 for row in waited)


def test_a_slow_time_ends() -> None:
    fault = {"kind": "slows", "worker": "*", "at_seconds": 1.0, "seconds": 10, "factor": 8}
    _, result = given(scenario(workers=1, faults=[fault]), evenly(40, gap=0.5, output_tokens=2))
    before, during, after = (
        [row.ttft or 0 for row in result.rows if low <= row.at < high] for low, high in ((0, 1), (1.5, 10), (12, 20))
    )
    assert min(during) > 4 * max(before)
    assert max(after) == pytest.approx(max(before))


def test_a_worker_that_does_nothing_is_found_out_by_a_probe_before_a_caller_is() -> None:
    # The prompt is known to take 40 ms; nobody asks for anything while the engine stops.
    fault = {"kind": "fails", "worker": "gpu-0", "at_seconds": 10.0, "seconds": 300}
    quick = {"router": {"probe": {"idle_seconds": 5}, "breaker": {"consecutive_failures": 2}}}
    ones = [Request(number, at, 600, 4) for number, at in enumerate([*range(8), 60, 61, 62, 63], start=1)]
    _, result = given(scenario(workers=3, faults=[fault], **quick), ones)
    late = [row for row in result.rows if row.at >= 60]
    assert all((row.outcome, row.attempts) == ("completed", 1) and row.worker != "gpu-0" for row in late)
    _, blind = given(scenario(workers=3, faults=[fault], router={"probe": {"enabled": False}}), ones)
    assert any(row.attempts == 2 for row in blind.rows)


def test_what_is_slow_to_begin_is_hedged_and_the_first_to_answer_wins() -> None:
    # Every worker is known to be fast by the time one of them stalls.
    fault = {"kind": "stalls", "worker": "gpu-0", "at_seconds": 20.0, "seconds": 40}
    hedged = {"flags": {"hedging": True}, "router": {"hedge": {"budget_ratio": 0.5}}}
    mesh, result = given(scenario(faults=[fault], **hedged), evenly(60))
    assert _outcomes(result) == {"completed": 60}
    twice = [row for row in result.rows if row.attempts == 2]
    assert twice
    assert all(row.worker != "gpu-0" and 0.4 < (row.ttft or 0) < 3 for row in twice)
    assert mesh.routers[0].decider.leases == 0
    _, plain = given(scenario(faults=[fault]), evenly(60))
    assert max(row.ttft or 0 for row in plain.rows) > 30


def test_an_answer_that_breaks_off_goes_on_elsewhere_with_no_token_too_few_or_too_many() -> None:
    fault = {"kind": "dies", "worker": "gpu-0", "at_seconds": 1.0, "seconds": 1}
    mesh, result = given(scenario(workers=2, faults=[fault]), evenly(2, gap=0.1, output_tokens=500))
    assert _outcomes(result) == {"completed": 2}
    assert [row.output_tokens for row in result.rows] == [500, 500]
    assert sorted(row.attempts for row in result.rows) == [1, 2]
    first, second = next(call for call in mesh.gateways.calls if len(call.attempts) == 2).attempts
    assert 0 < first.brought < 500
    assert second.input_tokens == 600 + first.brought
    assert second.brought == 500 - first.brought


def test_what_waits_in_the_router_is_placed_once_there_is_room() -> None:
    fleet = [{"name": "gpu", "workers": 1, "engine": {"max_sequences": 2}}]
    ones = [Request(number, 0.0, 600, 40) for number in range(1, 9)]
    mesh, result = given(scenario(fleet=fleet, wiring={"tell_slo": False}), ones)
    assert _outcomes(result) == {"completed": 8}
    starts = sorted(call.attempts[0].started_at - call.arrived_at for call in mesh.gateways.calls)
    assert starts[0] == 0.0
    assert starts[-1] > 0.3, "the last one had to wait in the router"
    assert mesh.routers[0].decider.wake_at() is None


def test_a_share_of_failures_is_retried() -> None:
    fault = {"kind": "fails", "worker": "gpu-0", "at_seconds": 0, "seconds": 1000, "share": 0.5}
    _, result = given(scenario(workers=3, faults=[fault]), evenly(60))
    assert _outcomes(result) == {"completed": 60}
    assert 3 <= sum(row.attempts > 1 for row in result.rows) <= 25


def test_in_an_outage_requests_are_refused_at_once_and_served_again_after_it() -> None:
    fault = {"kind": "outage", "worker": "*", "at_seconds": 5, "seconds": 10}
    chosen = scenario(workers=2, faults=[fault], wiring={"continuable": False}, queue={"max_waiting": 0})
    _, result = given(chosen, evenly(100, gap=0.3))
    refused = [row for row in result.rows if row.outcome == "NO_HEALTHY_WORKER"]
    assert len(refused) > 20
    assert all(4.9 < row.at < 15.1 and row.e2e < 0.1 for row in refused)
    assert {row.outcome for row in result.rows if row.at > 15.2} == {"completed"}
    assert result.summary().amplification <= 1.2


def test_a_worker_is_back_once_all_that_kept_it_away_is_over() -> None:
    faults = [
        {"kind": "dies", "worker": "gpu-0", "at_seconds": 2, "seconds": 10},
        {"kind": "outage", "worker": "*", "at_seconds": 4, "seconds": 2},
    ]
    _, result = given(scenario(workers=2, faults=faults), evenly(60, gap=0.3))
    assert {row.worker for row in result.rows if 6.1 < row.at < 11.9} == {"gpu-1"}
    assert {row.worker for row in result.rows if row.at > 12.5} == {"gpu-0", "gpu-1"}


def test_a_caller_that_has_waited_long_enough_gives_up() -> None:
    fault = {"kind": "stalls", "worker": "*", "at_seconds": 0, "seconds": 50}
    mesh, result = given(scenario(workers=1, faults=[fault], timeout_seconds=2.0), evenly(5))
    assert _outcomes(result) == {"timed_out": 5}
    assert all(row.e2e == pytest.approx(2.0) for row in result.rows)
    assert mesh.routers[0].decider.leases == 0


def test_a_prompt_that_no_cache_can_hold_is_refused_by_its_worker() -> None:
    fleet = [{"name": "gpu", "workers": 1, "engine": {"blocks": 4}}]
    _, result = given(scenario(fleet=fleet), [Request(1, 0.0, 3000, 1)])
    assert _outcomes(result) == {"CONTEXT_TOO_LONG": 1}


def test_prompts_that_begin_alike_are_read_once() -> None:
    shared = tuple(range(100, 110))
    ones = [Request(number, number * 2.0, 5300, 4, shared) for number in range(3)]
    _, result = given(scenario(workers=1), ones)
    assert [row.hit_tokens for row in result.rows] == [0, 5120, 5120]
    assert (result.rows[1].ttft or 0) < (result.rows[0].ttft or 0) / 4


def test_a_vendor_costs_what_its_prices_say() -> None:
    cloud = _CLOUD | {"model": {"cached_blocks": 100}}
    blocks = tuple(range(1, 11))
    ones = [Request(number, number * 30.0, 5200, 100, blocks) for number in range(2)]
    _, result = given(scenario(fleet=[], vendors=[cloud]), ones)
    first, second = result.rows
    assert first.cost_nano_usd == 5200 * 1000 + 100 * 4000
    assert second.cost_nano_usd == 80 * 1000 + 5120 * 500 + 100 * 4000
    assert result.summary().cost_usd == pytest.approx((first.cost_nano_usd + second.cost_nano_usd) / 1e9)


def test_nothing_goes_where_it_would_cost_more_than_its_tenant_allows() -> None:
    tenants = [{"key": "poor", "max_cost_usd": 0.000001}, {"key": "rich", "max_cost_usd": 1.0}]
    chosen = scenario(workers=1, vendors=[_CLOUD], tenants=tenants, wiring={"tell_output": True})
    rows = played(chosen).rows
    assert {row.worker for row in rows if row.key == "poor" and row.worker} == {"gpu-0"}
    assert {row.worker for row in rows if row.key == "rich" and row.worker} == {"gpu-0", "cloud-0"}


def test_a_vendors_limit_holds_and_its_failures_cost_nothing() -> None:
    cloud = _CLOUD | {"model": {"requests_per_minute": 30}}
    _, limited = given(scenario(fleet=[], vendors=[cloud], queue={"max_waiting": 0}), evenly(200, gap=0.25))
    assert sum(row.outcome == "completed" for row in limited.rows) == 30
    cloud = _CLOUD | {"model": {"error_share": 1.0}}
    _, broken = given(scenario(fleet=[], vendors=[cloud]), evenly(4))
    assert sum(row.cost_nano_usd for row in broken.rows) == 0


@pytest.mark.parametrize("wiring", [{}, {"routers": 4}, {"routers": 2, "staleness_seconds": 1.0, "share_load": False}])
def test_every_request_ends_and_no_lease_is_left(wiring: dict[str, object]) -> None:
    faults = [
        {"kind": "dies", "worker": "gpu-0", "at_seconds": 3, "seconds": 6},
        {"kind": "hangs", "worker": "gpu-1", "at_seconds": 8, "seconds": 5},
        {"kind": "outage", "worker": "*", "at_seconds": 16, "seconds": 2},
        {"kind": "fails", "worker": "gpu-2", "at_seconds": 20, "seconds": 4, "share": 0.5},
    ]
    chosen = scenario(faults=faults, wiring=wiring, vendors=[_CLOUD | {"model": {"error_share": 0.1}}])
    mesh, result = given(chosen, requests(chosen, 1))
    assert len(result.rows) == 120
    assert all(row.outcome and row.e2e >= 0 for row in result.rows)
    assert sum(router.decider.leases for router in mesh.routers) == 0
    for router in mesh.routers:
        assert all(worker.leases == 0 for worker in router.roster.workers.values())


def _imbalance(chosen: Scenario) -> float:
    """How unevenly workers were used at the same time, as the mean time to the first token."""
    return played(chosen).summary().ttft.mean


def test_routers_that_hear_of_each_others_load_place_better_than_those_that_do_not() -> None:
    busy = {"generated": {"requests": 250, "requests_per_second": 10.0}, "thin": 0.0, "jitter_seconds": 0.0}
    alone = scenario(workers=8, traffic=busy, wiring={"routers": 8, "share_load": False})
    shared = scenario(workers=8, traffic=busy, wiring={"routers": 8, "share_load": True})
    one = scenario(workers=8, traffic=busy)
    assert _imbalance(one) < _imbalance(shared) < _imbalance(alone)


def test_old_reports_are_worse_than_fresh_ones() -> None:
    busy = {"generated": {"requests": 250, "requests_per_second": 10.0}, "thin": 0.0, "jitter_seconds": 0.0}
    fresh = scenario(workers=8, traffic=busy, wiring={"routers": 8})
    old = scenario(workers=8, traffic=busy, wiring={"routers": 8, "staleness_seconds": 5.0})
    assert _imbalance(fresh) < _imbalance(old)


def test_reports_come_no_more_often_than_told_and_never_too_late() -> None:
    chosen = scenario(workers=1, wiring={"report_seconds": 0.25, "silence_seconds": 1.0})
    heard: list[float] = []
    mesh, _ = given(chosen, [])
    mesh.workers["gpu-0"]._reporter._listeners = [lambda name, report: heard.append(mesh.timeline.now)]
    mesh.run(evenly(10, gap=1.7))
    gaps = [later - earlier for earlier, later in itertools.pairwise(heard)]
    assert min(gaps) >= 0.25 - 1e-9
    assert max(gaps) <= 1.0 + 1e-9


def test_the_warm_up_does_not_count() -> None:
    result = played(scenario())
    assert result.summary().requests == 120
    assert result._replace(warmup_share=0.25).summary().requests == 90


def test_a_strategy_of_ones_own_can_be_played() -> None:
    class Mine(LeastLoaded):
        def __init__(self, depth: int) -> None:
            self.depth = depth

    chosen = scenario()
    mine = simulate(chosen, "mine:depth=3", 1, baselines={"mine": Mine})
    assert mine.policy == "mine:depth=3"
    assert mine.rows == played(chosen).rows
