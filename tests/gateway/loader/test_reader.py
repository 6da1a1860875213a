"""Reading: pieces of a segment with their places, however the bytes are cut."""

import pathlib

import pytest

from services.gateway.loader.reader import read_chunk, read_raw, read_spool_id
from services.gateway.spool.framing import Damage, Frame, frame
from services.gateway.spool.segments import OPEN, Segment, segments
from tests.gateway.loader.records import write_segment

PAYLOADS = [b"a" * 10, b"b" * 5000, b"c", b"", b"d" * 300]


def pieces(directory: pathlib.Path, limit: int) -> list[Frame | Damage]:
    [segment] = segments(directory)
    found: list[Frame | Damage] = []
    while chunk := read_chunk(directory, segment, found[-1].end if found else 0, limit=limit):
        found += chunk
    return found


@pytest.mark.parametrize("limit", [1, 12, 13, 100, 5012, 1 << 20])
def test_a_segment_is_read_whole_in_chunks_of_any_size(tmp_path: pathlib.Path, limit: int) -> None:
    tail = frame(b"torn")[:-1]
    path = write_segment(tmp_path, PAYLOADS, tail=tail)
    found = pieces(tmp_path, limit)
    assert [piece.payload for piece in found if isinstance(piece, Frame)] == PAYLOADS
    assert [(piece.start, piece.end) for piece in found if isinstance(piece, Damage)] == [
        (path.stat().st_size - len(tail), path.stat().st_size)
    ]
    for piece in found:
        [segment] = segments(tmp_path)
        if isinstance(piece, Frame):
            assert read_raw(tmp_path, segment, piece.start, piece.end) == frame(piece.payload)


@pytest.mark.parametrize("limit", [1, 100, 1 << 20])
def test_the_torn_tail_of_an_open_segment_is_left(tmp_path: pathlib.Path, limit: int) -> None:
    write_segment(tmp_path, PAYLOADS, tail=frame(b"being written")[:-1], suffix=OPEN)
    assert [piece.payload for piece in pieces(tmp_path, limit) if isinstance(piece, Frame)] == PAYLOADS


def test_a_segment_that_is_gone_holds_nothing(tmp_path: pathlib.Path) -> None:
    assert read_chunk(tmp_path, Segment("1-a", closed=True, size=100), 0) == []


def test_a_spool_that_no_gateway_has_opened_has_no_id(tmp_path: pathlib.Path) -> None:
    assert read_spool_id(tmp_path) is None
    (tmp_path / "spool.id").write_text("half an i")
    assert read_spool_id(tmp_path) is None
