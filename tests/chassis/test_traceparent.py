"""W3C trace context."""

import pytest

from services.chassis import traceparent

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
REST = f"{TRACE}-{PARENT}"


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (f"00-{REST}-01", f"00-{REST}-01"),
        (f"00-{REST}-00", f"00-{REST}-00"),
        (f"00-{REST}-ff", f"00-{REST}-01"),  # flags that nobody knows are not handed on
        (f"00-{REST}-02", f"00-{REST}-00"),
        (f"cc-{REST}-01", f"00-{REST}-01"),  # a later version: read as far as it is known
        (f"cc-{REST}-01-what-the-future-will-be-like", f"00-{REST}-01"),
    ],
)
def test_a_trace_context_is_handed_on_as_the_version_we_know(header: str, accepted: str) -> None:
    assert traceparent.accepted(header) == accepted
    assert traceparent.trace_id(accepted) == TRACE


@pytest.mark.parametrize(
    "header",
    [
        "",
        "x",
        f"00-{TRACE}",
        f"00-{REST}",
        f"00-{REST}-1",
        f"00-{REST}-01-more",  # version 00 has an end
        f"ff-{REST}-01",
        f"cc-{REST}-01.more",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{REST}-01\n",
        f" 00-{REST}-01",
        f"00-{REST}-01,00-{REST}-01",
    ],
)
def test_what_is_no_trace_context_counts_as_none(header: str) -> None:
    assert traceparent.accepted(header) == ""


def test_one_that_begins_here_is_a_trace_context_and_asks_nobody_to_sample() -> None:
    begun = traceparent.begun(bytes(range(1, 25)))
    assert begun == "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-00"
    assert traceparent.accepted(begun) == begun


@pytest.mark.parametrize(
    ("share", "drawn", "sampled"),
    [
        (0.0, "00" * 8, False),
        (1.0, "ff" * 8, True),
        (0.5, "7f" + "ff" * 7, True),
        (0.5, "80" + "00" * 7, False),
    ],
)
def test_of_those_that_begin_here_a_share_is_sampled_by_their_ids(share: float, drawn: str, sampled: bool) -> None:
    begun = traceparent.begun(b"t" * 8 + bytes.fromhex(drawn) + b"s" * 8, share=share)
    assert traceparent.accepted(begun) == begun
    assert traceparent.sampled(begun) == sampled
    assert traceparent.sampled_trace_id(begun) == (begun[3:35] if sampled else "")


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_child_has_its_own_id_and_all_else_of_its_parent(flags: str) -> None:
    child = traceparent.child(f"00-{REST}-{flags}", bytes(range(8)))
    assert child == f"00-{TRACE}-0001020304050607-{flags}"
    assert (traceparent.trace_id(child), traceparent.span_id(child)) == (TRACE, "0001020304050607")


def test_without_a_trace_there_is_nothing_to_name() -> None:
    assert (traceparent.trace_id(""), traceparent.span_id(""), traceparent.sampled_trace_id("")) == ("", "", "")
