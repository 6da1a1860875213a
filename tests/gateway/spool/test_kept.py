"""Loaded segments are kept for a while, and never fill the disk."""

import pathlib
import random

from services.gateway.loader.reader import read_chunk
from services.gateway.spool.framing import Frame
from services.gateway.spool.kept import KEPT_DIRECTORY, Kept, keep, kept, kept_path, surplus
from services.gateway.spool.segments import Segment, segments
from tests.gateway.loader.records import record, write_segment


def test_a_kept_segment_is_no_unloaded_one_and_holds_its_bytes(tmp_path: pathlib.Path) -> None:
    data = write_segment(tmp_path, [record().SerializeToString()]).read_bytes()
    (segment,) = segments(tmp_path)
    keep(tmp_path, segment, loaded_at=1000.0)
    assert segments(tmp_path) == []
    (one,) = kept(tmp_path)
    assert (one.segment, one.loaded_at) == (segment, 1000.0)
    assert kept_path(tmp_path, one).read_bytes() == data
    assert kept_path(tmp_path, one).parent.name == KEPT_DIRECTORY


def test_a_flipped_bit_in_a_kept_segment_costs_the_record_it_is_in(tmp_path: pathlib.Path) -> None:
    written = [record().SerializeToString() for _ in range(3)]
    data = write_segment(tmp_path, written).read_bytes()
    (segment,) = segments(tmp_path)
    keep(tmp_path, segment, loaded_at=1000.0)
    (one,) = kept(tmp_path)
    rng = random.Random(1)
    for at in rng.sample(range(len(data)), 100):
        damaged = bytearray(data)
        damaged[at] ^= 1 << rng.randrange(8)
        kept_path(tmp_path, one).write_bytes(damaged)
        pieces = read_chunk(tmp_path / KEPT_DIRECTORY, one.segment, 0)
        whole = [piece.payload for piece in pieces if isinstance(piece, Frame)]
        assert len(whole) == 2
        assert set(whole) < set(written)
        assert sum(piece.end - piece.start for piece in pieces) == len(data)


def test_keeping_again_what_is_kept_already_does_nothing(tmp_path: pathlib.Path) -> None:
    write_segment(tmp_path, [b"x"])
    (segment,) = segments(tmp_path)
    keep(tmp_path, segment, loaded_at=1.0)
    keep(tmp_path, segment, loaded_at=2.0)
    assert [one.loaded_at for one in kept(tmp_path)] == [1.0]


def test_nothing_is_kept_where_there_is_no_directory(tmp_path: pathlib.Path) -> None:
    assert kept(tmp_path) == []


def some(*sizes_and_ages: tuple[int, float]) -> list[Kept]:
    return [Kept(Segment(f"{n:020d}-a", True, size), 1000.0 - age) for n, (size, age) in enumerate(sizes_and_ages)]


def test_what_was_loaded_long_ago_goes() -> None:
    found = some((10, 50.0), (10, 20.0), (10, 1.0))
    assert surplus(found, now=1000.0, seconds=10.0, max_bytes=1000) == found[:2]


def test_the_oldest_go_while_there_is_too_much() -> None:
    found = some((10, 3.0), (10, 2.0), (10, 1.0))
    assert surplus(found, now=1000.0, seconds=10.0, max_bytes=30) == []
    assert surplus(found, now=1000.0, seconds=10.0, max_bytes=29) == found[:1]
    assert surplus(found, now=1000.0, seconds=10.0, max_bytes=0) == found
