"""How busy the engine is."""

from types import SimpleNamespace
from typing import Any

from services.workers.provider import Load
from services.workers.vllm.load import EngineStats, stat_logger


def step(waiting: int = 0, kv: float = 0.0, queries: int = 0, hits: int = 0) -> Any:
    prefix = SimpleNamespace(queries=queries, hits=hits)
    return SimpleNamespace(num_waiting_reqs=waiting, kv_cache_usage=kv, prefix_cache_stats=prefix)


def load(stats: EngineStats, unfinished: int) -> Load:
    return stats.load(unfinished=unfinished, queued_tokens=4, capacity=16, kv_capacity_tokens=100)


def test_before_the_first_step_the_counts_are_known() -> None:
    assert load(EngineStats(), 2) == Load(
        running=2, waiting=0, capacity=16, kv_usage=0.0, kv_capacity_tokens=100, queued_tokens=4
    )


def test_prefix_counts_add_up_and_the_rest_is_the_latest() -> None:
    stats = EngineStats()
    stats.record(step(waiting=9, kv=0.9, queries=10, hits=1), 0)
    stats.record(step(waiting=3, kv=0.5, queries=20, hits=6), 0)
    now = load(stats, 5)
    assert (now.running, now.waiting, now.kv_usage) == (2, 3, 0.5)
    assert (now.prefix_query_tokens, now.prefix_hit_tokens) == (30, 7)


def test_a_resting_engine_is_not_busy_whatever_its_last_step_said() -> None:
    stats = EngineStats()
    stats.record(step(waiting=3, kv=0.5), 0)
    now = load(stats, 0)
    assert (now.running, now.waiting, now.kv_usage) == (0, 0, 0.0)


def test_several_engines_are_one_load() -> None:
    stats = EngineStats()
    make = stat_logger(object, stats)
    first, second = make(None, 0), make(None, 1)
    first.record(step(waiting=1, kv=0.2), None)
    second.record(step(waiting=2, kv=0.4), None, mm_cache_stats=None, engine_idx=1)
    second.record(None, None)
    now = load(stats, 10)
    assert (now.waiting, round(now.kv_usage or 0, 6)) == (3, 0.3)
