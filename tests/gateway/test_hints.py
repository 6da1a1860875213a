"""What callers may say of the route, and how they are told that they may not."""

from typing import Any

import pytest
from hybridinference.inference.v1 import routing_pb2 as routing
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.deadline import to_duration
from services.chassis.failure import Failure
from services.gateway import hints


def of(**headers: str | bytes) -> routing.RoutingHints:
    said = {f"x-hybrid-{name.replace('_', '-')}": value for name, value in headers.items()}
    found = hints.of_headers(said)
    hints.check(found, hints.HEADERS, allow_pinning=True)
    return found


def test_headers_say_what_the_message_says() -> None:
    assert of(
        session="chat 1",
        tags="eu, gdpr/strict ,fast",
        max_cost_usd="0.25",
        first_content_slo_ms="1500",
        criticality="sheddable-plus",
        worker="local-0",
    ) == routing.RoutingHints(
        session="chat 1",
        tags=["eu", "gdpr/strict", "fast"],
        max_cost_nano_usd=250_000_000,
        first_content_slo=to_duration(1.5),
        criticality=routing.CRITICALITY_SHEDDABLE_PLUS,
        worker="local-0",
    )


def test_no_header_says_nothing() -> None:
    assert of() == routing.RoutingHints()


@pytest.mark.parametrize(
    ("usd", "nano"), [("0", 0), ("0.000000001", 1), ("1", 10**9), ("0.1", 10**8), ("999999999.999999999", 10**18 - 1)]
)
def test_money_is_exact(usd: str, nano: int) -> None:
    found = of(max_cost_usd=usd)
    assert found.HasField("max_cost_nano_usd")
    assert found.max_cost_nano_usd == nano


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *(("session", value) for value in ("", "x" * 257)),
        *(("tags", value) for value in ("", "a,", "a b", "é", "x" * 65, ",".join("x" * 17))),
        *(("max_cost_usd", value) for value in ("", "-1", "1e3", "1.", ".5", "0.0000000001", "$1", "٣", "1" * 10)),
        *(("first_content_slo_ms", value) for value in ("", "0", "-1", "1.5", "1s", "3600001", "1" * 8, b"\xff")),
        *(("criticality", value) for value in ("", "Critical", "CRITICALITY_CRITICAL", "urgent", "1")),
        *(("worker", value) for value in ("", "a b", "x" * 129, "../x")),
    ],
)
def test_what_means_nothing_is_refused_by_the_name_of_its_header(header: str, value: str | bytes) -> None:
    with pytest.raises(Failure) as caught:
        of(**{header: value})
    name = f"x-hybrid-{header.replace('_', '-')}"
    assert (caught.value.reason_name, caught.value.metadata["field"]) == ("SPEC_INVALID", name)
    assert caught.value.message.startswith(f"`{name}` must")


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("session", {"session": "x" * 257}),
        ("tags", {"tags": ["a", ""]}),
        ("tags", {"tags": ["a"] * 17}),
        ("max_cost_nano_usd", {"max_cost_nano_usd": -1}),
        ("first_content_slo", {"first_content_slo": to_duration(0)}),
        ("first_content_slo", {"first_content_slo": to_duration(-1)}),
        ("first_content_slo", {"first_content_slo": to_duration(3601)}),
        ("criticality", {"criticality": 99}),
        ("worker", {"worker": "a/b"}),
    ],
)
def test_a_message_is_refused_by_the_name_of_its_field(field: str, said: dict[str, Any]) -> None:
    with pytest.raises(Failure) as caught:
        hints.check(routing.RoutingHints(**said), hints.FIELDS, allow_pinning=True)
    assert (caught.value.reason_name, caught.value.metadata["field"]) == ("SPEC_INVALID", f"routing.{field}")


def test_callers_choose_the_worker_only_where_they_may() -> None:
    pinned = routing.RoutingHints(worker="local-0")
    hints.check(pinned, hints.FIELDS, allow_pinning=True)
    with pytest.raises(Failure, match=r"`routing.worker` is refused: .*gateway.allow_pinning") as caught:
        hints.check(pinned, hints.FIELDS, allow_pinning=False)
    assert caught.value.reason_name == "PERMISSION_DENIED"
    assert caught.value.metadata == {"scope": "pinning", "field": "routing.worker"}


def test_nobody_may_claim_to_be_served_last_of_all_to_be_given_up() -> None:
    with pytest.raises(Failure, match="at most `critical`") as caught:
        of(criticality="critical-plus")
    assert caught.value.reason_name == "PERMISSION_DENIED"
    assert caught.value.metadata == {"scope": "critical-plus", "field": "x-hybrid-criticality"}


CRITICALITIES = st.sampled_from(routing.Criticality.values())


@given(CRITICALITIES, CRITICALITIES)
def test_a_caller_is_as_critical_as_it_says_and_never_more_than_its_key(asked: int, most: int) -> None:
    got = hints.lowered(asked, most)
    assert (got or routing.CRITICALITY_CRITICAL) <= (most or routing.CRITICALITY_CRITICAL)
    assert got in (asked, most or routing.CRITICALITY_CRITICAL)
    assert hints.lowered(got, most) == got


def test_only_a_key_that_has_it_may_claim_to_be_most_critical() -> None:
    plus = routing.RoutingHints(criticality=routing.CRITICALITY_CRITICAL_PLUS)
    hints.check(plus, hints.FIELDS, allow_pinning=False, most_critical=routing.CRITICALITY_CRITICAL_PLUS)
    for most in (routing.CRITICALITY_UNSPECIFIED, routing.CRITICALITY_SHEDDABLE, routing.CRITICALITY_CRITICAL):
        with pytest.raises(Failure, match="at most `critical`"):
            hints.check(plus, hints.FIELDS, allow_pinning=False, most_critical=most)
