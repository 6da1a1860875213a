"""A file of slots: what is in it outlives its writer, and what is no whole piece is never read as one."""

import pathlib
import random

import pytest

from services.gateway.spool.slots import Found, Slots, UnknownFormat
from tests.gateway.spool.disk import disk_full_at

SIZE = 256


def opened(path: pathlib.Path) -> tuple[Slots, list[Found]]:
    slots = Slots(path, slot_bytes=SIZE, grow_slots=4)
    return slots, slots.found()


def payloads(found: Found) -> tuple[bytes, ...]:
    assert {piece.kind for piece in found.pieces[:1]} <= {7}
    assert {piece.kind for piece in found.pieces[1:]} <= {7, 8}
    return tuple(piece.payload for piece in found.pieces)


def left(path: pathlib.Path) -> list[tuple[bytes, ...]]:
    """What another process would find."""
    slots, found = opened(path)
    assert not any(one.damaged for one in found)
    slots.close()
    return sorted(payloads(one) for one in found)


def test_what_was_written_is_found_though_nothing_was_closed(tmp_path: pathlib.Path) -> None:
    slots, found = opened(tmp_path / "s")
    assert found == []
    for number in range(20):  # more than the file had room for at first
        slot = slots.take(7, b"first %d" % number)
        assert slots.add(slot, 8, b"second")
    assert left(tmp_path / "s") == sorted((b"first %d" % number, b"second") for number in range(20))


def test_a_free_slot_is_not_found_and_is_used_again(tmp_path: pathlib.Path) -> None:
    slots, _ = opened(tmp_path / "s")
    size = 0
    for number in range(100):
        slot = slots.take(7, b"x" * number)
        slots.add(slot, 8, b"y")
        slots.free(slot)
        size = size or (tmp_path / "s").stat().st_size
    assert (tmp_path / "s").stat().st_size == size
    kept = slots.take(7, b"kept")
    assert left(tmp_path / "s") == [(b"kept",)]
    assert slots.in_use == 1
    slots.free(kept)
    assert slots.in_use == 0


def test_what_does_not_fit_is_refused_and_leaves_what_is_there(tmp_path: pathlib.Path) -> None:
    slots, _ = opened(tmp_path / "s")
    slot = slots.take(7, b"a" * 200)
    assert not slots.add(slot, 8, b"b" * 100)
    assert not slots.fits(SIZE)
    assert left(tmp_path / "s") == [(b"a" * 200,)]


def test_a_file_in_which_nothing_is_left_goes_with_its_process(tmp_path: pathlib.Path) -> None:
    slots, _ = opened(tmp_path / "s")
    slots.free(slots.take(7, b"x"))
    slots.close()
    assert not (tmp_path / "s").exists()


def test_later_uses_have_higher_numbers_over_restarts(tmp_path: pathlib.Path) -> None:
    slots, _ = opened(tmp_path / "s")
    uses = [slots.take(7, b"x").use for _ in range(3)]
    again, _ = opened(tmp_path / "s")
    uses.append(again.take(7, b"x").use)
    assert uses == sorted(set(uses))


def test_a_file_of_another_format_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "s").write_bytes(b"HLSLOTS\n" + bytes(10_000))
    with pytest.raises(UnknownFormat, match="format 1"):
        opened(tmp_path / "s")


def test_without_room_on_the_disk_none_is_taken_until_there_is(tmp_path: pathlib.Path) -> None:
    slots, _ = opened(tmp_path / "s")
    for size in (10, 5000):  # neither for the file's beginning, nor for all of its first slots
        with disk_full_at(size), pytest.raises(OSError, match="too large"):
            slots.take(7, b"x")
    slots.take(7, b"x")
    assert left(tmp_path / "s") == [(b"x",)]


@pytest.mark.parametrize("seed", range(5))
def test_a_piece_cut_at_any_byte_leaves_those_before_it(tmp_path: pathlib.Path, seed: int) -> None:
    """A writer that is killed has written some beginning of the piece, and not the count."""
    rng = random.Random(seed)
    path = tmp_path / "s"
    slots, _ = opened(path)
    slot = slots.take(7, rng.randbytes(30))
    slots.free(slot)
    slot = slots.take(7, first := rng.randbytes(40))
    before = path.read_bytes()
    slots.add(slot, 8, rng.randbytes(50))
    after = path.read_bytes()
    begun = slot.at - 67
    for cut in range(68):
        path.write_bytes(before[:begun] + after[begun : begun + cut] + before[begun + cut :])
        assert left(path) == [(first,)]


def test_no_flipped_bit_makes_a_piece_of_what_is_none_or_hides_one_in_silence(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "s"
    slots, _ = opened(path)
    stale = slots.take(7, b"an earlier use of it")
    slots.add(stale, 8, b"and more of that")
    slots.free(stale)
    written = [b"first", b"second piece", b"third"]
    slot = slots.take(7, written[0])
    other = slots.take(7, b"a neighbour")
    for piece in written[1:]:
        slots.add(slot, 8, piece)
    whole = path.read_bytes()
    rng = random.Random(1)
    for at in range(slot.start, slot.at):
        data = bytearray(whole)
        data[at] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        again, found = opened(path)
        by_start = {one.slot.start: one for one in found}
        assert payloads(by_start[other.start]) == (b"a neighbour",)
        mine = by_start[slot.start]
        told = [piece.payload for piece in mine.pieces]
        assert [piece for piece in told if piece not in written] == []
        assert mine.damaged or told == written
        again.close()


@pytest.mark.parametrize("at", [0, 9, 13, 17, 2048, 2060])
def test_a_flipped_bit_in_the_head_costs_nothing(tmp_path: pathlib.Path, at: int) -> None:
    slots, _ = opened(tmp_path / "s")
    slots.take(7, b"x")
    data = bytearray((tmp_path / "s").read_bytes())
    data[at] ^= 4
    (tmp_path / "s").write_bytes(data)
    assert left(tmp_path / "s") == [(b"x",)]
