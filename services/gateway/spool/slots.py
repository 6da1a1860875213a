"""A memory-mapped file of slots: small journals that outlive the process that writes them, however it ends.

A store into the map is in the kernel's hands at once, so a killed process loses none; a machine that loses its power
may lose some, since nothing is synced. A slot is a byte with the number of its pieces, the number of its use, and the
pieces. The byte is written last, and is never half written: a piece that its writer did not get to end is not counted.
"""

import dataclasses
import mmap
import os
import pathlib
import struct
import time
import zlib

_FORMAT = 1
_MAGIC = b"HLSLOTS\n"
_HEAD = struct.Struct("<8sII")  # magic, format, bytes of a slot; then their checksum
_CHECKSUM = struct.Struct("<I")
# Written twice, so that a flipped bit in one costs nothing.
_HEADS = (0, 2048)
_HEAD_BYTES = 4096
_USE = struct.Struct("<Q")
_USE_AT, _PIECES_AT = 8, 16
_PIECE = struct.Struct("<IIQB")  # length, checksum, time in nanoseconds since 1970, kind
_MOST_PIECES = 127
# A count and its parity: no count becomes another one, or none, by a flipped bit.
_CODES = tuple(count << 1 | count.bit_count() & 1 for count in range(_MOST_PIECES + 1))


class UnknownFormat(Exception):
    """The file is of another version, or no file of slots."""


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """What was written at once; `kind` is what its writer calls it, a byte."""

    kind: int
    payload: bytes


