"""vLLM's own metrics at the worker's endpoint."""

from prometheus_client import REGISTRY, CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from services.workers.vllm.engine_metrics import EngineCollector


def test_what_the_engine_counts_is_handed_on_and_nothing_else_of_the_process() -> None:
    registry = CollectorRegistry()
    registry.register(EngineCollector())
    assert generate_latest(registry) == b""
    engines = [Gauge(name, "As vLLM makes its own.", ["engine"]) for name in ("vllm:test_running", "other_running")]
    try:
        for gauge in engines:
            gauge.labels("0").set(3)
        told = generate_latest(registry).decode()
    finally:
        for gauge in engines:
            REGISTRY.unregister(gauge)
    assert 'vllm:test_running{engine="0"} 3.0' in told
    assert "other_running" not in told
    assert "python_info" not in told
