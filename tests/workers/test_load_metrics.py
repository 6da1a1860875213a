"""What a worker's endpoint says of its state and its load."""

from collections.abc import Sequence

from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from prometheus_client import CollectorRegistry

from services.workers.load_metrics import LoadCollector
from services.workers.provider import Load, ServedModel
from services.workers.status import StatusBoard


class Loaded:
    """A provider as far as it is asked for its load."""

    models: Sequence[ServedModel] = ()

    def __init__(self, load: Load) -> None:
        self._load = load

    def load(self) -> Load:
        return self._load


def _told(load: Load | None = None) -> tuple[StatusBoard, CollectorRegistry]:
    board, registry = StatusBoard("w-0", "vllm"), CollectorRegistry()
    registry.register(LoadCollector(board))
    if load is not None:
        board.provider = Loaded(load)  # type: ignore[assignment]
        board.set_state(worker_status.WORKER_STATE_SERVING)
    return board, registry


def test_one_that_loads_says_how_far_it_is_and_nothing_of_a_load() -> None:
    board, registry = _told()
    board.loading(0.4)
    assert registry.get_sample_value("hybrid_worker_loading_ratio") == 0.4
    assert registry.get_sample_value("hybrid_worker_state", {"state": "loading"}) == 1
    assert registry.get_sample_value("hybrid_worker_state", {"state": "serving"}) == 0
    assert registry.get_sample_value("hybrid_worker_generations_running") is None


def test_an_engine_tells_of_its_cache_and_a_vendor_of_its_limits() -> None:
    _, registry = _told(Load(running=3, waiting=2, capacity=8, kv_usage=0.25, prefix_query_tokens=9))
    assert registry.get_sample_value("hybrid_worker_generations_running") == 3
    assert registry.get_sample_value("hybrid_worker_kv_usage_ratio") == 0.25
    assert registry.get_sample_value("hybrid_worker_prefix_query_tokens_total") == 9
    assert registry.get_sample_value("hybrid_worker_headroom_limit", {"unit": "tokens"}) is None
    headroom = [worker_status.Headroom(unit="tokens", remaining=10, limit=100)]
    _, registry = _told(Load(headroom=headroom))
    assert registry.get_sample_value("hybrid_worker_headroom_remaining", {"unit": "tokens"}) == 10
    assert registry.get_sample_value("hybrid_worker_headroom_limit", {"unit": "tokens"}) == 100
    assert registry.get_sample_value("hybrid_worker_kv_usage_ratio") is None


def test_to_be_scraped_takes_no_number_of_a_report() -> None:
    board, registry = _told(Load())
    before = board.report().sequence
    list(registry.collect())
    assert board.report().sequence == before + 1
