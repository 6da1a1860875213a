"""Records within a segment of the spool: a mark, a length, a checksum, the bytes."""

import dataclasses
import struct
import zlib

# 0xFF and 0xFE are never part of UTF-8, so no text of a caller can look like the beginning of a record.
MARK = b"\xffHL\xfe"
_HEADER = struct.Struct("<4sII")
HEADER_BYTES = _HEADER.size

# gRPC lets no message of more than 64 MiB in, so a longer record is a damaged length.
MAX_PAYLOAD_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """A whole record, at `start` up to `end` of what was scanned."""

    start: int
    end: int
    payload: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no record: a flipped bit, or a record that was cut when its writer died."""

    start: int
    end: int


@dataclasses.dataclass(frozen=True, slots=True)
class Scan:
    """What the bytes hold, in order, and how many of them are used up."""

    pieces: tuple[Frame | Damage, ...]
    consumed: int


def frame(payload: bytes) -> bytes:
    """The record that carries a payload."""
    return _HEADER.pack(MARK, len(payload), _checksum(len(payload), payload)) + payload


def scan(data: bytes, *, final: bool) -> Scan:
    """Find the records in a segment's bytes.

    What is no whole record is skipped as damage once a whole record follows it, or when no more bytes can come.
    Otherwise it may be a record that is still being written, and is left for the next scan.

    Args:
        data: bytes of a segment, from the beginning of a record.
        final: whether the segment is closed and `data` reaches its end.
    """
    pieces: list[Frame | Damage] = []
    position = 0
    while position < len(data):
        found = _frame_at(data, position) or _next_frame(data, position + 1)
        if found is None:
            if final:
                pieces.append(Damage(position, len(data)))
                position = len(data)
            break
        if found.start > position:
            pieces.append(Damage(position, found.start))
        pieces.append(found)
        position = found.end
    return Scan(tuple(pieces), position)


def _frame_at(data: bytes, start: int) -> Frame | None:
    body = start + HEADER_BYTES
    if body > len(data):
        return None
    mark, size, checksum = _HEADER.unpack_from(data, start)
    if mark != MARK or size > MAX_PAYLOAD_BYTES or body + size > len(data):
        return None
    payload = data[body : body + size]
    return Frame(start, body + size, payload) if _checksum(size, payload) == checksum else None


def _next_frame(data: bytes, start: int) -> Frame | None:
    while (start := data.find(MARK, start)) >= 0:
        if found := _frame_at(data, start):
            return found
        start += 1
    return None


def _checksum(size: int, payload: bytes) -> int:
    # zlib's CRC-32 is in the standard library; CRC-32C finds the same errors but would need a dependency.
    return zlib.crc32(payload, size)
