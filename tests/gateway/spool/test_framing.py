"""Framing: what was written is found again, and damage costs only what it touches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.spool.framing import HEADER_BYTES, MARK, Damage, Frame, frame, scan

PAYLOADS = st.lists(st.binary(max_size=60) | st.just(MARK * 3), max_size=8)


def payloads(data: bytes, *, final: bool = True) -> list[bytes]:
    return [piece.payload for piece in scan(data, final=final).pieces if isinstance(piece, Frame)]


@given(PAYLOADS)
def test_what_was_framed_is_found(written: list[bytes]) -> None:
    data = b"".join(map(frame, written))
    found = scan(data, final=False)
    assert [piece.payload for piece in found.pieces if isinstance(piece, Frame)] == written
    assert found.consumed == len(data)


@given(PAYLOADS, st.data())
def test_a_torn_tail_costs_the_last_record_only(written: list[bytes], draw: st.DataObject) -> None:
    data = b"".join(map(frame, written))
    size = draw.draw(st.integers(0, len(data)))
    whole = [
        payload for index, payload in enumerate(written) if len(b"".join(map(frame, written[: index + 1]))) <= size
    ]
    waiting = scan(data[:size], final=False)
    assert not any(isinstance(piece, Damage) for piece in waiting.pieces)
    assert payloads(data[:size], final=False) == whole
    closed = scan(data[:size], final=True)
    assert payloads(data[:size]) == whole
    assert closed.consumed == size
    assert sum(piece.end - piece.start for piece in closed.pieces) == size


@given(PAYLOADS.filter(len), st.data())
def test_a_flipped_bit_costs_the_record_it_is_in(written: list[bytes], draw: st.DataObject) -> None:
    index = draw.draw(st.integers(0, len(written) - 1))
    frames = list(map(frame, written))
    damaged = bytearray(frames[index])
    bit = draw.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    frames[index] = bytes(damaged)
    data = b"".join(frames)
    found = scan(data, final=True)
    assert payloads(data) == written[:index] + written[index + 1 :]
    start = len(b"".join(frames[:index]))
    damage = [piece for piece in found.pieces if isinstance(piece, Damage)]
    assert damage == [Damage(start, start + len(damaged))]


@given(PAYLOADS, st.data())
def test_reading_in_parts_finds_the_same(written: list[bytes], draw: st.DataObject) -> None:
    data = b"".join(map(frame, written))
    found: list[bytes] = []
    position = 0
    for size in [*sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=4))), len(data)]:
        part = scan(data[position : max(size, position)], final=False)
        found += [piece.payload for piece in part.pieces if isinstance(piece, Frame)]
        position += part.consumed
    assert found == written


@given(st.binary(max_size=400))
def test_any_bytes_are_accounted_for(data: bytes) -> None:
    found = scan(data, final=True)
    assert found.consumed == len(data)
    assert sum(piece.end - piece.start for piece in found.pieces) == len(data)


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES - 1])
def test_less_than_a_header_is_waited_for(size: int) -> None:
    assert scan(frame(b"payload")[:size], final=False).consumed == 0


def test_no_text_looks_like_a_record() -> None:
    with pytest.raises(UnicodeDecodeError):
        MARK.decode()
