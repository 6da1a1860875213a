"""Segments that are loaded, and kept for a while in case the database loses what it had."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from services.gateway.spool.segments import CLOSED, Segment, segments, sync_directory

# Below the spool's directory. What is in it counts nowhere as a byte that is not loaded.
KEPT_DIRECTORY = "loaded"
# How many times the bytes of a full spool: a day's segments may be more than that, and must not fill the disk.
KEPT_TIMES = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """A loaded segment. `loaded_at` in seconds since 1970."""

    segment: Segment
    loaded_at: float


def keep(directory: pathlib.Path, segment: Segment, *, loaded_at: float) -> None:
    """Put a segment of the spool at `directory`, closed and wholly loaded, aside. One that is gone already is none.

    Raises:
        OSError: it cannot be.
    """
    aside = directory / KEPT_DIRECTORY
    aside.mkdir(mode=0o700, exist_ok=True)
    path = segment.path(directory)
    try:
        # Its age begins when it is loaded: the database may have been away for longer than segments are kept.
        os.utime(path, (loaded_at, loaded_at))
        path.rename(aside / path.name)
    except FileNotFoundError:
        return
    sync_directory(aside)
    sync_directory(directory)


def kept(directory: pathlib.Path) -> list[Kept]:
    """The loaded segments of the spool at `directory`, oldest first."""
    aside = directory / KEPT_DIRECTORY
    found = []
    for segment in segments(aside):
        try:
            found.append(Kept(segment, segment.path(aside).stat().st_mtime))
        except FileNotFoundError:  # removed meanwhile
            continue
    return found


def kept_path(directory: pathlib.Path, one: Kept) -> pathlib.Path:
    """Where a loaded segment of the spool at `directory` is."""
    return directory / KEPT_DIRECTORY / (one.segment.name + CLOSED)


def surplus(found: Sequence[Kept], *, now: float, seconds: float, max_bytes: int) -> list[Kept]:
    """Which of them are to go: those loaded more than `seconds` ago, and the oldest while all exceed `max_bytes`."""
    over = sum(one.segment.size for one in found) - max_bytes
    going = []
    for one in found:
        if over > 0 or now - one.loaded_at > seconds:
            going.append(one)
            over -= one.segment.size
    return going
