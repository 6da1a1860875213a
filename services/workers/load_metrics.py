"""What a worker's metrics say of its state and its provider's load: what it reports, read when it is asked for."""

from collections.abc import Iterator

from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from services.chassis import declared
from services.workers.status import StatusBoard
from services.workers.vendor.headroom import UNITS

_STATES = {
    value: name.removeprefix("WORKER_STATE_").lower() for name, value in worker_status.WorkerState.items() if value
}
_UNIT = declared.one_of("unit", UNITS)

STATE = declared.Gauge(
    "hybrid_worker_state",
    "1 for what the worker is doing, 0 for the rest.",
    [declared.one_of("state", _STATES.values())],
)
LOADED = declared.Gauge("hybrid_worker_loading_ratio", "How far the provider has come with loading, from 0 to 1.")
RUNNING = declared.Gauge("hybrid_worker_generations_running", "Generations that run at the provider.")
WAITING = declared.Gauge("hybrid_worker_generations_waiting", "Generations that wait for room at the provider.")
CAPACITY = declared.Gauge(
    "hybrid_worker_generations_capacity", "Most generations that the provider runs at once; 0: no limit is known."
)
KV_USAGE = declared.Gauge("hybrid_worker_kv_usage_ratio", "Share of the attention cache that is in use, from 0 to 1.")
KV_CAPACITY = declared.Gauge("hybrid_worker_kv_capacity_tokens", "Most tokens that the attention cache holds.")
QUEUED = declared.Gauge("hybrid_worker_queued_tokens", "Tokens of prompts that wait to be read.")
PREFIX_QUERIES = declared.Counter(
    "hybrid_worker_prefix_query_tokens_total", "Tokens of prompts that were looked for in the cache of prefixes."
)
PREFIX_HITS = declared.Counter("hybrid_worker_prefix_hit_tokens_total", "Tokens of prompts that were found there.")
REMAINING = declared.Gauge(
    "hybrid_worker_headroom_remaining", "What a vendor's rate limit leaves to all keys together.", [_UNIT]
)
LIMIT = declared.Gauge("hybrid_worker_headroom_limit", "The whole of it.", [_UNIT])


class LoadCollector(Collector):
    """Asks a worker's board when it is asked."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        """What the board would report, but that it takes no number of a report for it."""
        state, provider = self._board.state, self._board.provider
        yield STATE.each([([name], value == state) for value, name in _STATES.items()])
        loading = state == worker_status.WORKER_STATE_LOADING
        yield LOADED.now(self._board.loaded if loading else 1.0)
        if provider is None:
            return
        load = provider.load()
        yield RUNNING.now(load.running)
        yield WAITING.now(load.waiting)
        yield CAPACITY.now(load.capacity)
        if load.kv_usage is not None:
            yield KV_USAGE.now(load.kv_usage)
            yield KV_CAPACITY.now(load.kv_capacity_tokens)
            yield QUEUED.now(load.queued_tokens)
            yield PREFIX_QUERIES.now(load.prefix_query_tokens)
            yield PREFIX_HITS.now(load.prefix_hit_tokens)
        if load.headroom:
            yield REMAINING.each([([one.unit], one.remaining) for one in load.headroom])
            yield LIMIT.each([([one.unit], one.limit) for one in load.headroom])