@dataclasses.dataclass(slots=True)
class Slot:
    """A slot in use. `at` is where its next piece goes, in bytes from the beginning of the file."""

    start: int
    use: int
    pieces: int
    at: int


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What an earlier process left in a slot.

    Attributes:
        slot: still in use.
        pieces: those that are whole.
        written_at: when the last of them was written, in nanoseconds since 1970.
        damaged: whether there should be more, or other ones.
    """

    slot: Slot
    pieces: tuple[Piece, ...]
    written_at: int
    damaged: bool


class Slots:
    """One file of slots, which grows as needed. For one process, and one thread."""

    def __init__(self, path: pathlib.Path, *, slot_bytes: int, grow_slots: int) -> None:
        """Nothing is read or made before it is needed."""
        self.slot_bytes = slot_bytes
        self.in_use = 0
        self.path = path
        self._grow_slots = grow_slots
        self._file = -1
        self._map: mmap.mmap
        self._free: list[int] = []
        self._slots = 0
        # Higher than any of an earlier process.
        self._use = time.time_ns()

    def found(self) -> list[Found]:
        """Open the file, if there is one: what earlier processes left in it, in use until it is freed.

        Raises:
            UnknownFormat: it cannot be read by this version.
            OSError: it cannot be read at all.
        """
        if not self.path.exists():
            return []
        self._open()
        found = [self._read(start) for start in self._starts(0)]
        left = [one for one in found if one is not None]
        self.in_use = len(left)
        taken = {one.slot.start for one in left}
        self._free = [start for start in self._starts(0) if start not in taken]
        return left

    def fits(self, size: int) -> bool:
        """Whether a piece of so many bytes fits into an empty slot."""
        return _PIECES_AT + _PIECE.size + size <= self.slot_bytes

    def take(self, kind: int, payload: bytes) -> Slot:
        """Use a slot, with a first piece that fits.

        Raises:
            OSError: there is none, and no room on the disk for more.
        """
        if not self._free:
            self._grow()
        start = self._free.pop()
        self.in_use += 1
        self._use = use = self._use + 1
        self._map[start + _USE_AT : start + _PIECES_AT] = _USE.pack(use)
        slot = Slot(start, use, 0, start + _PIECES_AT)
        self.add(slot, kind, payload)
        return slot

    def add(self, slot: Slot, kind: int, payload: bytes) -> bool:
        """Add a piece. False where it does not fit."""
        size = len(payload)
        begin, now = slot.at, time.time_ns()
        end = begin + _PIECE.size + size
        if end > slot.start + self.slot_bytes or slot.pieces == _MOST_PIECES:
            return False
        self._map[begin:end] = _PIECE.pack(size, _checksum(payload, slot.use, now, kind), now, kind) + payload
        slot.at = end
        slot.pieces += 1
        self._map[slot.start] = _CODES[slot.pieces]  # last: from here on it is there
        return True

    def pieces(self, slot: Slot) -> tuple[Piece, ...]:
        """What is in a slot."""
        found = self._read(slot.start)
        return found.pieces if found else ()

    def raw(self, slot: Slot) -> bytes:
        """A slot's bytes as they are."""
        return self._map[slot.start : slot.start + self.slot_bytes]

    def free(self, slot: Slot) -> None:
        """A slot is not needed any more."""
        self._map[slot.start] = 0
        self._free.append(slot.start)
        self.in_use -= 1

    def close(self) -> None:
        """Let go of the file; remove it where nothing is left in it, so that no other version finds it."""
        if self._file < 0:
            return
        self._map.close()
        os.close(self._file)
        self._file = -1
        if not self.in_use:
            self.path.unlink(missing_ok=True)

    def _starts(self, first: int) -> range:
        return range(
            _HEAD_BYTES + first * self.slot_bytes, _HEAD_BYTES + self._slots * self.slot_bytes, self.slot_bytes
        )

    def _read(self, start: int) -> Found | None:
        code = self._map[start]
        if code == 0:
            return None
        count, data = code >> 1, self._map[start : start + self.slot_bytes]
        damaged = _CODES[count] != code
        (use,) = _USE.unpack_from(data, _USE_AT)
        pieces: list[Piece] = []
        at, written_at = _PIECES_AT, 0
        # Where the count itself is damaged: all that are whole.
        for _ in range(_MOST_PIECES if damaged else count):
            if at + _PIECE.size > len(data):
                damaged = True
                break
            size, checksum, when, kind = _PIECE.unpack_from(data, at)
            payload = data[at + _PIECE.size : at + _PIECE.size + size]
            if len(payload) < size or _checksum(payload, use, when, kind) != checksum:
                damaged = True
                if at + _PIECE.size + size >= len(data):
                    break
            else:
                pieces.append(Piece(kind, payload))
                written_at = when
            at += _PIECE.size + size
        return Found(Slot(start, use, count, start + at), tuple(pieces), written_at, damaged)

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(self._file).st_size
            if not any(self._head() == os.pread(self._file, len(self._head()), at) for at in _HEADS):
                raise UnknownFormat(f"{self.path}: not open requests in format {_FORMAT}")
            self._map = mmap.mmap(self._file, size)
        except BaseException:
            os.close(self._file)
            self._file = -1
            raise
        self._slots = (size - _HEAD_BYTES) // self.slot_bytes

    def _grow(self) -> None:
        if self._file < 0:
            self._make()
        more = max(self._grow_slots, self._slots)
        end = _HEAD_BYTES + (self._slots + more) * self.slot_bytes
        # Zeros are written, not left out: a store into a hole of a full disk would kill the process.
        _write_zeros(self._file, os.fstat(self._file).st_size, end)
        self._map.resize(end)
        before, self._slots = self._slots, self._slots + more
        self._free.extend(reversed(self._starts(before)))

    def _make(self) -> None:
        head = self._head().ljust(_HEADS[1], b"\0") * len(_HEADS)
        made = self.path.with_suffix(".new")
        try:
            made.write_bytes(head)
            made.chmod(0o600)
            made.rename(self.path)
        except OSError:
            made.unlink(missing_ok=True)
            raise
        self._open()

    def _head(self) -> bytes:
        head = _HEAD.pack(_MAGIC, _FORMAT, self.slot_bytes)
        return head + _CHECKSUM.pack(zlib.crc32(head))


def _checksum(payload: bytes, use: int, when: int, kind: int) -> int:
    # With the use, so that what an earlier use of a slot left is none of this one's.
    return zlib.crc32(payload, (use + len(payload) ^ when ^ when >> 32 ^ kind << 24) & 0xFFFFFFFF)


def _write_zeros(descriptor: int, start: int, end: int) -> None:
    while start < end:
        start += os.pwrite(descriptor, bytes(min(end - start, 1 << 20)), start)
