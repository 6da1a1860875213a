"""What is counted of a request, and of its attempts."""

import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import generation_pb2 as generation
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from services.gateway.request_metrics import RequestMetrics

_TRACE = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
_CALL = {"gen_ai_operation_name": "text_completion", "gen_ai_request_model": "m"}


class Counted:
    """Metrics, and what they say."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = RequestMetrics(self.registry)

    def ended(self, reason: str = "", *, output_tokens: int = 11, exemplar: dict[str, str] | None = None) -> None:
        outcome = ledger.OUTCOME_ERROR if reason else ledger.OUTCOME_SUCCESS
        self.metrics.request_ended(
            ledger.RequestRecord(api="openai", operation="completions", outcome=outcome, error_reason=reason),
            model="m",
            seconds=3.0,
            first_content_seconds=1.0,
            usage=generation.Usage(input_tokens=7, output_tokens=output_tokens),
            exemplar=exemplar,
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def test_a_request_is_told_in_the_words_of_the_convention() -> None:
    counted = Counted()
    counted.ended()
    assert counted.value("hybrid_gateway_requests_total", api="openai", model="m", outcome="success", reason="") == 1
    assert counted.value("gen_ai_server_request_duration_seconds_sum", **_CALL, error_type="") == 3
    assert counted.value("gen_ai_server_time_to_first_token_seconds_sum", **_CALL) == 1
    assert counted.value("hybrid_gateway_tokens_total", api="openai", model="m", direction="input") == 7


def test_the_time_per_token_is_that_after_the_first_of_answers_that_are_whole() -> None:
    counted = Counted()
    counted.ended(output_tokens=11)
    counted.ended(output_tokens=1)
    counted.ended("STREAM_INTERRUPTED")
    assert counted.value("gen_ai_server_time_per_output_token_seconds_count", **_CALL) == 1
    assert counted.value("gen_ai_server_time_per_output_token_seconds_sum", **_CALL) == pytest.approx(0.2)


def test_a_request_of_a_sampled_trace_is_an_example_of_its_buckets() -> None:
    counted = Counted()
    counted.ended()
    assert b"trace_id" not in generate_latest(counted.registry)
    counted.ended(exemplar=_TRACE)
    told = generate_latest(counted.registry).decode()
    for name in ("request_duration", "time_to_first_token", "time_per_output_token"):
        [line] = [one for one in told.splitlines() if name in one and "trace_id" in one]
        assert _TRACE["trace_id"] in line


def test_money_is_counted_by_attempt_in_dollars_with_what_kind_of_attempt_it_was() -> None:
    counted = Counted()
    for kind, nano_usd in (("", 1_500_000_000), ("hedge", 250_000_000), ("", 1), ("shadow", 0)):
        attempt = ledger.AttemptRecord(provider="p", worker="p-0", kind=kind, cost_nano_usd=nano_usd)
        attempt.outcome = ledger.OUTCOME_SUCCESS
        counted.metrics.attempt_ended(attempt, model="m")
    cost = "hybrid_gateway_cost_usd_total"
    assert counted.value(cost, provider="p", model="m", kind="first") == pytest.approx(1.500000001, abs=1e-12)
    assert counted.value(cost, provider="p", model="m", kind="hedge") == 0.25
    assert counted.value(cost, provider="p", model="m", kind="shadow") is None
    labels = {"provider": "p", "worker": "p-0", "outcome": "success", "reason": ""}
    assert counted.value("hybrid_gateway_attempts_total", **labels) == 4
