"""The spool as the loader sees it: the records after a position of a segment."""

import dataclasses
import os
import pathlib

from services.gateway.spool.framing import Damage, Frame, scan
from services.gateway.spool.segments import ID_FILE, Segment, valid_id

# Some two thousand records: enough that a transaction's cost is small for each, few enough for a short one.
_CHUNK_BYTES = 2 << 20


def read_chunk(
    directory: pathlib.Path, segment: Segment, start: int, *, limit: int = _CHUNK_BYTES
) -> list[Frame | Damage]:
    """The next pieces of a segment from a position on, each with its place in the file. Empty while there is none."""
    try:
        descriptor = os.open(segment.path(directory), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # closed since it was found: it is there under its other name next time
        return []
    try:
        data = os.pread(descriptor, limit, start)
        found = scan(data, final=segment.closed and start + len(data) >= segment.size)
        if not found.consumed and len(data) == limit:  # a record larger than a chunk, or a damaged one
            data = _rest(descriptor, start, segment.size)
            found = scan(data, final=segment.closed)
    finally:
        os.close(descriptor)
    return [dataclasses.replace(piece, start=piece.start + start, end=piece.end + start) for piece in found.pieces]


def read_raw(directory: pathlib.Path, segment: Segment, start: int, end: int) -> bytes:
    """A segment's bytes as they are."""
    with open(segment.path(directory), "rb") as file:
        file.seek(start)
        return file.read(end - start)


def read_spool_id(directory: pathlib.Path) -> str | None:
    """The spool's id, or None when no gateway has opened it yet."""
    try:
        text = (directory / ID_FILE).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    return text if valid_id(text) else None


def _rest(descriptor: int, start: int, size: int) -> bytes:
    parts = []
    while start < size and (part := os.pread(descriptor, size - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)
