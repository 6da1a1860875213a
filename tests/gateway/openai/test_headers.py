"""The headers of an answer."""

import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as inference

from services.chassis.deadline import to_duration
from services.gateway.openai import headers

ROUTE = inference.Route(provider="local", attempts=2, queue_time=to_duration(0.0126))


def test_what_is_not_placed_has_no_headers_of_a_route() -> None:
    assert headers.of_route(inference.Route(), "") == ()


def test_a_route_is_told_and_its_worker_only_where_it_is_known() -> None:
    told = {
        "x-hybrid-provider": "local",
        "x-hybrid-model": "org/model:8b",
        "x-hybrid-attempts": "2",
        "x-hybrid-queue-ms": "13",
    }
    assert dict(headers.of_route(ROUTE, "org/model:8b")) == told
    shown = inference.Route(worker="local-0")
    shown.MergeFrom(ROUTE)
    assert dict(headers.of_route(shown, "org/model:8b")) == told | {"x-hybrid-worker": "local-0"}


@pytest.mark.parametrize(("nano", "usd"), [(0, "0.000000000"), (1234, "0.000001234"), (2_500_000_000, "2.500000000")])
def test_a_cost_is_told_exactly_once_it_is_final(nano: int, usd: str) -> None:
    route = inference.Route(cost_nano_usd=nano)
    route.MergeFrom(ROUTE)
    assert dict(headers.of_route(route, "m"))["x-hybrid-cost-usd"] == usd


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("accounts/f/models/m@v1 (x,y)", "accounts/f/models/m@v1 (x,y)"),
        ("50%", "50%25"),
        ("zähl\r\nx-evil: 1", "z%C3%A4hl%0D%0Ax-evil: 1"),
        ("m" * 1000, "m" * 256),
    ],
)
def test_a_name_is_readable_and_fits_a_header_whatever_a_provider_calls_it(name: str, value: str) -> None:
    assert dict(headers.of_route(ROUTE, name))["x-hybrid-model"] == value


def test_every_answer_tells_its_trace_and_how_long_it_took() -> None:
    assert headers.of_call(traceparent="00-t", seconds=0.0301) == (
        ("openai-processing-ms", "30"),
        ("traceparent", "00-t"),
    )
