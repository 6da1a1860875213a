"""Events out of bytes, however these are written and however they arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.workers.vendor.frames import LONGEST_BYTES, Frames

LINES = st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b"").strip())
NOISE = st.sampled_from([b": alive", b"event: delta", b"id: 7", b"retry: 1000", b"data-like", b"\xff\xfe"])
EVENTS = st.lists(st.tuples(st.lists(NOISE, max_size=2), st.lists(LINES, min_size=1, max_size=3)), max_size=6)
MARK = b"\xef\xbb\xbf"


@given(
    EVENTS,
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"data: ", b"data:"]),
    st.sampled_from([b"", MARK]),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_events_are_the_same_however_they_are_written_and_split(
    events: list[tuple[list[bytes], list[bytes]]], end: bytes, begin: bytes, mark: bytes, cuts: list[int]
) -> None:
    written = b"".join(end.join([*noise, *(begin + line for line in lines), b"", b""]) for noise, lines in events)
    stream = mark + written if written.startswith(begin) else written
    frames, found, at = Frames(), list[bytes](), 0
    for cut in [*sorted(cuts), len(stream)]:
        found += frames.feed(stream[at:cut])
        at = max(at, cut)
    assert found == [b"\n".join(lines) for _, lines in events]


def test_an_event_that_has_not_ended_is_none() -> None:
    frames = Frames()
    assert frames.feed(b"data: a\n\ndata: b\n") == [b"a"]
    assert frames.feed(b"") == []
    assert frames.feed(b"\n") == [b"b"]


@pytest.mark.parametrize("piece", [b"data: " + b"a" * 1024 + b"\n", b"a" * 1024], ids=["many lines", "one line"])
def test_an_event_that_never_ends_is_given_up(piece: bytes) -> None:
    frames = Frames()

    def feed() -> None:
        for _ in range(LONGEST_BYTES // 512):
            frames.feed(piece)

    with pytest.raises(Failure) as caught:
        feed()
    assert caught.value.reason_name == "PROVIDER_MALFORMED"
