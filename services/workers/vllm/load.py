"""How busy the engine is: what its statistics last said, corrected by what is known at once."""

from typing import Any

from services.workers.provider import Load


class EngineStats:
    """The engine's statistics. They come only while it steps, so the last ones are out of date once it rests."""

    def __init__(self) -> None:
        self._waiting: dict[int, int] = {}
        self._kv_usage: dict[int, float] = {}
        self._prefix_queries = 0
        self._prefix_hits = 0

    def record(self, stats: Any, engine: int) -> None:
        """Take in the SchedulerStats of one step of one engine (there are several with data parallelism)."""
        self._waiting[engine] = stats.num_waiting_reqs
        self._kv_usage[engine] = stats.kv_cache_usage
        prefix = stats.prefix_cache_stats
        if prefix is not None:
            self._prefix_queries += prefix.queries
            self._prefix_hits += prefix.hits

    def load(self, *, unfinished: int, queued_tokens: int, capacity: int, kv_capacity_tokens: int) -> Load:
        """The load now, given the immediate counts."""
        waiting = min(unfinished, sum(self._waiting.values()))
        resting = not unfinished or not self._kv_usage
        return Load(
            running=unfinished - waiting,
            waiting=waiting,
            capacity=capacity,
            kv_usage=0.0 if resting else sum(self._kv_usage.values()) / len(self._kv_usage),
            kv_capacity_tokens=kv_capacity_tokens,
            queued_tokens=queued_tokens,
            prefix_query_tokens=self._prefix_queries,
            prefix_hit_tokens=self._prefix_hits,
        )


def stat_logger(base: Any, stats: EngineStats) -> Any:
    """What vLLM calls per engine to make a StatLoggerBase; all of them feed `stats`."""

    class LoadProbe(base):  # type: ignore[misc]
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            self._engine = engine_index

        # Declared unstable, and unchanged from 0.12 to 0.33.
        def record(self, scheduler_stats: Any, iteration_stats: Any, *_: Any, **__: Any) -> None:
            if scheduler_stats is not None:
                stats.record(scheduler_stats, self._engine)

        def log_engine_initialized(self) -> None:
            pass

    return LoadProbe
