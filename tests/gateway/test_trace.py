"""W3C trace context."""

import pytest

from services.gateway import trace

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
    assert trace.accepted(header) == accepted
    assert trace.trace_id(accepted) == TRACE


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
    assert trace.accepted(header) == ""


def test_one_that_begins_here_is_a_trace_context_and_asks_nobody_to_sample() -> None:
    begun = trace.begun(bytes(range(1, 25)))
    assert begun == "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-00"
    assert trace.accepted(begun) == begun
