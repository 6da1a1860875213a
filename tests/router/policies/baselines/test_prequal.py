"""Prequal. prequal-rs/prequal, crates/prequal-core: src/pool.rs, src/history.rs, tests/balancer.rs have the values."""

import collections

import pytest

from services.router.policies.baselines.prequal import Prequal
from services.router.policies.baselines.probes import Probe, ProbePool, RecentLoads
from tests.router.policies.fields import Field


def _pool(*probes: tuple[int, float, int, float], size: int = 16, uses: int = 2) -> ProbePool:
    pool = ProbePool(size, age_seconds=1.0)
    for position, at, in_flight, seconds in probes:
        pool.add(Probe(position, at, in_flight, seconds, uses))
    return pool


def _best(pool: ProbePool, limit: int | None, among: set[int]) -> int:
    best = pool.best(limit, among)
    assert best is not None
    return best.position


def test_a_cold_probe_of_low_latency_is_better_than_a_hot_one_of_lower() -> None:
    pool = _pool((0, 0, 10, 1), (1, 0, 2, 50), (2, 0, 3, 20))
    assert _best(pool, 5, {0, 1, 2}) == 2
    assert _best(pool, 5, {0, 1}) == 1


def test_where_all_are_hot_the_one_with_least_in_flight_is_best() -> None:
    assert _best(_pool((0, 0, 10, 1), (1, 0, 8, 90)), 5, {0, 1}) == 1


def test_a_newer_probe_replaces_its_targets_and_the_oldest_goes_where_there_are_too_many() -> None:
    pool = _pool((0, 1, 1, 1), (0, 2, 1, 1), (1, 3, 1, 1), (2, 4, 1, 1), size=2)
    assert len(pool) == 2
    assert pool.best(None, {0, 1}) is None
    assert _best(pool, None, {1, 2}) == 1


def test_a_use_counts_as_one_more_in_flight_and_the_last_one_drops_the_probe() -> None:
    pool = _pool((4, 0, 1, 1), (5, 0, 9, 9))
    probe = pool.best(None, {4, 5})
    assert probe is not None
    pool.use(probe)
    assert (probe.in_flight, len(pool)) == (2, 2)
    pool.use(probe)
    assert len(pool) == 1


def test_old_probes_expire() -> None:
    pool = _pool((0, 0.0, 9, 1), (1, 0.5, 1, 99), (2, 0.9, 1, 5))
    pool.expire(1.2)
    assert len(pool) == 2
    assert pool.best(None, {0, 1}) is None


def test_the_worst_is_the_hottest_or_else_the_slowest() -> None:
    pool = _pool((0, 0, 9, 1), (1, 0, 7, 1), (2, 0, 1, 99))
    pool.remove_worst(5)
    assert pool.best(5, {0, 1}) is None
    pool = _pool((1, 0, 1, 99), (2, 0, 1, 5), (3, 0, 1, 4))
    pool.remove_worst(5)
    assert pool.best(5, {1, 3}) is None


def test_quantiles_are_of_the_last_loads_only() -> None:
    loads = RecentLoads(5)
    assert loads.quantile(0.5) is None
    for in_flight in (9, 1, 2, 3, 4, 5):
        loads.add(in_flight)
    assert [loads.quantile(share) for share in (0.0, 0.5, 1.0)] == [1, 3, 5]


def test_loaded_targets_are_avoided() -> None:
    # balancer.rs, routes_away_from_loaded_replicas: more than 150 of 200, latency being 100 us for each in flight.
    field = Field(4, Prequal(removes=0.0)).loads(40, 1, 35, 50)
    for index, load in enumerate((40, 1, 35, 50)):
        for _ in range(8):
            request = field.request()
            field.strategy.on_placed(request, field.targets[index], field.now)
            field.strategy.on_ended(request, field.targets[index], load * 1e-4, field.now, failed=False)
    counts = collections.Counter(field.choice() for _ in range(200))
    assert counts[1] > 150, counts


def test_with_fewer_than_two_probes_chance_decides() -> None:
    field = Field(4, Prequal(probes=0.0)).loads(9, 0, 0, 0)
    assert {field.choice() for _ in range(100)} == {0, 1, 2, 3}


def test_only_candidates_are_chosen() -> None:
    field = Field(5, Prequal(removes=0.0)).loads(0, 9, 7, 8, 1)
    for _ in range(5):
        field.choice()
    assert {field.choice(among=[2, 3]) for _ in range(50)} <= {2, 3}


def test_a_failure_drops_its_targets_probe() -> None:
    field = Field(3, Prequal(removes=0.0)).loads(0, 50, 60)
    field.choice()
    assert {field.choice() for _ in range(20)} == {0}
    field.strategy.on_ended(field.request(), field.targets[0], 0.0, field.now, failed=True)
    assert field.choice() == 1


def test_a_target_expects_the_latency_of_those_that_came_at_its_load() -> None:
    strategy = Prequal()
    field = Field(2, strategy)
    assert strategy.expected_seconds(field.targets[0]) == 0.0
    for load, seconds in ((1, 1.0), (20, 9.0)):
        for _ in range(10):
            field.loads(load, 0)
            request = field.request()
            field.strategy.on_placed(request, field.targets[0], field.now)
            field.strategy.on_ended(request, field.targets[0], seconds, field.now, failed=False)
    assert strategy.expected_seconds(field.loads(0, 0).targets[0]) == 1.0
    assert strategy.expected_seconds(field.loads(18, 0).targets[0]) == 9.0


def test_a_fraction_of_probes_is_spread_over_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    # balancer.rs, probe_targets_are_distinct_and_rate_limited: 2, 3, 2, 3.
    added: list[int] = []
    monkeypatch.setattr(ProbePool, "add", lambda pool, probe: added.append(probe.position))
    field = Field(10, Prequal(probes=2.5, removes=0.0))
    for asked in (2, 3, 2, 3):
        added.clear()
        field.choice()
        assert len(set(added)) == len(added) == asked


@pytest.mark.parametrize(("targets", "uses"), [(8, 16), (16, 16), (256, 1.103), (32, 4)])
def test_probes_are_used_as_often_as_their_balance_needs(
    targets: int, uses: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # (1 + 1) / ((1 - 16/n) 3 - 1), at least 1 and at most 16: 1.103 of 256 and 4 of 32.
    seen: list[int] = []
    monkeypatch.setattr(ProbePool, "add", lambda pool, probe: seen.append(probe.uses))
    field = Field(targets, Prequal())
    for _ in range(200):
        field.choice()
    assert sum(seen) / len(seen) == pytest.approx(uses, abs=0.05)
