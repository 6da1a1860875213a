"""What comes with a call besides its message."""

import pytest
from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.arrival import Arrival
from services.gateway.call import Call
from services.gateway.tenant import Tenants
from tests.fakes import spec

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


def arrival(context: Context) -> Arrival:
    return Arrival(context, now=100.0, longest_seconds=10.0, tenants=Tenants(b"k"))  # type: ignore[arg-type]


def call(context: Context) -> Call[generation.GenerationSpec]:
    return arrival(context).call(spec(), api="openai", streamed=True)


@pytest.mark.parametrize(
    ("left", "at"),
    [(None, 110.0), (1e9, 110.0), (10.0, 109.98), (1.0, 100.98), (0.01, 100.0), (-5.0, 100.0)],
)
def test_our_own_timeout_comes_just_before_the_callers_and_never_after_the_longest(
    left: float | None, at: float
) -> None:
    assert arrival(Context(left)).deadline.at == pytest.approx(at)


def test_ids_come_along_cut_to_a_length_and_credentials_do_not() -> None:
    context = Context(None, x_request_id="r" * 1000, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01", authorization="key")
    made = call(context)
    assert made.edge_request_id == "r" * 128
    assert made.trace_id == TRACE
    assert "key" not in repr(made)


def test_a_caller_has_a_mark_by_credential_and_label_and_it_is_not_shown() -> None:
    marked = call(Context(None, authorization="Bearer key"))
    assert marked.tenant == call(Context(None, authorization="Bearer key", traceparent="x")).tenant
    assert marked.tenant not in ("", call(Context(None, authorization="Bearer other")).tenant)
    assert marked.tenant not in repr(marked)
    assert call(Context(None)).tenant == ""
    labelled = generation.GenerationSpec(user="u")
    assert arrival(Context(None)).call(labelled, api="openai", streamed=False).tenant not in ("", marked.tenant)


def test_only_the_edge_says_that_it_made_a_call_of_json() -> None:
    assert arrival(Context(None, x_envoy_original_path="/api/v1/embed")).transcoded
    assert not arrival(Context(None)).transcoded


@pytest.mark.parametrize("value", ["", "x", f"00-{TRACE}", f"00-{'z' * 32}-00f067aa0ba902b7-01", "a-" * 100])
def test_what_is_no_trace_context_is_no_trace(value: str) -> None:
    assert call(Context(None, traceparent=value)).trace_id == ""


def test_binary_metadata_is_no_id() -> None:
    assert call(Context(None, x_request_id=b"\xff")).edge_request_id == ""
