"""What comes with a call besides its message."""

import types

import pytest
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import routing_pb2 as routing

from services.chassis import traceparent
from services.chassis.failure import Failure
from services.gateway.arrival import Arrival
from services.gateway.call import Call
from services.gateway.identity.grant import ANYBODY, Grant
from services.gateway.models import Models
from services.gateway.tenant import Tenants
from tests.fakes import spec
from tests.gateway.scene import CONFIG

FLEET = types.SimpleNamespace(workers=())
HINTS = routing.RoutingHints()
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Context:
    """A call's context: its time left and its metadata."""

    def __init__(self, left: float | None, **metadata: str | bytes) -> None:
        self._left = left
        self._metadata = tuple((key.replace("_", "-"), value) for key, value in metadata.items())

    def time_remaining(self) -> float | None:
        return self._left

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...] | None:
        return self._metadata or None


def arrival_of(context: Context, grant: Grant) -> Arrival:
    return Arrival(
        context,  # type: ignore[arg-type]
        grant=grant,
        now=100.0,
        longest_seconds=10.0,
        models=Models(CONFIG, FLEET, created_seconds=1),  # type: ignore[arg-type]
        tenants=Tenants(b"k"),
    )


def arrival(context: Context) -> Arrival:
    return arrival_of(context, ANYBODY)


def call(context: Context) -> Call[generation.GenerationSpec]:
    return arrival(context).call(spec(), api="openai", streamed=True, routing=HINTS)


@pytest.mark.parametrize(
    ("left", "at"),
    [(None, 110.0), (1e9, 110.0), (10.0, 109.98), (1.0, 100.98), (0.01, 100.0), (-5.0, 100.0)],
)
def test_our_own_timeout_comes_just_before_the_callers_and_never_after_the_longest(
    left: float | None, at: float
) -> None:
    assert arrival(Context(left)).deadline.at == pytest.approx(at)


def test_ids_come_along_cut_to_a_length_and_credentials_do_not() -> None:
    context = Context(
        None, x_request_id="r" * 1000, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01", authorization="sesame"
    )
    made = call(context)
    assert made.edge_request_id == "r" * 128
    assert made.trace_id == TRACE
    assert "sesame" not in repr(made)


def test_a_caller_has_a_mark_by_credential_and_label_and_it_is_not_shown() -> None:
    marked = call(Context(None, authorization="Bearer key"))
    assert marked.tenant == call(Context(None, authorization="Bearer key", traceparent="x")).tenant
    assert marked.tenant not in ("", call(Context(None, authorization="Bearer other")).tenant)
    assert marked.tenant not in repr(marked)
    assert call(Context(None)).tenant == ""
    labelled = generation.GenerationSpec(user="u")
    assert arrival(Context(None)).call(labelled, api="openai", streamed=False, routing=HINTS).tenant not in (
        "",
        marked.tenant,
    )


def test_only_the_edge_says_that_it_made_a_call_of_json() -> None:
    assert arrival(Context(None, x_envoy_original_path="/api/v1/embed")).transcoded
    assert not arrival(Context(None)).transcoded


@pytest.mark.parametrize("value", ["", "x", f"00-{TRACE}", f"00-{TRACE.upper()}-00f067aa0ba902b7-01"])
def test_without_a_trace_context_a_trace_begins_here(value: str) -> None:
    made = [call(Context(None, traceparent=value)) for _ in range(2)]
    assert all(traceparent.accepted(one.traceparent) == one.traceparent for one in made)
    assert made[0].trace_id != made[1].trace_id
    assert TRACE not in made[0].traceparent


TIMEOUT = "x_hybrid_timeout_ms"
REST = {"x_envoy_original_path": "/v1/chat/completions"}


@pytest.mark.parametrize(
    ("left", "milliseconds", "at"),
    [(None, "1", 100.001), (None, "2500", 102.5), (None, "0010", 100.01), (None, "999999999999", 110.0),
     (1.0, "2500", 100.98), (5.0, "2500", 102.5)],
)  # fmt: skip
def test_a_header_is_the_deadline_of_a_rest_call_within_every_other_bound(
    left: float | None, milliseconds: str, at: float
) -> None:
    assert arrival(Context(left, **REST, **{TIMEOUT: milliseconds})).deadline.at == pytest.approx(at)


@pytest.mark.parametrize("value", ["", "0", "000", "-1", "+1", "1.5", "1e3", "1s", " 1", "1\n", "٣", "1" * 13, b"1"])
def test_a_deadline_that_is_none_is_refused_by_the_name_of_the_header(value: str | bytes) -> None:
    with pytest.raises(Failure, match="`x-hybrid-timeout-ms` must be a whole number of milliseconds") as caught:
        call(Context(None, **REST, **{TIMEOUT: value}))
    assert caught.value.reason_name == "SPEC_INVALID"
    assert caught.value.metadata["field"] == "x-hybrid-timeout-ms"


def test_a_native_caller_has_grpcs_own_deadline_and_no_header() -> None:
    assert arrival(Context(5.0, **{TIMEOUT: "1"})).deadline.at == pytest.approx(104.98)


def test_binary_metadata_is_no_id() -> None:
    assert call(Context(None, x_request_id=b"\xff")).edge_request_id == ""
